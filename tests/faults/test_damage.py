"""Damaged, foreign and hostile checkpoints: refused before any state changes, and told."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

import tiny
from maquette import store
from maquette.errors import CheckpointError, InputError, MaquetteError, RefusedError
from maquette.run import Run
from maquette.run_folder import load

FILES = ["scene", "optimiser", "memory", "growth"]


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :]


def reseal(folder: Path, files: dict[str, bytes], **facts: object) -> None:
    """Rewrite a checkpoint with files and facts of one's own, its seal in order."""
    manifest, own = store.read_sealed(folder)
    kept = {k: v for k, v in manifest.items() if k not in ("files", "schema")}
    shutil.rmtree(folder)
    store.write_sealed(folder, {**own, **files}, {**kept, **facts})


def with_schema(folder: Path, schema: object) -> None:
    """Give a manifest another schema, its seal in order."""
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["seal"]
    manifest["schema"] = schema
    sealed = {**manifest, "seal": store.sha256_of(store.canonical(manifest))}
    (folder / "manifest.json").write_text(json.dumps(sealed))


def with_tensor(folder: Path, name: str, key: str, value: torch.Tensor) -> dict[str, bytes]:
    tensors = safetensors.torch.load(store.read_sealed(folder)[1][f"{name}.safetensors"])
    return {f"{name}.safetensors": safetensors.torch.save({**tensors, key: value})}


def truncate(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


DAMAGE: dict[str, Callable[[Path], object]] = {
    **{
        f"{name} cut to {share:.0%}": lambda f, n=name, s=share: truncate(f / f"{n}.safetensors", s)
        for name in FILES
        for share in (0.0, 0.02, 0.5, 0.999)
    },
    **{f"no {name}": lambda f, n=name: (f / f"{n}.safetensors").unlink() for name in FILES},
    **{
        f"manifest cut to {share:.0%}": lambda f, s=share: truncate(f / "manifest.json", s)
        for share in (0.0, 0.3, 0.99)
    },
    "no manifest": lambda f: (f / "manifest.json").unlink(),
    "two files swapped": lambda f: swap(f / "scene.safetensors", f / "growth.safetensors"),
    "a file that grew": lambda f: (f / "scene.safetensors").write_bytes(
        (f / "scene.safetensors").read_bytes() + b"\0"
    ),
    "a folder for a file": lambda f: replace_by_folder(f / "scene.safetensors"),
    "a link for a file": lambda f: replace_by_link(f / "scene.safetensors"),
    "a link for the checkpoint": lambda f: replace_by_link(f),
    "the manifest of another step": lambda f: (
        shutil.copy(f.with_name("step-000035") / "manifest.json", f / "manifest.json") and None
    ),
    "another checkpoint under its name": lambda f: replace_by_copy(f, "step-000035"),
    "a newer schema": lambda f: with_schema(f, store.SCHEMA + 1),
    "no schema": lambda f: with_schema(f, None),
    "a step that is a text": lambda f: reseal(f, {}, step="40"),
    "no prompt": lambda f: reseal(f, {}, prompt=None),
    "NaN in the scene": lambda f: reseal(
        f, with_tensor(f, "scene", "means", torch.full((140, 3), torch.nan))
    ),
    "a tensor too many": lambda f: reseal(f, with_tensor(f, "scene", "extra", torch.zeros(140))),
    "another width": lambda f: reseal(f, with_tensor(f, "scene", "sh", torch.zeros(140, 4, 3))),
    "another number of rows": lambda f: reseal(
        f, with_tensor(f, "scene", "means", torch.zeros(7, 3))
    ),
    "moments of another shape": lambda f: reseal(
        f, with_tensor(f, "optimiser", "means.first", torch.zeros(7, 3))
    ),
    "moments of another type": lambda f: reseal(
        f, with_tensor(f, "optimiser", "means.steps", torch.zeros(()))
    ),
    "no safetensors": lambda f: reseal(f, {"scene.safetensors": b"\x80\x04pickled."}),
}


def swap(a: Path, b: Path) -> None:
    a.rename(a.with_name("x"))
    b.rename(a)
    a.with_name("x").rename(b)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_link(path: Path) -> None:
    elsewhere = path.parent.parent.parent / f"elsewhere-{path.name}"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def replace_by_copy(path: Path, other: str) -> None:
    shutil.rmtree(path)
    shutil.copytree(path.with_name(other), path)


@pytest.fixture
def run_folder(unharmed: Path, tmp_path: Path) -> Path:
    """A copy of a finished run that has to be brought to its end again."""
    folder = tmp_path / "runs" / unharmed.name
    shutil.copytree(unharmed, folder)
    (folder / "result.json").unlink()
    return folder


def contents(folder: Path) -> dict[Path, bytes | None]:
    return {
        p: p.read_bytes() if p.is_file() else None for p in folder.rglob("*") if p.name != ".lock"
    }


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_checkpoint_is_told_and_the_one_before_is_taken(
    damage: str, run_folder: Path, unharmed: Path
) -> None:
    newest = run_folder / "checkpoints" / "step-000040"
    DAMAGE[damage](newest)
    told: list[str] = []
    run = Run.resume(run_folder / "checkpoints", tiny.prior(), announce=told.append)
    assert run.step == 35
    assert told[0].startswith("Checkpoint step-000040 is passed over: ")
    assert told[1] == "Going on from step-000035, the newest checkpoint that is intact"
    if damage in ("scene cut to 50%", "a link for the checkpoint", "no manifest", "a newer schema"):
        result = tiny.go_on(run_folder)
        assert tiny.digest(result.folder) == tiny.digest(unharmed)


@pytest.mark.parametrize("damage", ["scene cut to 50%", "no manifest", "NaN in the scene"])
def test_without_an_intact_checkpoint_nothing_is_touched(damage: str, run_folder: Path) -> None:
    for name in ("step-000040", "step-000035"):
        if damage == "NaN in the scene":
            bad = torch.full((140, 3), torch.nan)
            folder = run_folder / "checkpoints" / name
            reseal(folder, with_tensor(folder, "scene", "means", bad))
        else:
            DAMAGE[damage](run_folder / "checkpoints" / name)
    before = contents(run_folder)
    for again in (lambda: tiny.go_on(run_folder), lambda: tiny.make(run_folder.parent)):
        with pytest.raises(CheckpointError, match=r"None of the 2 checkpoints .* is intact"):
            again()
    with pytest.raises(CheckpointError):
        load(run_folder)
    assert contents(run_folder) == before


def test_any_flipped_bit_is_found(run_folder: Path) -> None:
    newest = run_folder / "checkpoints" / "step-000040"
    places = random.Random(0)
    for path in sorted(newest.iterdir()):
        whole = path.read_bytes()
        for _ in range(60):
            path.write_bytes(flipped(whole, places.randrange(len(whole))))
            with pytest.raises(CheckpointError):
                store.read_sealed(newest)
        path.write_bytes(whole)
    assert store.read_sealed(newest)[0]["step"] == tiny.STEPS


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("run.json", "{", "no JSON"),
        ("run.json", '{"schema": 1}', "no proper 'prompt'"),
        ("run.json", '{"schema": 2}', "schema 2"),
        ("run.json", '{"schema": 1, "prompt": "a disc", "seed": "0", "prior": "x"}', "'seed'"),
        ("recipe.json", "[]", "does not hold"),
        ("recipe.json", '{"schema": 1}', "must be a part that is a Recipe"),
        ("recipe.json", '{"schema": 1, "recipe": {"part": "os.system"}}', "no part of Maquette"),
    ],
)
def test_damaged_files_of_a_run_are_refused(
    name: str, text: str, sentence: str, run_folder: Path
) -> None:
    (run_folder / name).write_text(text)
    before = contents(run_folder)
    with pytest.raises(InputError, match=sentence):
        tiny.go_on(run_folder)
    assert contents(run_folder) == before


