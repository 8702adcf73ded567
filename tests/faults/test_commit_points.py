"""Die before and after every call of a save: the previous state or the new one, never a third."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import shim
import torch

import tiny
from maquette.checkpoints import checkpoints_in
from maquette.distill import distill
from maquette.errors import DiskError
from maquette.run import Run

InChild = Callable[[Callable[[], int]], int]


def run_with_two_checkpoints(folder: Path) -> Run:
    """A run at step 3 with the checkpoints of steps 1 and 2, so that a save also deletes one."""
    run = Run.start(tiny.PROMPT, tiny.recipe(), tiny.prior())
    reports = distill(run)
    for _ in range(2):
        next(reports)
        run.save(folder)
    next(reports)
    return run


def means_of(run: Run) -> torch.Tensor:
    return run.scene.parameters()["means"].detach().clone()


@pytest.fixture(scope="module")
def before(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Run, Path, dict[int, torch.Tensor], int]:
    """A run before a save, its checkpoints, the centres at each step, and the calls of the save."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("before")
    run = run_with_two_checkpoints(folder)
    means = {2: means_of(Run.resume(folder, tiny.prior())), 3: means_of(run)}
    copy = tmp_path_factory.mktemp("count") / "checkpoints"
    shutil.copytree(folder, copy)
    with pytest.MonkeyPatch.context() as patch:
        system = shim.install(shim.System(), patch)
        run.save(copy)
    assert system.count > 30
    return run, folder, means, system.count


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_death_at_every_call_of_a_save(
    before: tuple[Run, Path, dict[int, torch.Tensor], int],
    after: bool,
    tmp_path: Path,
    in_child: InChild,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, start, means, calls = before
    seen = set()
    for at in range(1, calls + 1):
        folder = tmp_path / str(at)
        shutil.copytree(start, folder)

        def save(at: int = at, folder: Path = folder) -> int:
            shim.install(shim.System(at, after=after), monkeypatch)
            run.save(folder)
            return 0

        assert in_child(save) == 9, f"call {at} of {calls} did not happen"
        told: list[str] = []
        back = Run.resume(folder, tiny.prior(), announce=told.append)
        assert back.step in (2, 3)
        assert torch.equal(means_of(back), means[back.step])
        assert not told, "a save that died may never leave a damaged checkpoint in sight"
        assert len(checkpoints_in(folder)) in (2, 3)
        seen.add(back.step)
        # The next save of the resumed run works, and clears away what the dead one left.
        if at % 10 == 0:
            back.step += 1
            back.save(folder)
            assert [p.name for p in folder.iterdir() if p.name.startswith(".")] == []
        shutil.rmtree(folder)
    assert seen == {2, 3}


def failure_of(run: Run, folder: Path) -> str:
    """What a save that fails says; nothing where it does not."""
    try:
        run.save(folder)
    except DiskError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("code", [shim.FULL, shim.BROKEN, shim.READ_ONLY, shim.QUOTA])
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "forever"])
def test_error_at_every_call_of_a_save(
    before: tuple[Run, Path, dict[int, torch.Tensor], int],
    code: int,
    lasting: bool,
    tmp_path: Path,
) -> None:
    run, start, means, calls = before
    step = 1 if code == shim.FULL else 7
    for at in range(1, calls + 1, step):
        folder = tmp_path / str(at)
        shutil.copytree(start, folder)
        with pytest.MonkeyPatch.context() as patch:
            shim.install(shim.System(at, code, lasting=lasting), patch)
            said = failure_of(run, folder)
        if said:
            assert str(folder) in said
            assert "bytes were needed" in said or code not in (shim.FULL, shim.QUOTA)
        told: list[str] = []
        back = Run.resume(folder, tiny.prior(), announce=told.append)
        assert back.step in (2, 3)
        assert torch.equal(means_of(back), means[back.step])
        assert not told
        run.save(folder)
        assert Run.resume(folder, tiny.prior()).step == 3
        shutil.rmtree(folder)


