"""The linear stand-in for an encoder: fitted, differentiated, kept on disk, and the paper's."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from maquette.cli import main
from maquette.errors import CheckpointError, InputError, PriorError
from maquette.lookup import find_prior
from maquette.priors.analytic import GaussianMixture, Mixture
from maquette.priors.embedded import embedded
from maquette.priors.linear_encoder import STABLE_DIFFUSION, LinearEncoder, fit, load
from maquette.records import Views
from maquette.store import SCHEMA, read_sealed, write_sealed
from maquette.toybox.captions import descriptions
from maquette.toybox.judge import true_pictures

TEXT = "a toy"
DECODER = torch.tensor(
    [
        [0.1956, -0.0910, 0.0462, -0.1521],
        [0.2125, -0.0206, 0.0401, -0.1215],
        [0.2208, 0.0047, -0.0028, -0.1083],
    ],
    dtype=torch.float64,
)
DECODER_OFFSET = torch.tensor([0.5573, 0.5105, 0.4635], dtype=torch.float64)
"""The paper's map back from latents to colours, printed beside the one under test."""


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pictures(count: int = 3, seed: int = 0) -> Tensor:
    return numbers(count, 8, 8, 3, seed=seed).sigmoid()


WEIGHT, BIAS = numbers(5, 3, seed=1), numbers(5, seed=2)


