"""The shape of the package: imports point down, never round; nothing runs code from a file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import maquette

ROOT = Path(maquette.__file__).parent

FLOORS = [
    "camera checks errors history noise processes projections ramps randomness records store "
    "threads",
    "cameras gradients inits losses objectives optimiser priors render scenes timesteps",
    "beginning checkpoints costs distill overrides recipe rehearsal run sampling serial",
    "export metrics recipes study toybox",
    "assets bench comparison doctor folders generation imaging journal lookup report run_folder "
    "signals sweep viewer",
    "cli cli_bench cli_commands cli_compare cli_evaluate cli_prior cli_progress cli_report "
    "cli_study cli_tables",
    "__main__",
]
FLOOR_OF = {unit: floor for floor, units in enumerate(FLOORS) for unit in units.split()}

NEIGHBOURS = {
    ("scenes", "render"),
    ("scenes", "optimiser"),
    ("optimiser", "scenes"),
    ("inits", "priors"),
    ("inits", "scenes"),
    ("losses", "scenes"),
}
"""Parts that may know each other; beyond these a part knows only the contracts of others."""

FORBIDDEN_NAMES = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "joblib", "yaml"}
FORBIDDEN_ATTRIBUTES = {
    "nan_to_num": "a gradient is never painted over",
    "nan_to_num_": "a gradient is never painted over",
}


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[str]:
    """Modules of ours that ``path`` imports, inside functions too, without the package's name."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            if node.module == "maquette":
                yield from (alias.name for alias in node.names)
            elif node.module and node.module.startswith("maquette."):
                yield node.module.removeprefix("maquette.")
        elif isinstance(node, ast.Import):
            for alias in node.names:
                assert alias.name != "maquette", f"{path} imports the package's root"
                if alias.name.startswith("maquette."):
                    yield alias.name.removeprefix("maquette.")


def calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.Call))


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_point_down(path: Path) -> None:
    own = name_of(path).split(".")[0]
    if not own:
        return  # The package's root only lists public names.
    assert own in FLOOR_OF, f"{own} has no floor: put it on one in this test"
    for imported in imports(path):
        unit, _, module = imported.partition(".")
        assert unit in FLOOR_OF, f"{path} imports {imported}, which has no floor"
        if unit == own:
            continue
        assert FLOOR_OF[unit] <= FLOOR_OF[own], f"{path} imports {imported}, which is above it"
        if FLOOR_OF[own] == FLOOR_OF[unit] == 1:
            is_contract = module == "base"
            assert is_contract or (own, unit) in NEIGHBOURS, (
                f"{path} imports its neighbour {imported}"
            )


def test_imports_go_nowhere_in_circles() -> None:
    names = {name_of(path) for path in modules()}
    edges = {name_of(path): [i for i in imports(path) if i in names] for path in modules()}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, f"a circle: {' -> '.join((*above, name))}"
        if name not in done:
            for other in edges[name]:
                visit(other, (*above, name))
            done.add(name)

    for name in edges:
        if name:
            visit(name, ())
    assert done >= names - {""}


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_no_file_can_run_code_or_hide_a_fault(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules_here = [getattr(node, "module", None), *(alias.name for alias in node.names)]
            for module in modules_here:
                assert not module or module.split(".")[0] not in FORBIDDEN_MODULES, (path, module)
        if isinstance(node, ast.Attribute):
            assert node.attr not in FORBIDDEN_ATTRIBUTES, (path, node.lineno, node.attr)
    for call in calls(path):
        function, keywords = call.func, {k.arg: k.value for k in call.keywords}
        where = (path.name, call.lineno)
        if isinstance(function, ast.Name):
            assert function.id not in FORBIDDEN_NAMES, where
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
            called = f"{function.value.id}.{function.attr}"
            assert called not in ("torch.load", "torch.save", "os.system"), where
            # Networks draw first weights from the global stream; only training makes networks.
            assert called != "torch.manual_seed" or "toybox" in path.parts, where
            if called in ("np.load", "numpy.load"):
                allowed = keywords.get("allow_pickle")
                assert getattr(allowed, "value", True) is False, where
        for name in ("shell", "trust_remote_code"):
            value = keywords.get(name)
            assert value is None or (isinstance(value, ast.Constant) and not value.value), where


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_every_module_tells_its_idea(path: Path) -> None:
    assert ast.get_docstring(tree(path)), f"{path} has no docstring"
