"""A benchmark's page in a browser: tables that sort, curves, and assets that turn together."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import report_folders as made
from browser import Browser
from maquette.report import showcase
from maquette.report.page import write_report

pytestmark = pytest.mark.browser

NAMES = ("own", "other", made.EVIL)
PROMPTS = ("a red mug", "a yellow and orange duck", "a green cactus")
VIEWS = "[...document.querySelectorAll('#assets canvas.view')]"
DRAWN = f"{VIEWS}.length && {VIEWS}.every(view => view.dataset.pictures)"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A page on which the assets of two prompts of three can be turned."""
    folder = tmp_path_factory.mktemp("page")
    assets = [made.scene(400, seed=place) for place in range(3)]
    bench = made.bench(folder / "bench", NAMES, PROMPTS, assets=assets)
    one = 400 * 28 * 4 // 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(showcase, "MODEL_BYTES", 7 * one)
        write_report([bench], folder / "report.html")
    with Browser(1200, 2600) as opened:
        opened.open(folder / "report.html", "document.documentElement.dataset.built")
        opened.wait(DRAWN)
        yield opened
        assert opened.errors == []


def pictures(browser: Browser) -> list[np.ndarray]:
    """What the views show: ``[H, W, 3]`` in bytes."""
    found = browser.value(f"{VIEWS}.map(view => view.toDataURL('image/png'))")
    data = [base64.b64decode(address.partition(",")[2]) for address in found]
    return [np.asarray(Image.open(io.BytesIO(one)).convert("RGB")).astype(float) for one in data]


def click(browser: Browser, table: str, head: str) -> list[str]:
    """Sort a table; returns the first cells of its rows."""
    browser.value(
        f"[...document.querySelectorAll('#{table} th button')]"
        f".find(button => button.textContent === '{head}').click()"
    )
    rows = f"[...document.querySelectorAll('#{table} tbody tr')]"
    return browser.value(f"{rows}.map(row => row.querySelector('a').textContent)")


def press(browser: Browser, where: str, text: str) -> None:
    browser.value(
        f"[...document.querySelectorAll('{where} button')]"
        f".find(button => button.textContent === {text!r}).click()"
    )


def test_no_error_and_no_network(browser: Browser) -> None:
    assert browser.errors == []
    assert {address.partition(":")[0] for address in browser.addresses} <= {"file", "blob", "data"}
    assert [a for a in browser.addresses if a.startswith("file")] == browser.addresses[:1]
    assert browser.value("document.querySelectorAll('b, main img[src^=http]').length") == 0


def test_all_tables_sort_by_the_mean_and_the_best_come_first(browser: Browser) -> None:
    assert click(browser, "rows", "prompt %") == [NAMES[2], "own", "other"]
    assert click(browser, "rows", "prompt %") == ["other", "own", NAMES[2]]
    # Less Janus is better.
    assert click(browser, "rows", "Janus %") == ["other", "own", NAMES[2]]
    assert click(browser, "leads", "kind %") == ["other", NAMES[2]]
    assert click(browser, "leads", "kind %") == [NAMES[2], "other"]
    assert browser.value("document.querySelectorAll('#rows [aria-sort]').length") == 1


def test_cells_tell_mean_interval_and_who_is_surely_ahead(browser: Browser) -> None:
    def cells(table: str, name: str, parts: str) -> list[str]:
        rows = f"[...document.querySelectorAll('#{table} tr')]"
        row = f"{rows}.find(row => row.textContent.startsWith('{name}'))"
        return browser.value(f"[...{row}.querySelectorAll('td')].map(cell => {parts})")

    told = cells("rows", "other", "cell.innerText")
    assert told[0].split() == ["25.0", "12.5", "–", "37.5"]
    assert told[-4:] == ["30", "12", "96", "60"]
    assert cells("unseen", "own", "cell.innerText")[0].split() == ["22.0", "21.9", "–", "22.1"]
    assert cells("leads", "other", "cell.innerText")[0].split() == ["+25.0", "12.5", "to", "37.5"]
    verdicts = cells("leads", "other", "cell.classList.contains('ahead')")
    # More Janus and more halo, the last two, are worse.
    assert verdicts == [True] * 5 + [False] * 2
    assert cells("leads", "other", "cell.classList.contains('behind')")[-2:] == [True, True]
    # The bar reaches from an eighth to three eighths of the line, its stroke stands at a quarter.
    bar = "['x', 'width'].map(n => Number(cell.querySelector('.reach')?.getAttribute(n)))"
    x, width = cells("rows", "other", bar)[0]
    assert (x, width) == pytest.approx((1 + 72 / 8, 72 / 4))