def means_of_four(images: Tensor) -> Tensor:
    """Mean colours ``[B, 4, 4, 3]`` of squares of 2 x 2 pixels."""
    corners = [images[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]
    return torch.stack(corners).mean(0)


class Bent(GaussianMixture):
    """Pictures of 8 x 8 become latents ``[5, 4, 4]``, affine in mean colours but for ``bend``."""

    def __init__(self, bend: float = 0.0, mean: float = 0.5) -> None:
        law = Mixture.gaussian(torch.full((80,), mean, dtype=torch.float64), 0.2)
        super().__init__({TEXT: law}, (5, 4, 4), image_size=8)
        self.bend = bend

    def encode(self, images: Tensor) -> Tensor:
        flat = means_of_four(images) @ WEIGHT.to(images).T + BIAS.to(images)
        return (flat + self.bend * torch.sin(9 * flat)).permute(0, 3, 1, 2)


def regressors(prior: Bent, given: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Mean colours with a column of ones ``[N, 4]``, and latents ``[N, 5]``."""
    colours = means_of_four(given).reshape(-1, 3)
    latents = prior.encode(given).permute(0, 2, 3, 1).reshape(-1, 5)
    return torch.cat([colours, torch.ones(len(colours), 1)], 1).numpy(), latents.numpy()


@pytest.mark.oracles
def test_an_affine_encoder_is_found_exactly():
    fitted = fit(Bent(), pictures(), ridge=0.0)
    torch.testing.assert_close(fitted.weight, WEIGHT, rtol=0, atol=1e-13)
    torch.testing.assert_close(fitted.bias, BIAS, rtol=0, atol=1e-13)
    new = pictures(2, seed=7)
    torch.testing.assert_close(fitted.encode(new), Bent().encode(new), rtol=0, atol=1e-13)


@pytest.mark.oracles
@pytest.mark.parametrize("ridge", [0.0, 1e-4, 0.03, 10.0])
def test_the_fit_is_ridge_regression(ridge):
    prior, given = Bent(bend=0.3), pictures(20)
    fitted = fit(prior, given, ridge=ridge)
    inputs, latents = regressors(prior, given)
    # Ridge regression is least squares with one more row per coefficient, none for the offset.
    penalty = np.sqrt(ridge * len(inputs)) * np.eye(4)[:3]
    rows = np.concatenate([inputs, penalty]), np.concatenate([latents, np.zeros((3, 5))])
    solution = np.linalg.lstsq(*rows, rcond=None)[0]
    np.testing.assert_allclose(fitted.weight.numpy(), solution[:3].T, atol=1e-12)
    np.testing.assert_allclose(fitted.bias.numpy(), solution[3], atol=1e-12)
    residual = latents - inputs @ np.concatenate([fitted.weight.T, fitted.bias[None]])
    assert np.abs(residual).max() > 0.1
    assert np.abs(residual.mean(0)).max() < 1e-13


def test_a_larger_ridge_holds_the_matrix_down():
    sizes = [
        float(fit(Bent(0.3), pictures(20), ridge=r).weight.norm()) for r in (0.0, 0.01, 0.1, 1.0)
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 0.1 * sizes[0]


def test_repeated_pictures_change_nothing():
    once, twice = (fit(Bent(0.3), pictures(2).repeat(n, 1, 1, 1), ridge=0.01) for n in (1, 20))
    torch.testing.assert_close(once.weight, twice.weight, rtol=0, atol=1e-12)


def test_pictures_of_one_colour_leave_the_smallest_matrix():
    grey = torch.full((2, 8, 8, 3), 0.4, dtype=torch.float64)
    fitted = fit(Bent(), grey, ridge=0.0)
    torch.testing.assert_close(fitted.weight, torch.zeros(5, 3).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(fitted.encode(grey), Bent().encode(grey), rtol=0, atol=1e-12)


@pytest.mark.oracles
@pytest.mark.parametrize(("height", "width"), [(8, 8), (16, 8), (4, 4)])
def test_the_gradient_on_the_pixels_is_the_matrix_transposed(height, width):
    linear, g = LinearEncoder(Bent(), WEIGHT, BIAS), numbers(2, 5, 4, 4, seed=5)
    images = numbers(2, height, width, 3).sigmoid().requires_grad_()
    (gradient,) = torch.autograd.grad(linear.encode(images), images, g)
    down, across = height // 4, width // 4
    spread = g.repeat_interleave(down, 2).repeat_interleave(across, 3)
    expected = torch.einsum("ck,bcij->bijk", WEIGHT, spread) / (down * across)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-14)


def test_latents_see_the_mean_of_their_share_only():
    linear, images = LinearEncoder(Bent(), WEIGHT, BIAS), pictures()
    expected = (means_of_four(images) @ WEIGHT.T + BIAS).permute(0, 3, 1, 2)
    torch.testing.assert_close(linear.encode(images), expected, rtol=0, atol=1e-14)
    changed = images.clone()
    changed[:, 2:4, 6:8] += 0.25
    difference = linear.encode(changed) - linear.encode(images)
    inside = difference[:, :, 1, 3]
    torch.testing.assert_close(inside, 0.25 * WEIGHT.sum(1).expand(3, 5), rtol=0, atol=1e-13)
    difference[:, :, 1, 3] = 0
    assert torch.equal(difference, torch.zeros_like(difference))


def test_everything_else_is_the_priors_own():
    prior = Bent()
    linear, noised = LinearEncoder(prior, WEIGHT, BIAS), numbers(1, 5, 4, 4)
    t, text = torch.tensor([500]), linear.condition([TEXT])
    assert torch.equal(linear.predict(noised, t, [text]), prior.predict(noised, t, [text]))
    with pytest.raises(InputError, match="no law"):
        linear.check("a chair")
    inside = prior.fingerprint()
    assert inside.items() <= linear.fingerprint().items()
    other = LinearEncoder(prior, WEIGHT + 0.01, BIAS)
    assert other.fingerprint() != linear.fingerprint()


def test_most_of_the_packaged_encoder_is_linear():
    prior, every = embedded(), descriptions()

    def drawn(variation: int) -> Tensor:
        chosen = every[:: len(every) // 8]
        return torch.cat([true_pictures(d, Views.ring(2), variation) for d in chosen])

    fitted, unseen = fit(prior, drawn(10_000)), drawn(20_000)
    latents = prior.encode(unseen)
    error = (fitted.encode(unseen) - latents).square().mean()
    spread = (latents - latents.mean((0, 2, 3), keepdim=True)).square().mean()
    assert float(error) < 0.6 * float(spread)
    assert fitted.encode(unseen).dtype == torch.float32


def test_the_kept_encoder_comes_back(tmp_path: Path):
    prior = Bent(0.3)
    fitted = fit(prior, pictures())
    fitted.save(tmp_path / "linear")
    again = load(tmp_path / "linear", prior)
    assert torch.equal(again.weight, fitted.weight)
    assert torch.equal(again.bias, fitted.bias)
    assert again.fingerprint() == fitted.fingerprint()
    manifest, files = read_sealed(tmp_path / "linear")
    assert manifest["schema"] == SCHEMA
    assert manifest["prior"] == prior.fingerprint()
    assert list(files) == ["linear_encoder.safetensors"]
    assert json.loads((tmp_path / "linear" / "manifest.json").read_text())["seal"]


def test_an_encoder_of_another_prior_is_refused(tmp_path: Path):
    fit(Bent(), pictures()).save(tmp_path / "linear")
    with pytest.raises(PriorError, match="another prior"):
        load(tmp_path / "linear", Bent(mean=0.2))


def test_a_damaged_or_foreign_folder_is_refused(tmp_path: Path):
    folder = tmp_path / "linear"
    fit(Bent(), pictures()).save(folder)
    path = folder / "linear_encoder.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        load(folder, Bent())
    with pytest.raises(CheckpointError):
        load(tmp_path / "nowhere", Bent())
    write_sealed(tmp_path / "other", {"x.txt": b"x"}, {"prior": {}})
    with pytest.raises(CheckpointError, match="no linear encoder"):
        load(tmp_path / "other", Bent())


@pytest.mark.parametrize("ridge", [-1e-3, float("nan"), float("inf")])
def test_a_ridge_that_is_none_is_refused(ridge):
    with pytest.raises(InputError, match="ridge"):
        fit(Bent(), pictures(), ridge=ridge)


def test_no_pictures_and_matrices_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="0 pictures"):
        fit(Bent(), pictures(0))
    with pytest.raises(InputError, match="5 channels"):
        LinearEncoder(Bent(), *STABLE_DIFFUSION)


def test_the_papers_matrix_is_undone_by_the_papers_decoder():
    weight, bias = STABLE_DIFFUSION
    assert (weight.shape, bias.shape) == ((4, 3), (4,))
    levels = torch.linspace(0, 1, 5, dtype=torch.float64)
    colours = torch.cartesian_prod(levels, levels, levels)
    back = (colours @ weight.T + bias) @ DECODER.T + DECODER_OFFSET
    greys = (colours[:, 0] == colours[:, 1]) & (colours[:, 1] == colours[:, 2])
    # Two regressions undo each other only up to what each leaves over, and colours less than greys.
    # A wrong sign in any one number takes greys further off than this.
    assert float((back - colours)[greys].abs().max()) < 0.08
    slope = DECODER @ weight
    assert slope.argmax(0).tolist() == slope.argmax(1).tolist() == [0, 1, 2]


def test_the_command_makes_a_prior_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "linear"
    assert main(["prior", "linearise", "--out", str(folder), "--count", "16"]) == 0
    told = re.search(r"explains (-?[\d.]+)% of the latents of 4 pictures", capsys.readouterr().out)
    assert told
    assert float(told[1]) > 40
    prior = find_prior(str(folder))
    assert isinstance(prior, LinearEncoder)
    assert prior.fingerprint()["linear_encoder"]
    assert prior.name == embedded().name


def test_the_command_fits_to_pictures_of_ones_own(tmp_path: Path) -> None:
    shown = pictures_on_disk(tmp_path / "pictures", 5)
    words = ["prior", "linearise", "--pictures", str(shown)]
    assert main([*words, "--out", str(tmp_path / "own")]) == 0
    assert isinstance(find_prior(str(tmp_path / "own")), LinearEncoder)


def pictures_on_disk(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        colour = (40 * number, 200 - 30 * number, 90)
        Image.new("RGB", (70, 50), colour).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize("fault", ["there already", "too few", "no pictures", "broken"])
def test_the_command_refuses_with_one_sentence(
    fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, shown = tmp_path / "linear", pictures_on_disk(tmp_path / "pictures", 5)
    words = ["prior", "linearise", "--out", str(out), "--pictures", str(shown)]
    if fault == "there already":
        out.mkdir()
    if fault == "too few":
        words += ["--count", "3"]
    if fault == "no pictures":
        words[-1] = str(tmp_path / "nowhere")
    if fault == "broken":
        (shown / "2.png").write_bytes(b"no picture")
    assert main(words) == 2
    told = capsys.readouterr().err
    assert told.startswith("maquette: ")
    assert told.count("\n") <= 2
    assert fault == "there already" or not out.exists()