def test_an_edited_recipe_is_not_the_one_that_was_started(run_folder: Path) -> None:
    recipe = json.loads((run_folder / "recipe.json").read_text())
    recipe["recipe"]["objective"]["strength"] = 0.2
    (run_folder / "recipe.json").write_text(json.dumps(recipe))
    with pytest.raises(InputError, match="another recipe"):
        tiny.go_on(run_folder)


def test_a_prior_that_cannot_be_found_again_is_told(run_folder: Path) -> None:
    from maquette.generation import resume

    with pytest.raises(InputError, match="There is no prior 'shapes'"):
        resume(run_folder, watch=tiny.watch())


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        for open_it in (tiny.go_on, load):
            with pytest.raises(CheckpointError, match="is no run"):
                open_it(folder)


def test_a_link_for_a_run_folder_is_refused(unharmed: Path, tmp_path: Path) -> None:
    (tmp_path / unharmed.name).symlink_to(unharmed)
    with pytest.raises(RefusedError, match="is a link"):
        tiny.make(tmp_path)


def test_every_refusal_is_one_sentence_with_a_remedy(run_folder: Path) -> None:
    (run_folder / "checkpoints" / "step-000035" / "manifest.json").unlink()
    DAMAGE["scene cut to 50%"](run_folder / "checkpoints" / "step-000040")
    with pytest.raises(MaquetteError) as caught:
        tiny.go_on(run_folder)
    assert caught.value.next_step
    assert "\n" not in str(caught.value)
