"""Before the first step: paths are formed from the first renders, and what does not fit is refused.

And what comes of it: the prior at the end of a path, the files of particles, and the evaluations.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path as FilePath
from typing import Any

import pytest
import torch
from torch import Tensor

import tiny
from adapters import adapts, attending
from maquette import beginning
from maquette.costs import evaluations_before, evaluations_per_step, steps_within
from maquette.distill import distill
from maquette.errors import InputError, PriorError
from maquette.export.ply import read_ply
from maquette.generation import generate
from maquette.gradients.fusion import OrthogonalFusion
from maquette.inits.several import Several
from maquette.inits.sphere import Sphere
from maquette.objectives.ism import ISM
from maquette.objectives.sds import SDS
from maquette.objectives.vsd import VSD
from maquette.priors.base import Prior
from maquette.priors.lora import Adapter, LoRA
from maquette.priors.path import Fading, Forming, Path, Retracing
from maquette.priors.students import GaussianFit
from maquette.ramps import linear
from maquette.randomness import Randomness
from maquette.recipe import Recipe
from maquette.records import Guidance, Words
from maquette.run import Run
from maquette.run_folder import load
from maquette.scenes.particles import GrowthOfEach, Particles

PROMPT = "a mug"
FORMING = Forming(Adapter(learning_rate=0.02), steps=3, batch=2)
PATH = Fading(FORMING, progress=linear(0.0, 1.0, finish=0.5))


def recipe(**changes: object) -> Recipe:
    parts = {"growth": None, "steps": 8, "size": 16, **changes}
    return dataclasses.replace(tiny.recipe(), **parts)  # pyright: ignore[reportArgumentType]


def done(recipe: Recipe) -> Run:
    run = Run.start(PROMPT, recipe, attending(torch.float32))
    assert not any(report.skipped for report in distill(run))
    return run


def test_a_path_leads_to_the_first_renders_each_with_its_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[tuple[Tensor, Words]] = []

    def note(_: Prior, latents: Tensor, words: Words, *__: Any) -> dict[str, Tensor]:
        given.append((latents, words))
        return {"formed": torch.ones(1)}

    monkeypatch.setattr(beginning, "form", note)
    prior, scenes = attending(torch.float32), []
    for views in (2, 3):
        run = Run.start(PROMPT, recipe(path=PATH, views=views), prior)
        scenes.append(run.scene)
        assert run.path.keys() == {"formed"}
    (latents, words), (more, _) = given
    assert (len(latents), len(more)) == (64, 66)
    assert latents.shape[1:] == prior.latent_shape
    assert not latents.requires_grad
    # The views and words of the renders are those of the recipe's parts at steps below 0.
    now, first = Randomness(0).at(-1), recipe().at(0)
    views = first.cameras.draw(2, 16, now)
    render = scenes[0].render(views, first.background.draw(views, now))
    torch.testing.assert_close(latents[:2], prior.encode(render.colour))
    told = first.prompting.words(prior, PROMPT, "", views).positive.embedding
    assert torch.equal(words.positive.embedding[:2], told)
    assert len(torch.unique(words.positive.embedding, dim=0)) > 2
    assert len(torch.unique(latents, dim=0)) == 64


@dataclasses.dataclass(frozen=True)
class Comparing(SDS):
    """Notes the weight of the path and whether the gradient is that of the plain prior."""

    seen: list = dataclasses.field(default_factory=list, compare=False)

    def gradient(self, prior: Prior, *given: Any) -> Guidance:
        answer = super().gradient(prior, *given)
        assert isinstance(prior, Path)
        plain = super().gradient(prior.prior, *given)
        self.seen.append((prior.scale, torch.equal(answer.gradient, plain.gradient)))
        return answer


def test_a_run_begins_with_the_bent_prior_and_ends_with_the_prior_itself() -> None:
    comparing = Comparing()
    done(recipe(objective=comparing, path=PATH))
    progress = [2 * step / 7 for step in range(8)]
    expected = [1 - min(p, 1.0) ** 0.3 for p in progress]
    assert [weight for weight, _ in comparing.seen] == pytest.approx(expected)
    assert [same for _, same in comparing.seen] == [weight == 0 for weight in expected]
    assert expected[0] == 1
    assert expected[-4:] == [0, 0, 0, 0]


def test_a_path_changes_what_comes_out_and_is_saved_only_where_it_is(tmp_path: FilePath) -> None:
    bent, plain = done(recipe(path=PATH)), done(recipe())
    assert not torch.equal(bent.scene.parameters()["means"], plain.scene.parameters()["means"])
    assert plain.path == {}
    assert not (plain.save(tmp_path / "plain") / "path.safetensors").exists()
    folder = bent.save(tmp_path / "bent")
    real = sum(path.stat().st_size for path in folder.iterdir())
    assert real <= bent.state_bytes() <= 4 * real
    back = Run.resume(tmp_path / "bent", attending(torch.float32))
    assert bent.path.keys() == back.path.keys()
    assert all(torch.equal(value, back.path[name]) for name, value in bent.path.items())


@pytest.mark.parametrize(
    "changes", [{"path": PATH}, {"objective": VSD(LoRA())}], ids=["a path", "a student"]
)
def test_a_prior_without_a_network_is_refused_before_any_render(
    changes: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(type(Sphere(count=3).make("", Randomness(0))), "render", never)
    with pytest.raises(PriorError, match="shapes has no U-Net"):
        Run.start(tiny.PROMPT, recipe(**changes), tiny.prior())


@pytest.mark.parametrize(
    "changes", [{"path": PATH}, {"objective": VSD(LoRA())}], ids=["a path", "a student"]
)
def test_a_prior_without_a_network_is_refused_before_there_is_a_folder(
    changes: dict, tmp_path: FilePath
) -> None:
    with pytest.raises(PriorError, match="shapes has no U-Net"):
        generate(tiny.PROMPT, recipe=recipe(**changes), prior=tiny.prior(), out=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("particles", [1, 2])
def test_a_fusion_of_particles_is_refused(particles: int) -> None:
    several = Several(Sphere(count=20), particles)
    with pytest.raises(InputError, match="different particles"):
        Run.start(tiny.PROMPT, recipe(init=several, fusion=OrthogonalFusion()), tiny.prior())
    Run.start(tiny.PROMPT, recipe(init=several), tiny.prior())


def test_growth_of_a_single_scene_refuses_particles_and_names_the_other() -> None:
    several = recipe(init=Several(Sphere(count=128), 2), growth=tiny.recipe().growth)
    with pytest.raises(InputError) as caught:
        Run.start(tiny.PROMPT, several, tiny.prior())
    assert "GrowthOfEach" in caught.value.next_step


@pytest.mark.parametrize("tracing", [Fading(), Retracing(), None], ids=lambda part: type(part))
def test_the_tiny_form_shrinks_paths_and_starts_within_starts(tracing: object) -> None:
    start = Several(Several(Sphere(count=5000), 3), 4)
    small = recipe(path=tracing, init=start).tiny()
    assert small.init == Several(Several(Sphere(count=64), 2), 2)
    if tracing is not None:
        assert type(small.path) is type(tracing)
    run = done(dataclasses.replace(small, init=Sphere(count=64)))
    assert [len(value) for name, value in run.path.items() if name == "losses"] == (
        [] if tracing is None else [2]
    )


COUNTED: dict[str, dict[str, Any]] = {
    "a student that adapts": {"objective": VSD(LoRA())},
    "a student in closed form": {"objective": VSD(GaussianFit())},
    "a path": {"objective": SDS(), "path": PATH},
    "both": {"objective": VSD(LoRA()), "path": PATH},
    "a path ridden by ISM": {"objective": ISM(stride=400), "path": PATH},
}


@pytest.mark.parametrize("name", COUNTED)
def test_runs_take_the_evaluations_that_were_counted_beforehand(name: str) -> None:
    made = recipe(**COUNTED[name])
    run = Run.start(PROMPT, made, attending(torch.float32))
    assert run.prior.evaluations == evaluations_before(made) == (6 if made.path else 0)
    *_, last = distill(run)
    taken = last.evaluations - evaluations_before(made)
    expected = made.steps * evaluations_per_step(made)
    if isinstance(made.objective, ISM):
        assert taken == pytest.approx(expected, rel=0.5)
    else:
        assert taken == expected
    assert steps_within(made, round(expected) + evaluations_before(made)) == made.steps


def test_who_adapts_is_known() -> None:
    found = {name: adapts(recipe(**changes)) for name, changes in COUNTED.items()}
    assert [name for name, needs in found.items() if not needs] == ["a student in closed form"]


def test_particles_leave_an_asset_each_and_the_first_is_shown(tmp_path: FilePath) -> None:
    several = recipe(
        objective=VSD(GaussianFit(), guidance_scale=3.0),
        init=Several(Sphere(count=60, radius=0.6), 3),
        growth=GrowthOfEach(gradient_threshold=1e-6, every=2, cap=70, floor=50),
        size=24,
    )
    folders = []
    for out, init in ((tmp_path / "three", several.init), (tmp_path / "one", Sphere(count=60))):
        made = dataclasses.replace(several, init=init)
        result = generate(tiny.PROMPT, recipe=made, prior=tiny.prior(), out=out, watch=tiny.watch())
        folders.append(result.folder)
    folder = folders[0]
    names = ["asset-1.ply", "asset-2.ply", "asset.ply"]
    assert sorted(path.name for path in folder.glob("*.ply")) == names
    assert [path.name for path in folders[1].glob("*.ply")] == ["asset.ply"]
    run = Run.resume(folder / "checkpoints", tiny.prior())
    assert isinstance(run.scene, Particles)
    first, *others = run.scene.scenes
    loaded = load(folder)
    for name, value in first.parameters().items():
        assert torch.equal(value, loaded.parameters()[name])
    for number, particle in enumerate([first, *others]):
        asset = read_ply(folder / (f"asset-{number}.ply" if number else "asset.ply"))
        assert asset.count == particle.count
        torch.testing.assert_close(asset.means, particle.parameters()["means"])
    from maquette.assets import write_preview

    write_preview(tmp_path / "first.png", first)
    assert (tmp_path / "first.png").read_bytes() == (folder / "preview.png").read_bytes()
