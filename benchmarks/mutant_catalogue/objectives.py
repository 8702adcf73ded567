"""Faults in the objectives and in what they learn."""

from __future__ import annotations

from mutant_catalogue.mutant import faults_in

SDS = faults_in(
    "objectives/sds.py",
    "oracles/test_sds_oracle",
    sign=("(eps - noise))", "(noise - eps))"),
    without_the_noise=("(eps - noise))", "eps)"),
    another_noise_than_was_added=(
        "noised = prior.schedule.add_noise(latent, noise, t)",
        'noised = prior.schedule.add_noise(latent, random.normal("other", latent), t)',
    ),
) + faults_in(
    "objectives/sjc.py",
    "oracles/test_sjc_nfsd",
    rho_squared=("(baseline - denoised) / rho)", "(baseline - denoised) / rho**2)"),
    sign=("(baseline - denoised) / rho)", "(denoised - baseline) / rho)"),
    noised_not_divided_by_alpha=("z = noised / schedule.alpha(t, latent)", "z = noised"),
)

CLASSIFIERS = faults_in(
    "objectives/csd.py",
    "oracles/test_csd_and_ism_oracle",
    sign=("(eps_text - eps_base))", "(eps_base - eps_text))"),
    text_alone=("(eps_text - eps_base))", "eps_text)"),
) + faults_in(
    "objectives/nfsd.py",
    "oracles/test_sjc_nfsd",
    switch_inclusive=("(t < number(self.switch_t))", "(t <= number(self.switch_t))"),
    switch_upside_down=("(t < number(self.switch_t))", "(t >= number(self.switch_t))"),
    text_against_the_negative_prompt=(
        "delta_text = eps_text - eps_null",
        "delta_text = eps_text - eps_negative",
    ),
)

