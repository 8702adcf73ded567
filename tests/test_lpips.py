"""LPIPS against its definition in numpy, and A-LPIPS on rings; the nets have random weights."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

import small_judges
from maquette.errors import InputError, PriorError
from maquette.metrics.lpips import LEAST_PIXELS, SOURCES, Lpips, adjacent_lpips

NETS = ["alex", "vgg"]
STRIDES, PADDINGS = {"alex": {0: 4}}, {"alex": {0: 2, 3: 2}}
POOLS = {"alex": (3, {3, 6}), "vgg": (2, {5, 10, 17, 24})}
"""The side of a pool, and the convolutions that one stands before."""

COMPARED = {"alex": (0, 3, 6, 8, 10), "vgg": (2, 7, 14, 21, 28)}


def pictures(count: int, size: int = 32, seed: int = 0) -> Tensor:
    return small_judges.pictures(count, size, seed)


@pytest.fixture(scope="module", params=NETS)
def lpips(request: pytest.FixtureRequest) -> Lpips:
    return Lpips.load(small_judges.lpips(request.param))


@pytest.fixture(scope="module")
def alex() -> Lpips:
    return Lpips.load(small_judges.lpips("alex"))


def by_hand(net: str, first: Tensor, second: Tensor) -> float:
    """LPIPS of one pair in numpy and float64, as the paper has it."""
    read = {k: v.double().numpy() for k, v in load_file(small_judges.lpips(net) / FILE).items()}
    total = 0.0
    seen = [features_by_hand(net, read, picture) for picture in (first, second)]
    layers = zip(*seen, strict=True)
    for number, (a, b) in enumerate(layers):
        unit = [x / np.sqrt((x**2).sum(axis=0)) for x in (a, b)]
        head = read[f"lin{number}.model.1.weight"].reshape(-1, 1, 1)
        total += (head * (unit[0] - unit[1]) ** 2).sum(axis=0).mean()
    return total


FILE = "model.safetensors"


def features_by_hand(net: str, read: dict[str, NDArray], picture: Tensor) -> list[NDArray]:
    shift, scale = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])
    x = ((picture.double().numpy() * 2 - 1 - shift) / scale).transpose(2, 0, 1)
    side, before = POOLS[net]
    found = []
    for number in small_judges.CONVOLUTIONS[net]:
        if number in before:
            x = sliding_window_view(x, (side, side), axis=(1, 2))[:, ::2, ::2].max(axis=(3, 4))
        weight, bias = read[f"features.{number}.weight"], read[f"features.{number}.bias"]
        pad = PADDINGS.get(net, {}).get(number, 1)
        stride = STRIDES.get(net, {}).get(number, 1)
        padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
        windows = sliding_window_view(padded, weight.shape[2:], axis=(1, 2))
        windows = windows[:, ::stride, ::stride]
        x = np.einsum("oikl,ihwkl->ohw", weight, windows, optimize=True)
        x = np.maximum(x + bias[:, None, None], 0)
        if number in COMPARED[net]:
            found.append(x)
    return found


def test_it_agrees_with_the_definition(lpips: Lpips) -> None:
    first, second = pictures(2), pictures(2, seed=1)
    expected = [by_hand(lpips.net, a, b) for a, b in zip(first, second, strict=True)]
    found = lpips.distances(first, second)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)
    assert min(expected) > 0.1


def test_equal_pictures_have_no_distance_and_order_does_not_matter(lpips: Lpips) -> None:
    first, second = pictures(2), pictures(2, seed=1)
    assert lpips.distances(first, first).tolist() == [0.0, 0.0]
    there, back = lpips.distances(first, second), lpips.distances(second, first)
    assert there.tolist() == back.tolist()


def test_pairs_do_not_mix(alex: Lpips) -> None:
    first, second = pictures(4), pictures(4, seed=1)
    alone = [alex.distances(a[None], b[None]).item() for a, b in zip(first, second, strict=True)]
    assert alex.distances(first, second).tolist() == alone


def test_adjacent_lpips_is_the_mean_over_a_closed_ring(alex: Lpips) -> None:
    ring = pictures(5)
    following = ring.roll(-1, dims=0)
    pairs = alex.distances(ring, following)
    assert alex.around(ring).tolist() == pairs.tolist()
    assert adjacent_lpips(alex, ring) == pytest.approx(pairs.double().mean().item(), rel=1e-12)


def test_where_a_ring_begins_and_which_way_it_goes_makes_no_difference(alex: Lpips) -> None:
    ring = pictures(5)
    for turn in range(1, 5):
        assert adjacent_lpips(alex, ring.roll(turn, dims=0)) == adjacent_lpips(alex, ring)
    assert adjacent_lpips(alex, ring.flip(0)) == adjacent_lpips(alex, ring)
    shuffled = ring[[0, 2, 4, 1, 3]]
    assert adjacent_lpips(alex, shuffled) != adjacent_lpips(alex, ring)


def test_views_that_are_all_the_same_are_wholly_consistent(lpips: Lpips) -> None:
    ring = pictures(1).expand(3, -1, -1, -1)
    assert adjacent_lpips(lpips, ring) == 0.0


def test_a_ring_of_smaller_steps_has_a_smaller_value(alex: Lpips) -> None:
    ends = pictures(2)
    share = (1 + torch.cos(torch.arange(12) * (torch.pi / 6)))[:, None, None, None] / 2
    fine = share * ends[0] + (1 - share) * ends[1]
    assert adjacent_lpips(alex, fine) < adjacent_lpips(alex, fine[::3])


@pytest.mark.parametrize("net", NETS)
def test_the_smallest_pictures_work_and_smaller_ones_are_refused(net: str) -> None:
    model, least = Lpips.load(small_judges.lpips(net)), LEAST_PIXELS[net]
    assert model.distances(pictures(1, least), pictures(1, least, seed=1)).item() > 0
    with pytest.raises(InputError, match=f"needs {least}"):
        model.distances(pictures(1, least - 1), pictures(1, least - 1))


def test_what_makes_no_pairs_is_refused(alex: Lpips) -> None:
    with pytest.raises(InputError, match="no pairs"):
        alex.distances(pictures(2), pictures(3))
    with pytest.raises(InputError, match="no pictures"):
        alex.distances(torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32))
    with pytest.raises(InputError, match="no neighbours"):
        adjacent_lpips(alex, pictures(1))


def test_loading_draws_no_random_number() -> None:
    before = torch.random.get_rng_state()
    Lpips.load(small_judges.lpips("alex"))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_told_with_the_command_that_makes_it(name: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small_judges.lpips("alex"), tmp_path / "alex"))
    (folder / name).unlink()
    with pytest.raises(PriorError, match=f"has no {name}") as caught:
        Lpips.load(folder)
    assert f"`{SOURCES['alex'].command(folder)}`" in caught.value.next_step
    assert "curl -fLO 'https://download.pytorch.org/models/alexnet" in caught.value.next_step


def damaged(folder: Path, change: str) -> None:
    path = folder / FILE
    weights = load_file(path)
    if change == "cut":
        path.write_bytes(path.read_bytes()[:1000])
        return
    if change == "lacks":
        del weights["lin3.model.1.weight"]
    elif change == "shape":
        weights["features.3.weight"] = weights["features.3.weight"][:, :-1].clone()
    elif change == "none":
        weights["features.0.bias"][3] = float("nan")
    save_file(weights, path)


@pytest.mark.parametrize(
    ("change", "said"),
    [("cut", ""), ("lacks", "lin3"), ("shape", "features.3.weight has shape"), ("none", "is none")],
)
def test_damaged_weights_are_refused(change: str, said: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small_judges.lpips("alex"), tmp_path / "alex"))
    damaged(folder, change)
    with pytest.raises(PriorError, match=f"cannot be loaded.*{said}"):
        Lpips.load(folder)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"net": "squeeze"}', '{"net": "vgg"}'])
def test_a_wrong_net_is_refused(text: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small_judges.lpips("alex"), tmp_path / "alex"))
    (folder / "config.json").write_text(text)
    with pytest.raises(PriorError, match="cannot be loaded"):
        Lpips.load(folder)


def test_the_command_makes_a_folder_that_can_be_loaded(tmp_path: Path) -> None:
    """Its second half is run on files as they are published; the first fetches those."""
    weights = load_file(small_judges.lpips("alex") / FILE)
    backbone = {k: v for k, v in weights.items() if not k.startswith("lin")}
    torch.save(backbone, tmp_path / "alexnet-owt-7be5be79.pth")
    torch.save({k: weights[k] for k in weights if k.startswith("lin")}, tmp_path / "alex.pth")
    command = SOURCES["alex"].command(tmp_path)
    *_, conversion = command.split(" && ")
    assert conversion == f'python -c "{SOURCES["alex"].conversion()}"'
    # Nothing in it may mean something to a shell, which would change it.
    assert not set(SOURCES["alex"].conversion()) & set('"$`\\!')
    code = [sys.executable, "-c", SOURCES["alex"].conversion()]
    subprocess.run(code, cwd=tmp_path, check=True)
    assert json.loads((tmp_path / "config.json").read_text()) == {"net": "alex"}
    first, second = pictures(1), pictures(1, seed=1)
    made = Lpips.load(tmp_path).distances(first, second)
    same = Lpips.load(small_judges.lpips("alex")).distances(first, second)
    assert made.tolist() == same.tolist()
    assert "classifier.6.bias" not in load_file(tmp_path / FILE)
