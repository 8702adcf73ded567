"""The public names, and that asking for them costs nothing before they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import maquette

PUBLIC = [
    *("Comparison", "Drawing", "compare", "image"),
    *("CheckpointError", "DiskError", "InputError", "MaquetteError", "NumericalError"),
    *("PriorError", "Randomness", "Recipe", "RefusedError", "Render", "Report", "Result"),
    *("Run", "RunError", "Stopped", "Views", "Watch", "find_prior", "find_recipe"),
    *("generate", "load", "override", "recipe_names", "resume"),
]


def test_public_names_are_these_and_change_only_on_purpose() -> None:
    assert sorted(maquette.__all__) == sorted(PUBLIC)
    assert set(PUBLIC) <= set(dir(maquette))


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_leads_to_a_documented_thing(name: str) -> None:
    thing = getattr(maquette, name)
    assert thing.__name__ == name
    assert thing.__doc__


def test_public_functions_stay_functions_after_their_modules_were_imported() -> None:
    import maquette.comparison
    import maquette.generation
    import maquette.imaging

    assert callable(maquette.generate)
    assert callable(maquette.resume)
    assert callable(maquette.compare)
    assert callable(maquette.image)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = maquette.nothing  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    "code",
    [
        "import maquette",
        "from maquette.cli import main; assert main(['--help']) == 0",
        "from maquette.cli import main; assert main(['generate', '--help']) == 0",
        "from maquette.cli import main; assert main(['generate', '--no-such-flag']) == 2",
        "from maquette.cli import main; assert main(['evaluate', '--help']) == 0",
        "from maquette.lookup import recipe_names; assert 'hifa' in recipe_names()",
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(code: str) -> None:
    heavy = "torch numba diffusers transformers imageio PIL safetensors numpy"
    check = (
        f"import sys; bad = [m for m in {heavy.split()!r} if m in sys.modules]; assert not bad, bad"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{check}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