INVERTED = (
    faults_in(
        "objectives/inversion.py",
        "oracles/test_inversion_oracle",
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
    + faults_in(
        "objectives/inversion.py",
        "oracles/test_csd_and_ism_oracle",
        s_and_t_swapped_in_the_step=("ddim_step(x_s, eps_s, s, t)", "ddim_step(x_s, eps_s, t, s)"),
        x_t_is_x_s=("prior.schedule.ddim_step(x_s, eps_s, s, t))", "x_s)"),
        asked_at_t=("(eps_s,) = ask(prior, x_s, s, null)", "(eps_s,) = ask(prior, x_s, t, null)"),
    )
    + faults_in(
        "objectives/ism.py",
        "oracles/test_csd_and_ism_oracle",
        target_at_t=(
            "(eps_t - path.eps_s))",
            "(eps_t - prior.predict(path.x_t, t, [words.null])[0]))",
        ),
        inverted_with_the_prompt=(
            "round(number(self.delta_t)), words.null, random)",
            "round(number(self.delta_t)), words.positive, random)",
        ),
        weight_at_s=(
            "weight_at(self.weight, prior.schedule, t, latent)",
            "weight_at(self.weight, prior.schedule, path.s, latent)",
        ),
        sign=("(eps_t - path.eps_s))", "(path.eps_s - eps_t))"),
        without_its_factor=("weight = number(self.strength) * weight_at", "weight = weight_at"),
    )
    + faults_in(
        "objectives/tsm.py",
        "oracles/test_tsm",
        mu_from_t=(
            "mu = path.s + (self.lam * (t - path.s))",
            "mu = t - (self.lam * (t - path.s))",
        ),
        conventions_swapped=(
            '{"paper": gamma, "code": (1 - gamma**2) ** 0.5}',
            '{"code": gamma, "paper": (1 - gamma**2) ** 0.5}',
        ),
        lam_without_root=("(1 - gamma**2) ** 0.5", "(1 - gamma**2)"),
        x_mu_labelled_t=(
            "ddim_step(start, eps, path.s[moved], level)",
            "ddim_step(start, eps, path.s[moved], level + 1)",
        ),
        target_guided=(
            "(target[moved],) = ask(prior, x_mu, level, null.rows(moved))",
            "(target[moved],) = ask(prior, x_mu, path.s[moved], null.rows(moved))",
        ),
        x_t_from_x_mu=(
            "eps_t = guided(prior, path.x_t, t, words",
            "eps_t = guided(prior, path.x_s, t, words",
        ),
    )
)

SHIFTED = faults_in(
    "objectives/asd.py",
    "oracles/test_asd",
    target_without_the_prompt=("later, words.positive)", "later, words.null)"),
    shift_downwards=("torch.clamp(t + shift.clamp(min=0)", "torch.clamp(t - shift.clamp(min=0)"),
    latent_at_t_asked_at_later=(
        "schedule.add_noise(latent, noise, later), later",
        "schedule.add_noise(latent, noise, t), later",
    ),
    sign=("(eps_t - eps_later))", "(eps_later - eps_t))"),
) + faults_in(
    "objectives/cds.py",
    "oracles/test_cds",
    sign=(
        "difference = eps_t - guided(prior, x_n, n, words, scale)",
        "difference = guided(prior, x_n, n, words, scale) - eps_t",
    ),
    rho_of_t=("schedule.rho(n, latent) * difference", "schedule.rho(t, latent) * difference"),
    noise_of_the_step=('run.normal("fixed noise", latent)', 'random.normal("fixed noise", latent)'),
    asked_at_t=("guided(prior, x_n, n, words, scale)", "guided(prior, x_n, t, words, scale)"),
)

BALANCED = faults_in(
    "objectives/minimum_norm.py",
    "oracles/test_bsd",
    shares_swapped=("return share * k + (1 - share) * d", "return share * d + (1 - share) * k"),
    not_clipped=("share = share.clamp(0, 1)", "share = share"),
    divided_by_a_length=(
        "/ length.masked_fill(length == 0, 1)",
        "/ length.masked_fill(length == 0, 1).sqrt()",
    ),
) + faults_in(
    "objectives/bsd.py",
    "oracles/test_bsd",
    alpha_bar_without_root=("alpha_bar.sqrt() * minimum_norm", "alpha_bar * minimum_norm"),
    noise_left_in=("residual = eps_base - noise", "residual = eps_base"),
    size_over_the_batch=("residual.flatten(1).norm(dim=1).reshape(sigma.shape)", "residual.norm()"),
)

HIFA = faults_in(
    "objectives/hifa.py",
    "oracles/test_hifa",
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

STUDENTS = (
    faults_in(
        "objectives/vsd.py",
        "oracles/test_vsd",
        sign=("weight * (eps - own)", "weight * (own - eps)"),
        student_asked_without_noise=(
            "predict(prior, state, noised, t, words)",
            "predict(prior, state, latent, t, words)",
        ),
        learns_before_it_answers=(
            "own = self.student.predict(prior, state,",
            "state = self.student.learn(prior, state, latent, words, random)\n"
            "        own = self.student.predict(prior, state,",
        ),
    )
    + faults_in(
        "priors/low_rank.py",
        "test_lora",
        adapter_without_its_weight=(
            "(scale * linear(linear(x, down), up))",
            "(linear(linear(x, down), up))",
        ),
        adapter_subtracted=("return answer + (scale *", "return answer - (scale *"),
    )
    + faults_in(
        "priors/lora.py",
        "oracles/test_vsd",
        noise_for_every_head=(
            'return clean if network.prediction_type == "sample" else noise',
            "return noise",
        ),
    )
    + faults_in(
        "priors/path.py",
        "test_path",
        power_of_what_is_left=(
            "1.0 - _share(self.progress) ** self.power",
            "(1.0 - _share(self.progress)) ** self.power",
        ),
        traced_outwards=(
            "1.0 - _share(self.progress) ** self.power",
            "_share(self.progress) ** self.power",
        ),
        retraced_from_the_prior=(
            "left = far - floor(_share(self.progress) * far)",
            "left = 1 + floor(_share(self.progress) * far)",
        ),
    )
    + faults_in(
        "metrics/field_matching.py",
        "oracles/test_field_matching",
        eps_for_score=("(off / prior.schedule.sigma(t, off))", "off"),
        density_twice_as_narrow=("(2 * s.flatten().square())", "s.flatten().square()"),
        references_without_alpha=("(row - a * known)", "(row - known)"),
    )
)

OBJECTIVES = [*SDS, *CLASSIFIERS, *INVERTED, *SHIFTED, *BALANCED, *HIFA, *STUDENTS]
