"""The documentation names only files, tests and commands that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from maquette.cli import BORROWED, COMMANDS
from maquette.lookup import find_recipe, recipe_names
from maquette.metrics.networks import MODELS
from maquette.metrics.protocols import protocol_names

ROOT = Path(__file__).parent.parent
PAGES = [
    "write-a-method.md",
    "promises.md",
    "how-to-choose.md",
    "recipes.md",
    "training.md",
    "report.md",
    "metrics.md",
    "study.md",
]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / "docs" / target).exists(), target


@pytest.mark.parametrize("page", PAGES)
def test_tests_that_are_named_exist(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)
    for path, test in named:
        source = (ROOT / path).read_text(encoding="utf-8")
        assert not test or re.search(rf"^def {test}\(", source, re.MULTILINE), (path, test)
    assert named or page not in ("promises.md", "write-a-method.md")


def test_every_promise_names_its_test() -> None:
    text = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and line[2:9] != "promise"]
    assert len(rows) >= 30
    for row in rows:
        assert re.fullmatch(r"\| [A-Z].*\. \| `tests/\S+::\w+` \|", row), row


def test_table_of_recipes_names_them_all_with_their_papers() -> None:
    text = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z0-9-]+)` \| ([^|]+) \|", text, re.MULTILINE))
    assert {*rows, "maquette"} == set(recipe_names())
    for name, paper in rows.items():
        assert paper.strip() in find_recipe(name, "paper").paper, name


@pytest.mark.parametrize("page", PAGES)
def test_commands_exist(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    for command, action in re.findall(r"maquette ([a-z]+)(?: ([a-z]+)\b)?", text):
        assert command in COMMANDS or command in ("recipes",), command
        if command in ("prior", "study", "toybox"):
            assert (command, action) in BORROWED, (command, action)


def test_changelog_fragments_have_their_form() -> None:
    fragments = [p for p in (ROOT / "changelog.d").iterdir() if p.name != "README.md"]
    assert fragments
    for path in fragments:
        assert re.fullmatch(r"\d{3}-[a-z0-9-]+\.(added|changed|fixed|removed)\.md", path.name)
        assert path.read_text(encoding="utf-8").strip().endswith(".")


def test_table_of_networks_names_them_all() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    for name, model in MODELS.items():
        assert name in text
        assert f"`{model.slug}`" in text
        assert not model.repository or f"`{model.repository}`" in text, name
    assert all(f"| `{name}` |" in text for name in protocol_names())
    source = MODELS["OpenAI ViT-L/14"].source
    assert isinstance(source, str)
    assert source.format("models/openai-vit-l-14") in text
