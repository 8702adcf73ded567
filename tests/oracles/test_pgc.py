"""Clipping of the pixel gradient: what it keeps, what it bounds, and where it stands in a step."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
import torch
from torch import Tensor
from toys import PROMPT, close, numbers

from maquette.cameras.uniform import Uniform
from maquette.distill import step
from maquette.errors import InputError
from maquette.gradients.base import Regulator
from maquette.gradients.depth import ClipDepth
from maquette.gradients.pixel import PNGD, ClipByNorm, ClipByValue, GlobalScale
from maquette.inits.base import Init
from maquette.objectives.sds import SDS
from maquette.priors.analytic import GaussianMixture, Mixture
from maquette.priors.text import words_for
from maquette.randomness import Randomness
from maquette.recipe import Recipe
from maquette.records import Render, Views
from maquette.run import Run
from maquette.scenes.background import Plain
from maquette.scenes.base import Scene
from maquette.timesteps.uniform import Uniform as UniformTime

C = 0.1
NORMS = ("l2", "linf")
PIXELWISE = [ClipByNorm(C), ClipByNorm(C, "linf"), ClipByValue(C), PNGD(C), PNGD(C, "linf")]
KEEP_DIRECTION = [part for part in PIXELWISE if not isinstance(part, ClipByValue)]
CLIPS = [part for part in PIXELWISE if not isinstance(part, PNGD)]
CONTRACTIONS = [ClipByNorm(C), ClipByValue(C), PNGD(C)]

each_norm = pytest.mark.parametrize("norm", NORMS)


def each(parts: list[Regulator]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("part", parts, ids=repr)


@dataclass(frozen=True)
class Splatted(Render):
    """A render of Gaussians that tells their scales."""

    scales: Tensor | None = None


def render(scale: float = 0.02) -> Splatted:
    """A render whose Gaussians have ``scale`` in the mean."""
    empty = torch.zeros(1, 1, 1, 3)
    scales = scale * torch.tensor([[0.5, 1.0, 1.5], [1.0, 0.25, 1.75]], dtype=torch.float64)
    return Splatted(empty, empty[..., :1], scales=scales)


def regulated(part: Regulator, gradient: Tensor, scale: float = 0.02) -> Tensor:
    return part(gradient, render(scale))


def gradient(seed: int = 0) -> Tensor:
    """Two pictures whose pixels lie on both sides of ``C`` and on it."""
    given = numbers(2, 6, 5, 3, seed=seed)
    size = torch.logspace(-4, 2, 60, dtype=torch.float64).reshape(2, 6, 5, 1)
    given = given / given.norm(dim=-1, keepdim=True) * size
    given[0, 0, 0] = torch.tensor([C, 0.0, 0.0])
    given[1, 0, 0] = 0.0
    return given


def size_of(pixels: Tensor, norm: str) -> Tensor:
    return pixels.norm(dim=-1) if norm == "l2" else pixels.abs().amax(-1)


@each(KEEP_DIRECTION)
def test_the_direction_of_every_pixel_is_kept(part):
    given = gradient()
    cosine = torch.cosine_similarity(regulated(part, given), given, dim=-1, eps=1e-300)
    alive = given.norm(dim=-1) > 0
    close("5.11 cosine", cosine[alive], torch.ones(1), 1e-14)


@each(CLIPS)
def test_clipping_twice_is_clipping_once(part):
    once = regulated(part, gradient())
    close("5.11 idempotent", regulated(part, once), once, 1e-16)


@each(CLIPS)
def test_below_the_threshold_nothing_changes_at_all(part):
    given = 0.999 * C * gradient() / gradient().norm(dim=-1).max()
    assert torch.equal(regulated(part, given), given)


@pytest.mark.parametrize("k", [2.0**-20, 3.0, 65536.0])
@each(PIXELWISE)
def test_gradient_and_threshold_scale_together(part, k):
    given = gradient()
    scaled = regulated(type(part)(**{**vars(part), "threshold": k * C}), k * given)
    close("5.11 P_kc(k u) = k P_c(u)", scaled / k, regulated(part, given), 1e-16)


@each_norm
def test_clip_by_norm_in_closed_form(norm):
    given = gradient()
    answer = regulated(ClipByNorm(C, norm), given)
    size = size_of(given, norm)
    factor = torch.where(size > C, C / size.clamp(min=1e-300), 1.0)
    close("5.11 PGC-N", answer, given * factor[..., None], 1e-16)
    close("5.11 PGC-N bound", size_of(answer, norm), size.clamp(max=C), 1e-16)


def test_clip_by_norm_is_the_nearest_point_of_a_ball():
    given = gradient()
    nearest = regulated(ClipByNorm(C), given)
    for seed in range(20):
        inside = numbers(*given.shape, seed=seed)
        inside = C * inside / inside.norm(dim=-1, keepdim=True) * (seed + 1) / 20
        # A point is the nearest of a convex set exactly if no other lies further towards u.
        angle = ((given - nearest) * (inside - nearest)).sum(-1)
        assert float((angle / given.norm(dim=-1).clamp(min=1)).max()) <= 1e-16


def test_clip_by_value_is_the_nearest_point_of_a_box():
    given = gradient()
    expected = torch.where(given.abs() > C, C * given.sign(), given)
    assert torch.equal(regulated(ClipByValue(C), given), expected)
    turned = regulated(ClipByValue(1.0), torch.tensor([[[[4.0, 1.0, 0.0]]]]).double())
    close("5.11 PGC-V turns a pixel", turned, torch.tensor([1.0, 1.0, 0.0]), 0.0)
    cosine = float(torch.cosine_similarity(turned[0, 0, 0], torch.tensor([4.0, 1, 0]).double(), 0))
    assert cosine < 0.9


@each(CONTRACTIONS)
def test_no_two_pixels_end_further_apart_than_they_began(part):
    for seed in range(20):
        one, step_away = gradient(seed), 10.0 ** (-seed / 3) * numbers(2, 6, 5, 3, seed=seed + 50)
        before = step_away.norm(dim=-1)
        after = (regulated(part, one + step_away) - regulated(part, one)).norm(dim=-1)
        assert float((after / before).max()) <= 1 + 1e-9


def test_the_largest_channel_may_tear_pixels_apart():
    one, other = (torch.tensor([[[[x, 1.0, 1.0]]]], dtype=torch.float64) for x in (1.0001, 1.1))
    ends = [regulated(ClipByNorm(1.0, "linf"), pixel) for pixel in (one, other)]
    assert float((one - other).norm()) < 0.09991
    assert float((ends[0] - ends[1]).norm()) > 0.1284
    ball = [regulated(ClipByNorm(1.0), pixel) for pixel in (one, other)]
    assert float((ball[0] - ball[1]).norm()) < 0.0999


def test_the_two_norms_are_not_the_same():
    pixel = torch.full((1, 1, 1, 3), 0.08, dtype=torch.float64)
    assert torch.equal(regulated(ClipByNorm(C, "linf"), pixel), pixel)
    close("PGC-N of (c, c, c)", regulated(ClipByNorm(C), pixel), pixel * C / (0.08 * 3**0.5), 1e-16)


@each_norm
def test_normalised_descent_in_closed_form(norm):
    given = gradient()
    answer, size = regulated(PNGD(C, norm), given), size_of(given, norm)
    close("PNGD", answer, C * given / (size + C)[..., None], 1e-16)
    assert float(size_of(answer, norm).max()) < C
    at_threshold = torch.tensor([[[[0.0, -C, 0.0]]]], dtype=torch.float64)
    close("PNGD at c", regulated(PNGD(C, norm), at_threshold), at_threshold / 2, 1e-17)
    close("PNGD near 0", regulated(PNGD(C, norm), 1e-12 * given) * 1e12, given, 1e-6)
    twice = regulated(PNGD(C, norm), answer)
    assert float((twice - answer).abs().max()) > 0.01


@each(PIXELWISE)
def test_a_pixel_does_not_feel_the_others(part):
    given = gradient()
    together = regulated(part, given)
    for row in range(2):
        assert torch.equal(regulated(part, given[row : row + 1]), together[row : row + 1])
    alone = regulated(part, given[1:, 2:3, 3:4])
    assert torch.equal(alone, together[1:, 2:3, 3:4])


@pytest.mark.parametrize("power", [-300, -160, 160, 300])
@each_norm
def test_sizes_whose_squares_cannot_be_written_down(norm, power):
    pixel = 10.0**power * torch.tensor([[[[3.0, -4.0, 0.0]]]], dtype=torch.float64)
    answer = regulated(ClipByNorm(C, norm), pixel)
    unit = torch.tensor([3.0, -4.0, 0.0]).double() / (5.0 if norm == "l2" else 4.0)
    expected = pixel if power < 0 else C * unit
    close("PGC-N at the ends of the range", answer, expected, 1e-16)


def test_global_scale_is_one_factor_for_the_step():
    given = gradient()
    answer = regulated(GlobalScale(C), given)
    close("global scale", answer, given * C / given.abs().max(), 1e-16)
    close("global scale: size", answer.abs().max() - C, 0.0, 1e-16)
    close("global scale: any size", regulated(GlobalScale(C), 1e-200 * given), answer, 1e-15)
    calm = given.clone()
    calm[1] *= 1e-3
    assert float((regulated(GlobalScale(C), calm)[0] - answer[0]).abs().max()) > 1e-5


@pytest.mark.parametrize("c", [1.0, 0.25, 0.01])
def test_depth_clip_of_the_paper(c):
    given, scale = gradient(), 0.02
    answer = regulated(ClipDepth(c), given, scale)
    size = given.abs().clamp(min=1e-300)
    close("3.2 depth, paper", answer, given * (scale / size).clamp(max=c), 1e-16)
    assert float(answer.abs().max()) <= scale * (1 + 1e-15)
    small = given.abs() < scale / c
    close("3.2 depth, small gradients", answer[small], c * given[small], 1e-17)
    assert bool(small.any())
    assert not bool(small.all())


def test_depth_clip_of_the_paper_leaves_sound_elements_alone_only_at_one():
    calm = 0.01 * gradient() / gradient().abs().max()
    assert torch.equal(regulated(ClipDepth(1.0), calm), calm)
    assert not torch.equal(regulated(ClipDepth(0.5), calm), calm)


def test_depth_clip_of_the_code():
    given, c, scale = gradient(), 0.01, 0.02
    answer = regulated(ClipDepth(c, "code"), given, scale)
    size = given.abs().clamp(min=1e-300)
    factor = float((c * scale / size).clamp(max=1).min())
    assert factor < 1
    close("3.2 depth, code", answer, factor * given, 1e-17)
    close("3.2 depth, code: bound", answer.abs().max() - c * scale, 0.0, 1e-17)
    calm = 0.9 * c * scale * given / given.abs().max()
    assert torch.equal(regulated(ClipDepth(c, "code"), calm, scale), calm)
    spiked = calm.clone()
    spiked[0, 0, 0, 0] = 1.0
    shrunk = regulated(ClipDepth(c, "code"), spiked, scale)
    close("3.2 depth, code: one spike for all", shrunk[1], c * scale * calm[1], 1e-18)
    apart = regulated(ClipDepth(1.0), spiked, scale)
    assert torch.equal(apart[1], calm[1])


def test_depth_clip_needs_gaussians():
    bare = Render(torch.zeros(2, 6, 5, 3), torch.zeros(2, 6, 5, 1))
    with pytest.raises(InputError, match="scale of the Gaussians"):
        ClipDepth()(gradient(), bare)


def test_unknown_norms_and_conventions_are_refused():
    parts = [replace(ClipByNorm(), norm="l1"), replace(PNGD(), norm="l1")]
    for part in (*parts, replace(ClipDepth(), convention="mine")):
        with pytest.raises(InputError, match="Choose"):
            regulated(part, gradient())


class Picture(Scene):
    """A scene that is its own picture, so that its gradient is the one on the pixels."""

    def __init__(self, pixels: Tensor) -> None:
        self.arrived: list[Tensor] = []
        self.replace({"pixels": pixels})

    def render(self, views: Views, background: Tensor, *, geometry: bool = False) -> Render:
        return Render(self.pixels * 1.0, torch.ones_like(self.pixels[..., :1]))

    def parameters(self) -> dict[str, Tensor]:
        return {"pixels": self.pixels}

    def replace(self, parameters: dict[str, Tensor]) -> None:
        self.pixels = parameters["pixels"].detach().clone().requires_grad_()
        self.pixels.register_hook(self.arrived.append)


@dataclass(frozen=True)
class Photographs(Init):
    """Starts from two random pictures of 6 x 6."""

    count: int = 2

    def make(self, prompt: str, random: Randomness) -> Picture:
        return Picture(numbers(self.count, 6, 6, 3, seed=1).sigmoid())


@dataclass(frozen=True)
class Witness(Regulator):
    """Changes nothing and remembers."""

    memory: list[Tensor] = field(default_factory=list, compare=False, init=False)

    def __call__(self, pixel_gradient: Tensor, render: Render) -> Tensor:
        self.memory.append(pixel_gradient.clone())
        return pixel_gradient


def one_step(objective: SDS, jacobian: Tensor, regulator: Regulator) -> tuple[Tensor, ...]:
    """The gradient before and behind ``regulator`` in a step whose encoder is ``jacobian``, the one
    that arrives at the scene, and the objective's own on the latents."""
    law = Mixture.gaussian(numbers(4, seed=3), 0.3)
    null = Mixture.gaussian(numbers(4, seed=4), 0.3)
    prior = GaussianMixture({PROMPT: law}, (1, 2, 2), null=null, image_size=6, encoder=jacobian)
    before, behind = Witness(), Witness()
    recipe = Recipe(
        name="placement",
        paper="none",
        objective=objective,
        cameras=Uniform(),
        timesteps=UniformTime(),
        init=Photographs(),
        background=Plain(),
        rates={"pixels": 0.01},
        gradients=(before, regulator, behind),
        views=2,
        size=6,
    )
    run, random = Run.start(PROMPT, recipe, prior), Randomness(0)
    assert isinstance(run.scene, Picture)
    latents = prior.encode(run.scene.pixels.detach())
    views = recipe.cameras.draw(2, 6, random)
    t = recipe.timesteps.draw(views, prior.schedule, random)
    words = words_for(prior, PROMPT, "", views)
    own = objective.gradient(prior, latents, t, words, {}, random).gradient
    step(run)
    return before.memory[0], behind.memory[0], run.scene.arrived[0], own


def test_a_step_clips_the_pixels_and_not_the_latents():
    jacobian = numbers(4, 6 * 6 * 3, seed=2)
    clip = ClipByNorm(6.0)
    before, behind, arrived, g = one_step(SDS(7.5), jacobian, clip)
    through = (g.flatten(1) @ jacobian).reshape(2, 6, 6, 3)  # J^T g
    close("5.11 placement: J^T g", before, through, 1e-13)
    is_clipped = through.norm(dim=-1) > 6.0
    assert bool(is_clipped.any())
    assert not bool(is_clipped.all())
    close("5.11 placement: P_c(J^T g)", behind, regulated(clip, through), 1e-13)
    assert torch.equal(arrived, behind)
    clipped_latents = regulated(clip, g.movedim(1, -1)).movedim(-1, 1)
    other_order = (clipped_latents.flatten(1) @ jacobian).reshape(2, 6, 6, 3)  # J^T P_c(g)
    assert float((behind - other_order).abs().max()) > 1.0
