"""Faults in noise, guidance, words, weights and the analytic prior."""

from __future__ import annotations

from mutant_catalogue.mutant import faults_in

NOISE = faults_in(
    "noise.py",
    "oracles/test_parametrisations",
    "oracles/test_analytic_prior",
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

GUIDANCE = faults_in(
    "objectives/guidance.py",
    "oracles/test_guidance_identities",
    "oracles/test_guidance_variants",
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
) + faults_in(
    "projections.py",
    "oracles/test_guidance_variants",
    projection_divided_by_a_norm=(
        "_dot(direction, direction).clamp(min=1)",
        "_dot(direction, direction).clamp(min=1).sqrt()",
    ),
    inner_product_over_the_batch=(
        "return (a * b).flatten(1).sum(1).reshape(-1, *[1] * (a.dim() - 1))",
        "return (a * b).sum().repeat(len(a)).reshape(-1, *[1] * (a.dim() - 1))",
    ),
)

TEXT = faults_in(
    "priors/text.py",
    "oracles/test_guidance_variants",
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

WEIGHTS = faults_in(
    "objectives/weights.py",
    "oracles/test_sds_oracle",
    sigma_for_its_square=(
        "return sigma**2 / (alpha**2 + sigma**2)",
        "return sigma / (alpha**2 + sigma**2).sqrt()",
    ),
    rho_for_its_inverse=("return schedule.rho(t, like)", "return 1 / schedule.rho(t, like)"),
)

ANALYTIC = faults_in(
    "priors/analytic.py",
    "oracles/test_analytic_prior",
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
) + faults_in(
    "priors/linear_encoder.py",
    "test_linear_encoder",
    offset_without_the_mean_colour=("mean_latent - weight @ mean_colour", "mean_latent"),
)

FOUNDATIONS = [*NOISE, *GUIDANCE, *TEXT, *WEIGHTS, *ANALYTIC]
