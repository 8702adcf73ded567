"""Faults in regulators, timesteps, cameras, fusion and the step."""

from __future__ import annotations

from mutant_catalogue.mutant import faults_in

PIXELS = (
    faults_in(
        "gradients/pixel.py",
        "oracles/test_pgc",
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
    + faults_in(
        "gradients/depth.py",
        "oracles/test_pgc",
        code_bound_without_the_scale=("bound = factor * scale", "bound = factor"),
        paper_factor_after_the_cut=(
            "(factor * pixel_gradient).clamp(-scale, scale)",
            "factor * pixel_gradient.clamp(-scale, scale)",
        ),
    )
    + faults_in(
        "distill.py",
        "oracles/test_pgc",
        "oracles/test_linear_renderers",
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

TIME = faults_in(
    "timesteps/dreamtime.py",
    "oracles/test_dreamtime",
    summed_from_below=("weight.flip(0).cumsum(0).flip(0)", "weight.cumsum(0)"),
    preference_without_half=("nearness = -0.5 *", "nearness = -1.0 *"),
    weight_without_rho=("return levels, rho * nearness.exp()", "return levels, nearness.exp()"),
)

REGIONS = (
    faults_in(
        "history.py",
        "oracles/test_cograd3d",
        "oracles/test_cograd3d_fusion",
        average_forgets_what_it_should_keep=(
            "decay * kept + (1.0 - decay) * newest",
            "(1.0 - decay) * kept + decay * newest",
        ),
        first_difference_backwards=(
            "losses[:, 0] - losses[:, 1], 0.0",
            "losses[:, 1] - losses[:, 0], 0.0",
        ),
        second_difference_without_two=(
            "losses[:, 0] - 2.0 * losses[:, 1]",
            "losses[:, 0] - losses[:, 1]",
        ),
        azimuth_has_an_end=("torch.minimum(around, self.azimuths - around)", "around"),
        azimuth_from_the_front=("views.azimuth_deg + 180.0, 360.0", "views.azimuth_deg, 360.0"),
    )
    + faults_in(
        "cameras/adaptive.py",
        "oracles/test_cograd3d",
        temperature_upside_down=(
            "convergence(state, self.stability) / temperature",
            "convergence(state, self.stability) * temperature",
        ),
        indicator_of_a_sum=("(mean * count + stability)", "(mean + stability)"),
        mean_over_one_too_many=("before / (count - 1).clamp(min=1)", "before / count.clamp(min=1)"),
    )
    + faults_in(
        "timesteps/regional.py",
        "oracles/test_cograd3d",
        baseline_upwards=(
            "snr[-1] + progress * (snr[0] - snr[-1])",
            "snr[0] + progress * (snr[-1] - snr[0])",
        ),
        state_clipped_instead_of_its_change=(
            "kept + max(-self.largest, min(self.largest, update))",
            "max(-self.largest, min(self.largest, kept + update))",
        ),
        sum_of_neighbours=(
            'state["local"].cpu()).sum(1) / weight.sum(1)',
            'state["local"].cpu()).sum(1)',
        ),
        base_clipped_after_the_window=(
            "(base.clamp(low, high) + off) * end",
            "(base + off).clamp(low, high) * end",
        ),
    )
    + faults_in(
        "gradients/fusion.py",
        "oracles/test_cograd3d_fusion",
        not_projected=("main + perpendicular(added, main)", "main + added"),
        projected_on_the_neighbours=(
            "main + perpendicular(added, main)",
            "added + perpendicular(main, added)",
        ),
        farther_weighs_more=("2.0**-apart, 0.0", "2.0**apart, 0.0"),
        reach_inclusive=("apart < self.reach", "apart <= self.reach"),
        window_inclusive=(
            "now - step < number(self.step_gap) * now",
            "now - step <= number(self.step_gap) * now",
        ),
    )
)

PARTS = [*PIXELS, *TIME, *REGIONS]
