"""The analytic prior: three objectives on a problem whose answer is known.

Idea: all pictures scatter widely around one picture, and those of the prompt scatter little around
the same one. The score of such a prior is a formula, so that no network is needed, and every sound
objective must lead from any start to that picture. This is how the objectives of this library are
tested, and the quickest way to try out one of your own.

Printed for each objective: the root mean square distance to the answer, before and after.

Usage:
    python examples/03_analytic_prior.py          # 400 steps
    python examples/03_analytic_prior.py 20       # a short form: 20 steps
"""

import sys

import torch

from maquette.objectives.base import Objective
from maquette.objectives.csd import CSD
from maquette.objectives.ism import ISM
from maquette.objectives.sds import SDS
from maquette.priors.analytic import GaussianMixture, Mixture
from maquette.randomness import Randomness
from maquette.records import Words

SIZE = 8


def distances(objective: Objective, steps: int) -> tuple[float, float]:
    """Descend on the objective from noise; the distance to the answer before and after."""
    random = Randomness(0)
    answer = torch.rand(3 * SIZE * SIZE, generator=random.generator("answer")).double()
    prior = GaussianMixture(
        {"a mug": Mixture.gaussian(answer, 0.05)},
        (3, SIZE, SIZE),
        null=Mixture.gaussian(answer, 1.0),
    )
    null = prior.condition([""])
    words = Words(prior.condition(["a mug"]), null, null)
    state = objective.init(prior)
    latent = random.normal("start", torch.zeros(1, 3, SIZE, SIZE, dtype=torch.float64))
    first = _distance(latent, answer)
    for step in range(steps):
        now = random.at(step)
        t = (200 + 400 * now.uniform("t", 1)).long()
        guidance = objective.gradient(prior, latent, t, words, state, now)
        # A falling rate averages out the noise that SDS adds in every step.
        latent, state = latent - 0.3 * (1 - step / steps) * guidance.gradient, guidance.state
    return first, _distance(latent, answer)


def _distance(latent: torch.Tensor, answer: torch.Tensor) -> float:
    return float((latent.flatten() - answer).square().mean().sqrt())


if __name__ == "__main__":
    torch.set_num_threads(1)
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    for objective in (SDS(guidance_scale=1.0), CSD(), ISM(guidance_scale=1.0, strength=1.0)):
        first, last = distances(objective, steps)
        print(f"{type(objective).__name__}: distance {first:.3f} before, {last:.3f} after")