def test_curves_have_bands_and_can_be_put_back(browser: Browser) -> None:
    count = "document.querySelectorAll('#curves svg path.{}').length"
    press(browser, "#curves", "CLIP")
    assert [browser.value(count.format(kind)) for kind in ("bold", "band", "off")] == [3, 3, 0]
    area = "document.querySelector('#curves svg .band').getBBox().height"
    assert browser.value(area) > 5
    fill = "getComputedStyle(document.querySelector('#curves svg .band')).fill"
    assert browser.value(fill) == "rgb(31, 111, 235)"
    press(browser, "#curves", "own")
    assert [browser.value(count.format(kind)) for kind in ("bold", "band", "off")] == [2, 2, 1]
    press(browser, "#curves", "none")
    assert [browser.value(count.format(kind)) for kind in ("bold", "band", "off")] == [0, 0, 3]
    press(browser, "#curves", "all")
    paths = browser.value("[...document.querySelectorAll('path')].map(p => p.getAttribute('d'))")
    assert not [path for path in paths if "NaN" in path or "undefined" in path]
    label = "document.querySelector('#curves svg').getAttribute('aria-label')"
    assert browser.value(label) == "CLIP over U-Net evaluations"


def test_assets_of_a_prompt_are_drawn_and_turn_together(browser: Browser) -> None:
    before = pictures(browser)
    assert len(before) == 3
    assert all(picture.std() > 15.0 for picture in before)
    assert np.abs(before[0] - before[1]).mean() > 1.0
    turn = f"{VIEWS}[0].dispatchEvent(new KeyboardEvent('keydown', {{key: 'ArrowRight'}}))"
    counts = browser.value(f"{VIEWS}.map(view => +view.dataset.pictures)")
    browser.value(turn)
    browser.wait(f"{VIEWS}.every((view, i) => +view.dataset.pictures > {counts}[i])")
    after = pictures(browser)
    assert all(np.abs(a - b).mean() > 0.5 for a, b in zip(after, before, strict=True))
    browser.value("document.querySelector('#assets input').click()")
    counts = browser.value(f"{VIEWS}.map(view => +view.dataset.pictures)")
    browser.value(turn)
    browser.wait(f"+{VIEWS}[0].dataset.pictures > {counts[0]}")
    alone = pictures(browser)
    assert np.abs(alone[0] - after[0]).mean() > 0.5
    assert all(np.array_equal(a, b) for a, b in zip(alone[1:], after[1:], strict=True))
    # Joined again, the next turn takes all along.
    browser.value("document.querySelector('#assets input').click()")


def test_one_prompt_or_one_recipe_is_shown_and_what_is_missing_said(browser: Browser) -> None:
    heads = "[...document.querySelectorAll('.tile h3')].map(head => head.textContent)"
    facts = "[...document.querySelectorAll('.tile > .facts')].map(text => text.textContent)"
    hint = "document.querySelector('#assets .hint').textContent"
    assert "6 of 9 assets can be turned here" in browser.value(hint)
    assert browser.value(heads) == list(NAMES)
    options = "[...document.querySelector('select').options].map(option => option.text)"
    assert browser.value(options) == [PROMPTS[0], f"{PROMPTS[1]} (unseen)", PROMPTS[2]]
    press(browser, "#assets", "›")
    assert set(browser.value(facts)) == {f"{PROMPTS[1]}, seed 0"}
    # Of this prompt there are the sides only.
    assert browser.value(f"{VIEWS}.length") == 0
    sides = "[...document.querySelectorAll('.tile img')]"
    browser.wait(f"{sides}.length === 3 && {sides}.every(img => img.naturalWidth === 70)")
    browser.value("[...document.querySelectorAll('#leads tbody a')].at(-1).click()")
    assert len(set(browser.value(heads))) == 1
    assert browser.value(facts) == [f"{prompt}, seed 0" for prompt in PROMPTS]
    browser.wait(DRAWN)
    assert browser.value(f"{VIEWS}.length") == 2
    press(browser, "#assets", "One prompt")
    assert browser.value(heads) == list(NAMES)


def test_a_screenshot_is_no_empty_sheet(browser: Browser, tmp_path: Path) -> None:
    browser.screenshot(tmp_path / "page.png", 1600)
    picture = np.asarray(Image.open(tmp_path / "page.png").convert("RGB")).astype(float)
    assert 5.0 < picture.std() < 100.0
    assert picture.mean() > 200.0