def test_death_all_over_a_run(
    tmp_path: Path, unharmed: Path, in_child: InChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        system = shim.install(shim.System(), patch)
        tiny.make(tmp_path / "count")
    for at in range(3, system.count, system.count // 5):
        out = tmp_path / str(at)

        def whole(at: int = at, out: Path = out) -> int:
            shim.install(shim.System(at, after=bool(at % 2)), monkeypatch)
            tiny.make(out)
            return 0

        assert in_child(whole) == 9
        assert tiny.digest(tiny.make(out).folder) == tiny.digest(unharmed)


@pytest.mark.parametrize("torn", [False, True], ids=["lost", "torn"])
@pytest.mark.parametrize("lucky", [False, True], ids=["renames undone", "renames done"])
def test_power_cut_at_every_call_of_a_save(
    before: tuple[Run, Path, dict[int, torch.Tensor], int],
    torn: bool,
    lucky: bool,
    tmp_path: Path,
) -> None:
    """What was not synced is lost or torn: the calls are replayed up to each, so damaged."""
    run, start, means, _ = before
    log = tmp_path / "log"
    shutil.copytree(start, log)
    with pytest.MonkeyPatch.context() as patch:
        recorder = shim.install(Recorder(log), patch)
        run.save(log)
    assert isinstance(recorder, Recorder)
    last = 0
    for end in range(len(recorder.calls) + 1):
        folder = tmp_path / f"cut-{end}"
        shutil.copytree(start, folder)
        recorder.replay(end, folder, torn=torn, lucky=lucky)
        told: list[str] = []
        back = Run.resume(folder, tiny.prior(), announce=told.append)
        assert back.step in (2, 3)
        assert torch.equal(means_of(back), means[back.step])
        assert not told, "what can be seen must have been synced before"
        last = back.step
        shutil.rmtree(folder)
    assert last == 3, "a save that returned has to outlast a power cut"


class Recorder(shim.System):
    """Keeps a log of what a save does below ``root``, to replay any beginning of it elsewhere."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root
        self.calls: list[tuple[str, tuple]] = []
        self._open: dict[int, Path] = {}

    def _counted(self, real: Any, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = real(*args, **kwargs)
            if name == "open":
                self._open[result] = Path(args[0])
                if args[1] & os.O_CREAT:
                    self.calls.append(("create", (self._at(args[0]),)))
            elif name in ("write", "fsync"):
                extra = (bytes(args[1][:result]),) if name == "write" else ()
                self.calls.append((name, (self._at(self._open[args[0]]), *extra)))
            elif name in ("rename", "replace", "mkdir"):
                self.calls.append((name, tuple(self._at(a) for a in args)))
            return result

        return call

    def rmtree(self, *args: object, **kwargs: object) -> None:
        # Deleting what is gone already is no call; the rest is replayed as a whole.
        if Path(str(args[0])).exists():
            self.calls.append(("rmtree", (self._at(args[0]),)))
        shutil.rmtree(str(args[0]), ignore_errors=True)

    def _at(self, path: object) -> Path:
        return Path(str(path)).relative_to(self.root)

    def replay(self, end: int, folder: Path, *, torn: bool, lucky: bool) -> None:
        """Do the first ``end`` calls in ``folder``; then lose what was written but not synced.

        Args:
            end: how many calls were done.
            folder: a copy of what there was before.
            torn: half of what was written to unsynced files is there, not nothing.
            lucky: renames happened although their folder was not synced; else they did not.
        """
        begun = self.calls[:end]
        renames = [i for i, (name, _) in enumerate(begun) if name in ("rename", "replace")]
        synced = [
            i for i, (name, args) in enumerate(begun) if name == "fsync" and args[0] == Path()
        ]
        kept = {i for i in renames if lucky or any(i < s for s in synced)}
        unsynced: dict[Path, int] = {}
        for i, (name, args) in enumerate(begun):
            if name in ("rename", "replace") and i not in kept:
                break  # What follows an undone rename was built on it.
            if name == "create":
                (folder / args[0]).write_bytes(b"")
                unsynced[args[0]] = 0
            elif name == "write":
                with (folder / args[0]).open("ab") as file:
                    file.write(args[1])
                unsynced[args[0]] = unsynced.get(args[0], 0) + len(args[1])
            elif name == "fsync":
                unsynced.pop(args[0], None)
            elif name == "mkdir":
                (folder / args[0]).mkdir()
            elif name == "rmtree":
                shutil.rmtree(folder / args[0], ignore_errors=True)
            else:
                (folder / args[0]).rename(folder / args[1])
                moved = {p for p in unsynced if args[0] in (p, *p.parents)}
                for path in moved:
                    unsynced[args[1] / path.relative_to(args[0])] = unsynced.pop(path)
        for path, size in unsynced.items():
            with (folder / path).open("r+b") as file:
                file.truncate(size // 2 if torn else 0)
