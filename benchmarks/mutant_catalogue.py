"""The faults that the oracles must notice: each is one line, as a tired author might write it."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["MUTANTS", "Mutant"]


class Mutant(NamedTuple):
    """One fault.

    Attributes:
        name: what is wrong.
        file: below ``src/maquette``.
        old: stands once in the file.
        new: what is put in its place.
        tests: the files in ``tests/oracles`` that are asked first.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def _in(file: str, *tests: str, **faults: tuple[str, str]) -> list[Mutant]:
    stem = file.removesuffix(".py").replace("/", ".")
    return [
        Mutant(f"{stem}: {name.replace('_', ' ')}", file, old, new, tests)
        for name, (old, new) in faults.items()
    ]


NOISE = _in(
    "noise.py",
    "test_parametrisations",
    "test_analytic_prior",
    sigma_without_root=(
        "return NoiseSchedule(bar.sqrt(), (1 - bar).sqrt())",
        "return NoiseSchedule(bar.sqrt(), 1 - bar)",
    ),
    betas_linear_instead_of_their_roots=(
        "torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64) ** 2",
        "torch.linspace(start, end, steps, dtype=torch.float64)",
    ),
    t_off_by_one=(
        "index = t.to(device=table.device, dtype=torch.long)",
        "index = (t - 1).clamp(min=-1).to(torch.long)",
    ),
    rho_is_sigma=("return self.sigma(t, like) / alpha", "return self.sigma(t, like)"),
    eps_from_v_with_the_sign_of_v=(
        "return self.alpha(t, noised) * v + self.sigma(t, noised) * noised",
        "return self.alpha(t, noised) * v - self.sigma(t, noised) * noised",
    ),
    v_target_with_another_sign=(
        "return self.alpha(t, clean) * noise - self.sigma(t, clean) * clean",
        "return self.alpha(t, clean) * noise + self.sigma(t, clean) * clean",
    ),
    flow_without_alpha=(
        "return noised + self.alpha(t, noised) * velocity",
        "return noised + velocity",
    ),
    clean_without_alpha=(
        "return (noised - self.sigma(t, noised) * eps) / self.alpha(t, noised)",
        "return noised - self.sigma(t, noised) * eps",
    ),
    ddim_at_the_level_it_comes_from=(
        "return self.alpha(t, noised) * clean + self.sigma(t, noised) * eps",
        "return self.alpha(t, noised) * clean + self.sigma(s, noised) * eps",
    ),
)

GUIDANCE = _in(
    "objectives/guidance.py",
    "test_guidance_identities",
    "test_guidance_variants",
    scale_in_dreamfusions_form=(
        "return eps_base + scale * (eps_text - eps_base)",
        "return eps_text + scale * (eps_text - eps_base)",
    ),
    conditions_swapped=(
        "prior, noised, t, words.negative, words.positive, *(other",
        "prior, noised, t, words.positive, words.negative, *(other",
    ),
    null_for_negative=(
        "prior, noised, t, words.negative, words.positive, *(other",
        "prior, noised, t, words.null, words.positive, *(other",
    ),
    perp_neg_pulls=("aim = aim + factor * perpendicular", "aim = aim - factor * perpendicular"),
    perp_neg_from_zero=("perpendicular(eps - eps_base, along)", "perpendicular(eps, along)"),
    rescale_over_the_batch=(
        "return rows.flatten(1).std(1, correction=0).reshape(-1, *[1] * (rows.dim() - 1))",
        "return rows.std(correction=0).repeat(len(rows)).reshape(-1, *[1] * (rows.dim() - 1))",
    ),
    rescale_upside_down=(
        "own / wide.masked_fill(wide == 0, 1)",
        "wide / own.masked_fill(own == 0, 1)",
    ),
) + _in(
    "projections.py",
    "test_guidance_variants",
    projection_divided_by_a_norm=(
        "_dot(direction, direction).clamp(min=1)",
        "_dot(direction, direction).clamp(min=1).sqrt()",
    ),
    inner_product_over_the_batch=(
        "return (a * b).flatten(1).sum(1).reshape(-1, *[1] * (a.dim() - 1))",
        "return (a * b).sum().repeat(len(a)).reshape(-1, *[1] * (a.dim() - 1))",
    ),
)

TEXT = _in(
    "priors/text.py",
    "test_guidance_variants",
    azimuth_beyond_a_turn=(
        "((azimuth_deg.double() + 180) % 360 - 180).abs()",
        "azimuth_deg.double().abs()",
    ),
    nearness_upside_down=(
        "return torch.where(turn < 1, 1 - turn, 2 - turn)",
        "return torch.where(turn < 1, turn, turn - 1)",
    ),
    perp_neg_side_decay=("-2 * (-10 * (1 - r)).exp()", "-2 * (-10 * r).exp()"),
)

