"""The papers' ways to measure: what they tell is there, and what they do not is said."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, fields
from typing import get_args

import pytest

from maquette.errors import InputError
from maquette.lookup import recipe_names
from maquette.metrics import clip, janus, lpips, pictures, preference, protocols, retrieval, vqa
from maquette.metrics.protocols import Metric, protocol, protocol_names

NAMES = ["cograd3d", "dreamer-xl", "dreamfusion", "pgc", "ptd"]


def test_there_are_these_and_each_has_a_recipe() -> None:
    assert protocol_names() == NAMES
    assert set(NAMES) <= set(recipe_names())
    for name in NAMES:
        assert protocol(name).name == name
        assert protocol(name.replace("-", "_")) == protocol(name)


def test_ptd_looks_sixteen_times() -> None:
    for measure in protocol("ptd").measures:
        views = measure.cameras.views()
        assert len(views) == len(measure.cameras) == 16
        assert views.azimuth_deg.tolist() == [-180, -135, -90, -45, 0, 45, 90, 135] * 2
        assert views.elevation_deg.tolist() == [0] * 8 + [45] * 8
        assert set(views.distance.tolist()) == {4.0}
        assert measure.metric == "clip_score"
    assert [m.model for m in protocol("ptd").measures] == [
        "OpenAI ViT-L/14",
        "OpenCLIP ViT-bigG-14",
    ]


def test_an_object_fills_as_much_of_a_picture_of_ptd_as_of_ours() -> None:
    def share(cameras: protocols.Cameras) -> float:
        half = math.asin(1 / cameras.distance)
        return math.tan(half) / math.tan(math.radians(cameras.fov_y_deg / 2))

    ours = share(protocols.Cameras((protocols.Orbit(1, 0.0),)))
    assert share(protocol("ptd").measures[0].cameras) == pytest.approx(ours, abs=2e-3)


def test_cograd3d_goes_around_once_in_120_views_and_asks_the_slow_models_of_six() -> None:
    counts = {m.metric: len(m.cameras) for m in protocol("cograd3d").measures}
    assert counts["clip_score"] == counts["deviation_over_prompts"] == 120
    assert counts["vqa_score"] == counts["image_reward"] == 6
    six = next(m for m in protocol("cograd3d").measures if m.metric == "vqa_score")
    assert six.cameras.views().azimuth_deg.tolist() == [0, 60, 120, 180, 240, 300]
    ring = next(m for m in protocol("cograd3d").measures if m.metric == "janus").cameras.views()
    assert ring.azimuth_deg.tolist() == janus.janus_ring().azimuth_deg.tolist()


def test_the_other_tables_have_their_columns() -> None:
    columns = [(m.metric, m.model) for m in protocol("dreamer_xl").measures]
    assert columns == [
        ("clip_cosine", "OpenAI ViT-L/14"),
        ("clip_cosine", "OpenCLIP ViT-L/14"),
        ("adjacent_lpips", "VGG"),
        ("adjacent_lpips", "AlexNet"),
    ]
    fusion = protocol("dreamfusion").measures
    assert {m.metric for m in fusion} == {"r_precision"}
    assert [m.shading for m in fusion] == ["colour"] * 3 + ["textureless"] * 3
    assert {len(m.cameras) for m in fusion} == {16}
    assert {m.cameras.size for m in protocol("pgc").measures} == {1024}


@pytest.mark.parametrize("name", NAMES)
def test_each_names_its_paper_and_what_was_chosen(name: str) -> None:
    found = protocol(name)
    assert all(getattr(found, field.name) for field in fields(found))
    for measure in found.measures:
        views = measure.cameras.views()
        assert len(views) == len(measure.cameras) > 0
        assert (views.width, views.height) == (measure.cameras.size,) * 2
        turned = views.azimuth_deg.remainder(360) * 1000 + views.elevation_deg
        assert len(turned.unique()) == len(views), "a view is there twice"
    function = getattr(protocols, name.replace("-", "_"))
    assert "Told" in function.__doc__
    assert "Chosen" in function.__doc__
    with pytest.raises(FrozenInstanceError):
        found.name = "mine"  # pyright: ignore[reportAttributeAccessIssue]


def test_every_metric_is_a_function_of_this_folder() -> None:
    known = {
        name
        for module in (clip, retrieval, lpips, vqa, preference, pictures)
        for name in module.__all__
    }
    assert set(get_args(Metric)) - {"janus"} <= known
    used = {m.metric for name in NAMES for m in protocol(name).measures}
    assert used <= set(get_args(Metric))


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(InputError, match="nearest is dreamfusion"):
        protocol("dreamfuson")
    with pytest.raises(InputError, match="There are cograd3d, dreamer-xl"):
        protocol("zzz")
