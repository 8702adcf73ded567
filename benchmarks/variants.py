"""What does each idea bring? The default recipe without one of its parts, or with another one.

    maquette bench toy --out runs/variants --prompt-seed 7 --budget 1200 \\
        --recipes maquette,benchmarks/variants.py:without_fusion,benchmarks/variants.py:with_path

These are the prompts that the recipe was tuned on; tables of results have others.
"""

from __future__ import annotations

from dataclasses import replace

from maquette.cameras.adaptive import AdaptiveRegions
from maquette.lookup import find_recipe
from maquette.objectives.csd import CSD
from maquette.objectives.tsm import TSM
from maquette.priors.lora import Adapter
from maquette.priors.path import Fading, Forming
from maquette.priors.text import Bare, PerpNeg, Sectors
from maquette.ramps import linear
from maquette.recipe import Recipe
from maquette.timesteps.regional import RegionalTime
from maquette.timesteps.uniform import Uniform

__all__ = [
    "four_views",
    "from_all_timesteps",
    "with_csd",
    "with_path",
    "with_perp_neg",
    "with_regional_time",
    "with_tsm",
    "without_clip",
    "without_fusion",
    "without_regions",
    "without_view_words",
]


def without_clip() -> Recipe:
    """No pixel is held back (PGC left out)."""
    return _changed("without-clip", gradients=())


def without_fusion() -> Recipe:
    """What neighbouring views asked for is not added (CoGrad3D's third part left out)."""
    return _changed("without-fusion", fusion=None)


def without_regions() -> Recipe:
    """Cameras are drawn evenly, and nothing is fused (CoGrad3D left out)."""
    return _changed("without-regions", cameras=find_recipe("dreamfusion").cameras, fusion=None)


def four_views() -> Recipe:
    """Half the steps with twice the views."""
    return _changed("four-views", views=4)


def from_all_timesteps() -> Recipe:
    """Only the upper end of the timesteps falls."""
    return _changed("all-timesteps", timesteps=Uniform(low=0.02, high=linear(0.98, 0.2)))


def with_regional_time() -> Recipe:
    """CoGrad3D's timesteps by region, with the paper's numbers; losses are small here."""
    cameras = find_recipe("maquette").cameras
    assert isinstance(cameras, AdaptiveRegions)
    time = RegionalTime(regions=cameras.regions, unit=0.001)
    return _changed("with-regional-time", timesteps=time)


def with_path() -> Recipe:
    """PTD: a path is formed to the first renders, and traced in the first fifth."""
    forming = Forming(adapter=Adapter(rank=4, learning_rate=1e-3), steps=50)
    progress = linear(0.0, 1.0, finish=0.2)
    return _changed("with-path", path=Fading(forming=forming, progress=progress))


def with_tsm() -> Recipe:
    """Dreamer XL's objective, inverted in one stride."""
    tsm = TSM(guidance_scale=7.5, gamma=0.3, stride=1000, weight="sigma_squared", strength=1.0)
    return _changed("with-tsm", objective=tsm)


def with_csd() -> Recipe:
    """The classifier part of SDS alone."""
    return _changed("with-csd", objective=CSD())


def without_view_words() -> Recipe:
    """Every view is asked for the bare prompt, wherever the camera is."""
    return _changed("without-view-words", prompting=Bare())


def with_perp_neg() -> Recipe:
    """Views are kept away from the words of other sides, at half the weights."""
    return _changed("with-perp-neg", prompting=PerpNeg(Sectors(), strength=0.5))


def _changed(name: str, **parts: object) -> Recipe:
    return replace(find_recipe("maquette"), name=name, **parts)  # pyright: ignore[reportArgumentType]