WEIGHTS = _in(
    "objectives/weights.py",
    "test_sds_oracle",
    sigma_for_its_square=(
        "return sigma**2 / (alpha**2 + sigma**2)",
        "return sigma / (alpha**2 + sigma**2).sqrt()",
    ),
    rho_for_its_inverse=("return schedule.rho(t, like)", "return 1 / schedule.rho(t, like)"),
)

SDS = _in(
    "objectives/sds.py",
    "test_sds_oracle",
    sign=("(eps - noise))", "(noise - eps))"),
    without_the_noise=("(eps - noise))", "eps)"),
    another_noise_than_was_added=(
        "noised = prior.schedule.add_noise(latent, noise, t)",
        'noised = prior.schedule.add_noise(latent, random.normal("other", latent), t)',
    ),
) + _in(
    "objectives/sjc.py",
    "test_sjc_nfsd",
    rho_squared=("(baseline - denoised) / rho)", "(baseline - denoised) / rho**2)"),
    sign=("(baseline - denoised) / rho)", "(denoised - baseline) / rho)"),
    noised_not_divided_by_alpha=("z = noised / schedule.alpha(t, latent)", "z = noised"),
)

CLASSIFIERS = _in(
    "objectives/csd.py",
    "test_csd_and_ism_oracle",
    sign=("(eps_text - eps_base))", "(eps_base - eps_text))"),
    text_alone=("(eps_text - eps_base))", "eps_text)"),
) + _in(
    "objectives/nfsd.py",
    "test_sjc_nfsd",
    switch_inclusive=("(t < number(self.switch_t))", "(t <= number(self.switch_t))"),
    switch_upside_down=("(t < number(self.switch_t))", "(t >= number(self.switch_t))"),
    text_against_the_negative_prompt=(
        "delta_text = eps_text - eps_null",
        "delta_text = eps_text - eps_negative",
    ),
)

INVERTED = (
    _in(
        "objectives/inversion.py",
        "test_inversion_oracle",
        prediction_at_the_level_ahead=(
            "ask(prior, x, now.clamp(min=0), null.rows",
            "ask(prior, x, ahead.clamp(min=0), null.rows",
        ),
        last_stride_overshoots=(
            "ahead = torch.minimum(now + stride, s[moving])",
            "ahead = now + stride",
        ),
        step_backwards=("ddim_step(x, eps, now, ahead)", "ddim_step(x, eps, ahead, now)"),
    )
    + _in(
        "objectives/ism.py",
        "test_csd_and_ism_oracle",
        s_and_t_swapped_in_the_step=("ddim_step(x_s, eps_s, s, t)", "ddim_step(x_s, eps_s, t, s)"),
        target_at_t=("(eps_t - eps_s))", "(eps_t - ask(prior, x_t, t, words.null)[0]))"),
        inverted_with_the_prompt=(
            "(eps_s,) = ask(prior, x_s, s, words.null)",
            "(eps_s,) = ask(prior, x_s, s, words.positive)",
        ),
        weight_at_s=(
            "weight_at(self.weight, prior.schedule, t, latent)",
            "weight_at(self.weight, prior.schedule, s, latent)",
        ),
        sign=("(eps_t - eps_s))", "(eps_s - eps_t))"),
        without_its_factor=("weight = number(self.strength) * weight_at", "weight = weight_at"),
    )
    + _in(
        "objectives/tsm.py",
        "test_tsm",
        mu_from_t=("mu = s + (self.lam * (t - s))", "mu = t - (self.lam * (t - s))"),
        conventions_swapped=(
            '{"paper": gamma, "code": (1 - gamma**2) ** 0.5}',
            '{"code": gamma, "paper": (1 - gamma**2) ** 0.5}',
        ),
        lam_without_root=("(1 - gamma**2) ** 0.5", "(1 - gamma**2)"),
        x_mu_labelled_t=(
            "x_s[moved], eps_s[moved], s[moved], level)",
            "x_s[moved], eps_s[moved], s[moved], level + 1)",
        ),
        target_guided=(
            "(target[moved],) = ask(prior, x_mu, level, null.rows(moved))",
            "(target[moved],) = ask(prior, x_mu, s[moved], null.rows(moved))",
        ),
        x_t_from_x_mu=(
            "eps_t = guided(prior, x_t, t, words",
            "eps_t = guided(prior, x_s, t, words",
        ),
    )
)

SHIFTED = _in(
    "objectives/asd.py",
    "test_asd",
    target_without_the_prompt=("later, words.positive)", "later, words.null)"),
    shift_downwards=("torch.clamp(t + shift.clamp(min=0)", "torch.clamp(t - shift.clamp(min=0)"),
    latent_at_t_asked_at_later=(
        "schedule.add_noise(latent, noise, later), later",
        "schedule.add_noise(latent, noise, t), later",
    ),
    sign=("(eps_t - eps_later))", "(eps_later - eps_t))"),
) + _in(
    "objectives/cds.py",
    "test_cds",
    sign=(
        "difference = eps_t - guided(prior, x_n, n, words, scale)",
        "difference = guided(prior, x_n, n, words, scale) - eps_t",
    ),
    rho_of_t=("schedule.rho(n, latent) * difference", "schedule.rho(t, latent) * difference"),
    noise_of_the_step=('run.normal("fixed noise", latent)', 'random.normal("fixed noise", latent)'),
    asked_at_t=("guided(prior, x_n, n, words, scale)", "guided(prior, x_n, t, words, scale)"),
)

