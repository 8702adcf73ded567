"""PTD: a prior that is bent towards the first renders and walks back to itself, on Gaussians.

Anonymous, under review, Path-Tracing Distillation: Enhancing Stability in Text-to-3D Generation by
Mitigating Out-of-Distribution Issues, sections 4.2 and 4.3, algorithm 2 and appendix E. It is built
on LucidDreamer, whose settings hold where it gives none: ISM with guidance 7.5 in form A, both of
its terms asked of the bent prior.

Convention: paper; there is no public code. The adapter has rank 4 and is trained for 400 steps, as
the main text says; the appendix has two of them, of 400 and 200 "epochs", and does not say which is
for what. Its weight is ``1 - p^0.3`` along the first 1000 steps. The paper starts from the point
cloud of a mesh that another model makes; here it is LucidDreamer's ball, which is further from what
the prior knows.
"""

from dataclasses import replace

from maquette.priors.lora import Adapter
from maquette.priors.path import Fading, Forming
from maquette.ramps import linear
from maquette.recipe import Recipe
from maquette.recipes._small import shrunk
from maquette.recipes.luciddreamer import luciddreamer

CITE = """@misc{anonymousptd,
  title = {Path-Tracing Distillation: Enhancing Stability in Text-to-3D Generation by Mitigating
    Out-of-Distribution Issues},
  author = {Anonymous},
  note = {Paper under double-blind review},
}"""


def ptd() -> Recipe:
    """ISM with omega 7.5 in 5000 steps of four views, the first 1000 of them along the path."""
    return replace(
        luciddreamer(),
        name="ptd",
        paper="Path-tracing distillation, Anonymous, under review",
        path=_path(learning_rate=1e-4, steps=400),
    )


def small() -> Recipe:
    """The same on the embedded prior, whose path is formed in fewer and longer steps."""
    return shrunk(ptd(), path=_path(learning_rate=1e-3, steps=100))


def _path(*, learning_rate: float, steps: int) -> Fading:
    """The path, formed at that rate in so many steps and traced in the first fifth of a run."""
    adapter = Adapter(rank=4, learning_rate=learning_rate)
    return Fading(
        forming=Forming(adapter=adapter, steps=steps),
        progress=linear(0.0, 1.0, finish=1000 / 5000),
        power=0.3,
    )
