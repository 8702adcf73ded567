"""The corridor: one step of score distillation, and the generator around it.

One step is a relay::

    views -> render -> pixels -> encode -> latents -> [prior + objective: which way?]
                                                              |
    parameters <- optimise <- fuse views <- render backward <- regulate <- encode backward

Every idea of a paper is a change at exactly one of these arrows. The step knows nothing of logging,
drawing or saving: whoever consumes the reports does that. Parts that learn do so at its end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from maquette.checks import finite
from maquette.errors import NumericalError
from maquette.gradients.base import Fusion
from maquette.priors.path import Path
from maquette.ramps import number
from maquette.records import Outcome, Render, Report
from maquette.run import Run

__all__ = ["distill", "step"]

PATIENCE = 3
"""Consecutive skipped steps after which a run stops: a fault that persists will not heal itself."""


def step(run: Run) -> Report:
    """Do one step of ``run`` and report it; one with a non-finite value changes nothing."""
    recipe = run.recipe.at(run.step)
    prior = run.prior if recipe.path is None else Path(run.prior, run.path, recipe.path)
    random = run.random.at(run.step)

    size, learnt = round(number(recipe.size)), run.learnt
    views = recipe.cameras.draw_from(learnt("cameras"), recipe.views, size, random).to(run.device)
    t = recipe.timesteps.draw_from(learnt("timesteps"), views, prior.schedule, random)
    t = t.to(run.device)
    words = recipe.prompting.words(prior, run.prompt, recipe.negative_prompt, views)

    scene = run.scene.shown(len(views), random)
    background = recipe.background.draw(views, random)
    render = scene.render(views, background, geometry=recipe.looks_at_geometry)
    pixels = finite("render", render.colour).detach().requires_grad_()
    latents = finite("encode", prior.encode(pixels))
    guidance = recipe.objective.gradient(prior, latents.detach(), t, words, learnt(), random)
    finite("objective", guidance.gradient)
    (pixel_gradient,) = torch.autograd.grad(latents, pixels, guidance.gradient)
    # Before the regulators, because a clamp would turn an infinity into a number.
    finite("encode backward", pixel_gradient)
    for regulator in recipe.gradients:
        pixel_gradient = finite("encode backward", regulator(pixel_gradient, render))

    losses = {loss.name: loss(render, scene) for loss in recipe.losses}
    outcome = Outcome(run.step + 1, views, t, guidance.value)
    if (fusion := recipe.fusion) is not None and fusion.asks:
        outcome = _fused(run, fusion, outcome, render, pixel_gradient, losses)
    else:
        torch.autograd.backward(
            [render.colour, *losses.values()], [pixel_gradient, *[None] * len(losses)]
        )
    for name, parameter in scene.parameters().items():
        finite(f"render backward: {name}", parameter.grad)
    run.optimiser.step(scene, scene.rates(recipe.rates))
    run.learn(recipe, guidance.state, outcome)
    run.grow(recipe, render, random)
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


def _fused(
    run: Run,
    fusion: Fusion,
    outcome: Outcome,
    render: Render,
    pixel_gradient: Tensor,
    losses: Mapping[str, Tensor],
) -> Outcome:
    """The backward pass with a fusion: the outcome, with what each view alone asks for.

    One pass per view, then one for the regularisers, which are added to what was fused.
    """
    parameters, by_view = run.scene.parameters(), []
    for view in range(len(pixel_gradient)):
        alone = torch.zeros_like(pixel_gradient)
        alone[view] = pixel_gradient[view]
        # Gradients on the screen add up where growth reads them; those of the scene are taken out.
        torch.autograd.backward(render.colour, alone, retain_graph=True)
        by_view.append({k: finite(f"render backward: {k}", p.grad) for k, p in parameters.items()})
        run.optimiser.clear(run.scene)
    gradients = {name: torch.stack([own[name] for own in by_view]) for name in parameters}
    moved = {name: value for name, value in gradients.items() if name in run.recipe.rates}
    outcome = replace(outcome, gradients=moved)
    fused = {**gradients, **fusion.fuse(run.learnt("fusion"), outcome)}
    for name, parameter in parameters.items():
        parameter.grad = fused[name].sum(0)
    if losses:
        torch.autograd.backward(list(losses.values()))
    return outcome