BALANCED = _in(
    "objectives/minimum_norm.py",
    "test_bsd",
    shares_swapped=("return share * k + (1 - share) * d", "return share * d + (1 - share) * k"),
    not_clipped=("share = share.clamp(0, 1)", "share = share"),
    divided_by_a_length=(
        "/ length.masked_fill(length == 0, 1)",
        "/ length.masked_fill(length == 0, 1).sqrt()",
    ),
) + _in(
    "objectives/bsd.py",
    "test_bsd",
    alpha_bar_without_root=("alpha_bar.sqrt() * minimum_norm", "alpha_bar * minimum_norm"),
    noise_left_in=("residual = eps_base - noise", "residual = eps_base"),
    size_over_the_batch=("residual.flatten(1).norm(dim=1).reshape(sigma.shape)", "residual.norm()"),
)

HIFA = _in(
    "objectives/hifa.py",
    "test_hifa",
    sign=("gradient = latent - denoised", "gradient = denoised - latent"),
    fresh_noise_without_eta=("share = eta * (1 - ", "share = (1 - "),
    rho_upside_down=(
        "(schedule.rho(s, noised) / schedule.rho(t, noised)).square()",
        "(schedule.rho(t, noised) / schedule.rho(s, noised)).square()",
    ),
    picture_not_held=(
        "residual = picture - prior.decode(denoised)",
        "residual = prior.decode(denoised) - picture",
    ),
)

PIXELS = (
    _in(
        "gradients/pixel.py",
        "test_pgc",
        pngd_without_the_threshold_below=(
            "(bound / (_norm(pixel_gradient, self.norm) + bound))",
            "(bound / _norm(pixel_gradient, self.norm).clamp(min=1e-9))",
        ),
        largest_channel_for_the_length=(
            "return peak * torch.linalg.vector_norm(shape, dim=-1, keepdim=True)",
            "return peak * torch.ones_like(shape[..., :1])",
        ),
        norm_over_the_row=(
            "torch.linalg.vector_norm(shape, dim=-1, keepdim=True)",
            "torch.linalg.vector_norm(shape, dim=(-2, -1), keepdim=True)",
        ),
        scaled_even_below_the_bound=("self.norm).clamp(min=bound))", "self.norm).clamp(min=1e-9))"),
        one_sided_cut=(".clamp(-bound, bound)", ".clamp(max=bound)"),
    )
    + _in(
        "gradients/depth.py",
        "test_pgc",
        code_bound_without_the_scale=("bound = factor * scale", "bound = factor"),
        paper_factor_after_the_cut=(
            "(factor * pixel_gradient).clamp(-scale, scale)",
            "factor * pixel_gradient.clamp(-scale, scale)",
        ),
    )
    + _in(
        "distill.py",
        "test_pgc",
        "test_linear_renderers",
        clipped_on_the_latents=(
            "torch.autograd.grad(latents, pixels, guidance.gradient)",
            "torch.autograd.grad(latents, pixels, guidance.gradient.clamp(-0.1, 0.1))",
        ),
        regulators_without_effect=(
            'finite("encode backward", regulator(pixel_gradient, render))',
            'finite("encode backward", pixel_gradient)',
        ),
    )
)

TIME = _in(
    "timesteps/dreamtime.py",
    "test_dreamtime",
    summed_from_below=("weight.flip(0).cumsum(0).flip(0)", "weight.cumsum(0)"),
    preference_without_half=("nearness = -0.5 *", "nearness = -1.0 *"),
    weight_without_rho=("return levels, rho * nearness.exp()", "return levels, nearness.exp()"),
)

ANALYTIC = _in(
    "priors/analytic.py",
    "test_analytic_prior",
    variance_without_alpha=(
        "spread = alpha**2 * variances + sigma**2",
        "spread = variances + sigma**2",
    ),
    density_without_determinant=(
        "(off.square() / spread + spread.log())",
        "(off.square() / spread)",
    ),
    eps_is_the_score=(
        "eps = sigma * self._from_axes(off / spread)",
        "eps = self._from_axes(off / spread)",
    ),
) + _in(
    "priors/linear_encoder.py",
    "test_pgc",
    matrix_transposed_in_the_fit=("mean_latent - weight @ mean_colour", "mean_latent"),
)

MUTANTS = [
    *(*NOISE, *GUIDANCE, *TEXT, *WEIGHTS, *SDS, *CLASSIFIERS, *INVERTED, *SHIFTED),
    *(*BALANCED, *HIFA, *PIXELS, *TIME, *ANALYTIC),
]
