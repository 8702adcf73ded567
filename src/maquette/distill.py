"""The corridor: one step of score distillation, and the generator around it.

One step is a relay::

    views -> render -> pixels -> encode -> latents -> [prior + objective: which way?]
                                                              |
    parameters <- optimise <- render backward <- regulate <- encode backward

Every idea of a paper is a change at exactly one of these arrows. The step knows nothing of logging,
drawing or saving: whoever consumes the reports does that.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from maquette.checks import finite
from maquette.errors import NumericalError
from maquette.ramps import number
from maquette.records import Report
from maquette.run import Run

__all__ = ["distill", "step"]

PATIENCE = 3
"""Consecutive skipped steps after which a run stops: a fault that persists will not heal itself."""


def step(run: Run) -> Report:
    """Do one step of ``run`` and report it; one with a non-finite value changes nothing."""
    recipe, prior, scene = run.recipe.at(run.step), run.prior, run.scene
    random = run.random.at(run.step)

    views = recipe.cameras.draw(recipe.views, round(number(recipe.size)), random).to(run.device)
    t = recipe.timesteps.draw(views, prior.schedule, random).to(run.device)
    words = recipe.prompting.words(prior, run.prompt, recipe.negative_prompt, views)

    render = scene.render(views, recipe.background.draw(views, random))
    pixels = finite("render", render.colour).detach().requires_grad_()
    latents = finite("encode", prior.encode(pixels))
    guidance = recipe.objective.gradient(prior, latents.detach(), t, words, run.memory, random)
    finite("objective", guidance.gradient)
    (pixel_gradient,) = torch.autograd.grad(latents, pixels, guidance.gradient)
    # Before the regulators, because a clamp would turn an infinity into a number.
    finite("encode backward", pixel_gradient)
    for regulator in recipe.gradients:
        pixel_gradient = finite("encode backward", regulator(pixel_gradient, render))

    losses = {loss.name: loss(render, scene) for loss in recipe.losses}
    torch.autograd.backward(
        [render.colour, *losses.values()], [pixel_gradient, *[None] * len(losses)]
    )
    for name, parameter in scene.parameters().items():
        finite(f"render backward: {name}", parameter.grad)
    run.optimiser.step(scene, recipe.rates)
    if recipe.growth is not None:
        run.growth = recipe.growth.after_step(scene, run.optimiser, render, run.growth, random)
    run.memory = guidance.state
    return run.report(recipe, views, t, guidance, losses, pixel_gradient)


def distill(run: Run) -> Iterator[Report]:
    """Step ``run`` to its end and yield a report after every step.

    Raises:
        NumericalError: after ``PATIENCE`` consecutive steps with a non-finite value, with its site.
    """
    while run.step < run.recipe.steps:
        try:
            report = step(run)
            run.skipped = 0
        except NumericalError as fault:
            run.skipped += 1
            if run.skipped >= PATIENCE:
                raise
            report = run.report_skipped(fault.site)
        run.step += 1
        yield report
