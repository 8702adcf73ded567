"""The page in a browser: it draws what the renderer draws, and asks for nothing outside."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import report_folders as made
from browser import Browser
from maquette.export.sheet import to_uint8
from maquette.records import Views
from maquette.report.page import write_report
from maquette.scenes.gaussians import Gaussians

pytestmark = pytest.mark.browser

SIDE = 360
DEGREES = (0, 3)
"""Of the harmonics of the first two assets."""
DRAWN = "[...document.querySelectorAll('canvas.view')].every(view => view.dataset.pictures)"
PICTURES = "document.querySelectorAll('canvas.view')[{}].dataset.pictures"


@pytest.fixture(scope="module")
def assets() -> list[Gaussians]:
    return [made.scene(400, degree) for degree in DEGREES]


@pytest.fixture(scope="module")
def browser(assets: list[Gaussians], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One page with three runs and a drawing, open and drawn."""
    folder = tmp_path_factory.mktemp("page")
    runs = [
        made.run(folder / "a", "a duck", seed=10, steps=30, asset=assets[0]),
        made.run(folder / "b", "a boat", seed=9, asset=assets[1], scores={"clip_score": 3.0}),
        made.run(folder / "c", made.EVIL, seed=2, scores={"clip_score": 20.0}),
        made.drawing(folder / "d"),
    ]
    write_report(runs, folder / "report.html")
    # Tall enough for all views to be in sight.
    with Browser(1200, 4000) as opened:
        opened.open(folder / "report.html", "document.documentElement.dataset.built")
        opened.wait(DRAWN)
        yield opened
        assert opened.errors == []


