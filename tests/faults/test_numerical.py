"""A value that is not finite: named, its step skipped; if it lasts, the run ends."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

import tiny
from maquette.distill import PATIENCE, distill, step
from maquette.errors import NumericalError
from maquette.export.ply import read_ply
from maquette.generation import generate
from maquette.gradients.base import Regulator
from maquette.losses import Sparsity
from maquette.priors.base import Prior
from maquette.records import Condition, Render, Views
from maquette.run import Run
from maquette.run_folder import load
from maquette.scenes.base import Scene
from maquette.scenes.gaussians import Gaussians

VALUES = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}


class Faulty(Prior):
    """The tiny prior with a value that is not finite in what it encodes or predicts, some times.

    Args:
        site: ``encode``, ``encode backward`` or ``predict``.
        value: what to put there.
        when: at which encodings, counted from 1.
    """

    def __init__(self, site: str = "", value: float = 0.0, when: Sequence[int] = ()) -> None:
        self.prior = tiny.prior()
        self.schedule, self.image_size = self.prior.schedule, self.prior.image_size
        self.latent_shape, self.name = self.prior.latent_shape, self.prior.name
        self.site, self.value, self.when, self.steps = site, value, when, 0

    def encode(self, images: Tensor) -> Tensor:
        self.steps += 1
        latents = self.prior.encode(images)
        if self._now("encode"):
            return torch.cat([latents[:, :, :1] * self.value, latents[:, :, 1:]], dim=2)
        if self._now("encode backward"):
            latents.register_hook(lambda gradient: gradient * self.value)
        return latents

    def predict(self, noised: Tensor, t: Tensor, conditions: Sequence[Condition]) -> Tensor:
        eps = self.prior.predict(noised, t, conditions)
        return eps * self.value if self._now("predict") else eps

    def condition(
        self, texts: Sequence[str], views: Views | None = None, render: Render | None = None
    ) -> Condition:
        return self.prior.condition(texts, views, render)

    def fingerprint(self) -> dict[str, str]:
        return self.prior.fingerprint()

    def _now(self, site: str) -> bool:
        return site == self.site and self.steps in self.when


@dataclasses.dataclass(frozen=True)
class Broken(Regulator):
    """A regulator that spoils the gradient of every step."""

    def __call__(self, pixel_gradient: Tensor, render: Render) -> Tensor:
        return pixel_gradient / 0.0


@dataclasses.dataclass(frozen=True)
class Infinite(Sparsity):
    """A loss whose gradient is not finite."""

    def value(self, render: Render, scene: Scene) -> Tensor:
        return (render.alpha - render.alpha.detach()).sqrt().sum()


SITES = {"encode": "encode", "encode backward": "encode backward", "predict": "objective"}


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("site", SITES)
def test_a_fault_is_named_where_it_is_born_and_changes_nothing(site: str, value: str) -> None:
    run = Run.start(tiny.PROMPT, tiny.recipe(), Faulty(site, VALUES[value], [2]))
    reports = distill(run)
    next(reports)
    before = {k: v.detach().clone() for k, v in run.scene.parameters().items()}
    moments = run.optimiser.tensors()
    report = next(reports)
    assert report.skipped == SITES[site]
    assert all(torch.equal(v, before[k]) for k, v in run.scene.parameters().items())
    assert all(torch.equal(v, moments[k]) for k, v in run.optimiser.tensors().items())
    assert all(v.grad is None for v in run.scene.parameters().values())
    assert next(reports).skipped == ""


def test_a_step_that_is_skipped_is_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole = generate(
        *(tiny.PROMPT,),
        recipe=tiny.recipe(),
        prior=Faulty("predict", torch.nan, [7]),
        out=tmp_path,
        watch=tiny.watch(),
    )
    run = Run.start(tiny.PROMPT, tiny.recipe(), tiny.prior())
    for number in range(tiny.STEPS):
        if number != 6:
            step(run)
        run.step += 1
    for name, value in run.scene.parameters().items():
        assert torch.equal(value, whole.scene.parameters()[name])
    lines = (whole.folder / "metrics.jsonl").read_text().splitlines()
    told = [json.loads(line) for line in lines]
    assert [line["skipped"] for line in told if line["skipped"]] == ["objective"]
    assert told[6]["loss"] is None


@pytest.mark.parametrize("site", SITES)
def test_a_lasting_fault_ends_the_run_with_the_last_good_asset(site: str, tmp_path: Path) -> None:
    prior = Faulty(site, torch.nan, range(12, 1000))
    with pytest.raises(NumericalError) as caught:
        generate(tiny.PROMPT, recipe=tiny.recipe(), prior=prior, out=tmp_path, watch=tiny.watch())
    (folder,) = tmp_path.iterdir()
    assert caught.value.exit_code == 70
    assert caught.value.site == SITES[site]
    # Steps 12 and 13 are skipped, the third in a row ends it; the checkpoint of step 10 is good.
    assert f"stopped at step {11 + PATIENCE}: {SITES[site]} gave NaN" in str(caught.value)
    assert "the asset of step 10 is in" in str(caught.value)
    kept = load(folder)
    assert isinstance(kept, Gaussians)
    assert read_ply(folder / "asset.ply").count <= kept.count
    assert (folder / "preview.png").is_file()
    assert not (folder / "result.json").exists()
    # Without the fault the run goes on to its end.
    assert tiny.go_on(folder).step == tiny.STEPS


@pytest.mark.parametrize(
    ("change", "site"),
    [
        ({"gradients": (Broken(),)}, "encode backward"),
        ({"losses": (Infinite(),)}, "render backward: "),
    ],
)
def test_a_fault_of_a_part_ends_the_run_within_three_steps(
    change: dict[str, object], site: str, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(tiny.recipe(), **change)  # pyright: ignore[reportArgumentType]
    with pytest.raises(NumericalError, match="the asset of step 0 is in") as caught:
        generate(tiny.PROMPT, recipe=recipe, prior=tiny.prior(), out=tmp_path, watch=tiny.watch())
    assert caught.value.site.startswith(site)


def test_a_scene_that_is_spoilt_is_never_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The optimiser itself gives a value that is not finite: it shows in the next render."""
    from maquette.optimiser import Adam

    real = Adam.step

    def spoil(self: Adam, scene: Scene, rates: dict[str, float]) -> None:
        real(self, scene, rates)
        steps = int(self.tensors()["means.steps"])
        if steps == 8:
            with torch.no_grad():
                scene.parameters()["sh"][:] = torch.nan

    monkeypatch.setattr(Adam, "step", spoil)
    with pytest.raises(NumericalError, match="the asset of step 5 is in") as caught:
        tiny.make(tmp_path)
    assert caught.value.site in ("render", "scene: sh")


def test_a_run_that_was_skipping_goes_on_counting(tmp_path: Path) -> None:
    run = Run.start(tiny.PROMPT, tiny.recipe(), Faulty("predict", torch.nan, range(1000)))
    reports = distill(run)
    for _ in range(PATIENCE - 1):
        next(reports)
    run.save(tmp_path)
    back = Run.resume(tmp_path, Faulty("predict", torch.nan, range(1000)))
    assert back.skipped == PATIENCE - 1
    with pytest.raises(NumericalError):
        next(distill(back))