def seen(browser: Browser, number: int) -> np.ndarray:
    """What a view shows: ``[H, W, 3]`` in bytes."""
    address = f"document.querySelectorAll('canvas.view')[{number}].toDataURL('image/png')"
    data = base64.b64decode(browser.value(address).partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def rendered(asset: Gaussians, azimuth_deg: float, elevation_deg: float = 15.0) -> np.ndarray:
    ring = Views.ring(1, size=SIDE, start_deg=azimuth_deg, elevation_deg=elevation_deg)
    with torch.no_grad():
        return to_uint8(asset.render(ring, torch.ones(1, 3)).colour)[0]


def likeness_db(one: np.ndarray, other: np.ndarray) -> float:
    """Peak signal-to-noise ratio."""
    return float(-10 * np.log10(np.mean((one / 255.0 - other / 255.0) ** 2) + 1e-12))


def press(browser: Browser, number: int, key: str, times: int) -> None:
    before = int(browser.value(PICTURES.format(number)))
    browser.value(
        f"(() => {{ const view = document.querySelectorAll('canvas.view')[{number}];"
        f"for (let i = 0; i < {times}; i++)"
        f" view.dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}'}})); }})()"
    )
    browser.wait(f"{PICTURES.format(number)} > {before}")


def test_no_error_and_no_network(browser: Browser) -> None:
    assert browser.errors == []
    schemes = {address.partition(":")[0] for address in browser.addresses}
    assert "file" in schemes
    assert schemes <= {"file", "blob", "data"}
    assert [a for a in browser.addresses if a.startswith("file")] == browser.addresses[:1]


def test_nothing_of_a_prompt_became_markup(browser: Browser) -> None:
    assert browser.value("document.querySelectorAll('b, main img[src^=http]').length") == 0
    assert browser.value("document.querySelectorAll('h3')[2].textContent") == made.EVIL


def test_the_policy_lets_no_other_script_run_and_nothing_be_fetched(browser: Browser) -> None:
    before = len(browser.addresses), list(browser.errors)
    browser.value(
        "(() => { const script = document.createElement('script');"
        "script.textContent = 'window.harm = true'; document.body.append(script);"
        "const picture = new Image(); picture.src = 'http://localhost:9/x.png'; })()"
    )
    browser.wait("true")
    assert browser.value("window.harm === undefined")
    assert all("Content Security Policy" in error for error in browser.errors[len(before[1]) :])
    assert len(browser.errors) > len(before[1])
    browser.errors[:] = before[1]


@pytest.mark.parametrize("number", range(len(DEGREES)))
def test_a_view_shows_what_the_renderer_renders(
    number: int, browser: Browser, assets: list[Gaussians]
) -> None:
    front = seen(browser, number)
    assert front.shape == (SIDE, SIDE, 3)
    assert front.std() > 20.0
    assert likeness_db(front, rendered(assets[number], 0.0)) > 35.0
    # From the other side it is another picture, so that the threshold means something.
    assert likeness_db(front, rendered(assets[number], 180.0)) < 20.0
    press(browser, number, "ArrowRight", 18)
    press(browser, number, "ArrowUp", 6)
    assert likeness_db(seen(browser, number), rendered(assets[number], 90.0, 45.0)) > 35.0


def test_the_mouse_turns_a_view_and_a_button_turns_it_back(browser: Browser) -> None:
    front = seen(browser, 2)
    place = "document.querySelectorAll('canvas.view')[2].getBoundingClientRect().{}"
    x, y = (browser.value(place.format(name)) + SIDE / 2 for name in ("left", "top"))
    count = int(browser.value(PICTURES.format(2)))
    browser.drag((x, y), (x + 90.0, y))
    browser.wait(f"{PICTURES.format(2)} > {count}")
    # A quarter of the height turns by a quarter; dragging to the right shows the left side.
    turned = seen(browser, 2)
    assert likeness_db(turned, rendered(made.scene(), -90.0)) > 35.0
    browser.value("[...document.querySelectorAll('.buttons')][2].firstChild.click()")
    browser.wait(f"{PICTURES.format(2)} > {count + 1}")
    assert likeness_db(seen(browser, 2), front) > 50.0


def test_a_view_stands_on_another_colour_when_asked(browser: Browser) -> None:
    for button, level in ((2, 128), (3, 0), (1, 255)):
        count = int(browser.value(PICTURES.format(0)))
        browser.value(f"document.querySelector('.buttons').children[{button}].click()")
        browser.wait(f"{PICTURES.format(0)} > {count}")
        assert np.abs(seen(browser, 0)[0, 0].astype(int) - level).max() <= 1


def test_a_click_on_a_head_sorts_and_what_is_unknown_stays_last(browser: Browser) -> None:
    def click(head: str) -> list[str]:
        browser.value(
            "[...document.querySelectorAll('#runs th button')]"
            f".find(button => button.textContent === '{head}').click()"
        )
        rows = "[...document.querySelectorAll('#runs tbody tr')]"
        return browser.value(f"{rows}.map(row => row.children[2].textContent)")

    assert click("seed") == ["2", "3", "9", "10"]
    assert click("seed") == ["10", "9", "3", "2"]
    assert click("CLIP score") == ["9", "2", "10", "3"]
    assert click("CLIP score") == ["2", "9", "10", "3"]
    assert browser.value("document.querySelector('#runs th[aria-sort]').textContent") == (
        "CLIP score"
    )
    assert click("prompt") == ["2", "9", "3", "10"]


def test_curves_of_all_runs_are_in_one_picture(browser: Browser) -> None:
    bold = "document.querySelectorAll('#curves svg path.bold').length"
    assert browser.value(bold) == 4
    choice = "[...document.querySelectorAll('#curves .choice button')].map(b => b.textContent)"
    names = ["loss", "timestep", "pixel gradient norm", "regulariser: sparsity"]
    assert sorted(browser.value(choice)) == sorted(names)
    browser.value("document.querySelectorAll('#curves .choice button')[1].click()")
    label = "document.querySelector('#curves svg').getAttribute('aria-label')"
    assert browser.value(label).endswith("over U-Net evaluations")
    assert browser.value(bold) == 4
    browser.value("document.querySelector('#curves input').click()")
    assert browser.value(bold) == 4
    paths = browser.value("[...document.querySelectorAll('path')].map(p => p.getAttribute('d'))")
    assert not [path for path in paths if "NaN" in path or "Infinity" in path]


def test_films_play(browser: Browser) -> None:
    films = "[...document.querySelectorAll('video')]"
    assert browser.value(f"{films}.length") == 3
    browser.wait(f"{films}.every(film => film.readyState >= 2 && film.videoWidth === 192)")
    browser.wait(f"{films}.some(film => film.currentTime > 0)")


def test_a_screenshot_is_no_empty_sheet(browser: Browser, tmp_path: Path) -> None:
    browser.screenshot(tmp_path / "page.png", 1600)
    picture = np.asarray(Image.open(tmp_path / "page.png").convert("RGB")).astype(float)
    assert picture.shape == (1600, 1200, 3)
    assert 5.0 < picture.std() < 100.0
    assert picture.mean() > 200.0
