"""Stable Diffusion from a folder: what is asked, how heads are converted, and what is refused."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import small_networks
from maquette.errors import PriorError
from maquette.priors.stable_diffusion import StableDiffusion
from maquette.records import Views

TEXTS = ["a red mug", "a blue mug, back view"]
T = torch.tensor([10, 700])


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_given: object, **_named: object) -> None:
        raise AssertionError("a test tried to reach the network")

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module", params=["AutoencoderTiny", "AutoencoderKL"])
def prior(request: pytest.FixtureRequest) -> StableDiffusion:
    return StableDiffusion.load(small_networks.stable_diffusion(request.param))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(small_networks.stable_diffusion(), tmp_path / "copy"))


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def alphas_by_hand(t: Tensor) -> np.ndarray:
    """sqrt(alpha bar) ``[B, 1, 1, 1]`` of Stable Diffusion's schedule, in numpy."""
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    return np.sqrt(np.cumprod(1 - betas))[t.numpy()].reshape(-1, 1, 1, 1)


def test_it_tells_its_shapes(prior: StableDiffusion) -> None:
    assert prior.latent_shape == (4, 8, 8)
    assert prior.image_size == 16
    assert prior.scaling_factor == 0.7
    assert prior.name == "small"
    assert {"prediction_type": "epsilon", "scaling_factor": "0.7"}.items() <= (
        prior.fingerprint().items()
    )


def test_nothing_in_it_learns_or_drops_out(prior: StableDiffusion) -> None:
    for network in (prior.unet, prior.vae, prior.text_encoder):
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())


def test_encoding_resizes_scales_and_carries_gradients(prior: StableDiffusion) -> None:
    pictures = torch.rand(2, 24, 24, 3, generator=torch.Generator().manual_seed(1))
    latents = prior.encode(pictures.requires_grad_())
    assert latents.shape == (2, 4, 8, 8)
    small = torch.nn.functional.interpolate(
        pictures.detach().permute(0, 3, 1, 2), (16, 16), mode="bilinear", antialias=True
    )
    encoded = prior.vae.encode(2 * small - 1)
    raw = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
    torch.testing.assert_close(latents, 0.7 * raw, rtol=1e-5, atol=1e-6)
    (gradient,) = torch.autograd.grad(latents.square().sum(), pictures)
    assert torch.isfinite(gradient).all()
    assert (gradient.abs().sum((1, 2, 3)) > 0).all()


def test_encoding_is_the_same_each_time(prior: StableDiffusion) -> None:
    pictures = torch.rand(1, 16, 16, 3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(prior.encode(pictures), prior.encode(pictures))


def test_decoding_unscales_and_stays_in_range(prior: StableDiffusion) -> None:
    latents = numbers(2, 4, 8, 8)
    pictures = prior.decode(latents)
    assert pictures.shape == (2, 16, 16, 3)
    assert 0 <= float(pictures.min()) <= float(pictures.max()) <= 1
    with torch.no_grad():
        raw = prior.vae.decode(latents / 0.7).sample
    expected = (raw / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
    torch.testing.assert_close(pictures, expected)
    wild = prior.decode(50 * latents)
    assert 0 <= float(wild.min()) <= float(wild.max()) <= 1


@pytest.mark.parametrize("head", ["epsilon", "v_prediction", "sample"])
def test_every_head_becomes_a_noise_prediction(folder: Path, head: str) -> None:
    small_networks.write_scheduler(folder, prediction_type=head)
    prior = StableDiffusion.load(folder)
    noised, words = numbers(2, 4, 8, 8), prior.condition(TEXTS)
    (eps,) = prior.predict(noised, T, [words])
    with torch.no_grad():
        output = prior.unet(noised, T, encoder_hidden_states=words.embedding).sample
    x, answer, alpha = noised.numpy(), output.numpy(), alphas_by_hand(T)
    sigma = np.sqrt(1 - alpha**2)
    expected = {
        "epsilon": answer,
        "v_prediction": alpha * answer + sigma * x,
        "sample": (x - alpha * answer) / sigma,
    }[head]
    np.testing.assert_allclose(eps.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_clean_latent_is_asked_about_at_the_first_step(prior: StableDiffusion) -> None:
    noised, words = numbers(2, 4, 8, 8), prior.condition(TEXTS)
    clean, first = torch.tensor([-1, -1]), torch.tensor([0, 0])
    assert torch.equal(prior.predict(noised, clean, [words]), prior.predict(noised, first, [words]))


def test_conditions_in_one_batch_are_those_asked_one_by_one(prior: StableDiffusion) -> None:
    noised = numbers(2, 4, 8, 8)
    conditions = [prior.condition(texts) for texts in (TEXTS, ["", ""], TEXTS[::-1])]
    together = prior.predict(noised, T, conditions)
    assert together.shape == (3, 2, 4, 8, 8)
    for place, condition in enumerate(conditions):
        (alone,) = prior.predict(noised, T, [condition])
        torch.testing.assert_close(alone, together[place], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(together[0], together[1])


def test_a_text_has_the_same_bits_in_any_company() -> None:
    folder = small_networks.stable_diffusion()
    one, other = StableDiffusion.load(folder), StableDiffusion.load(folder)
    one.condition(["", "a mug", *TEXTS], Views.ring(4))
    assert torch.equal(one.condition(TEXTS).embedding, other.condition(TEXTS).embedding)


def test_a_tokenizer_without_a_limit_pads_to_the_text_encoders(folder: Path) -> None:
    path = folder / "tokenizer" / "tokenizer_config.json"
    config = json.loads(path.read_text())
    config.pop("model_max_length")
    path.write_text(json.dumps(config))
    assert StableDiffusion.load(folder).condition(["a mug"]).embedding.shape == (1, 20, 16)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_missing_part_is_named(folder: Path, part: str) -> None:
    shutil.rmtree(folder / part)
    with pytest.raises(PriorError, match=f"no folder {part}"):
        StableDiffusion.load(folder)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PriorError, match="cannot be loaded"):
        StableDiffusion.load(tmp_path / "nowhere")


def _other_class(part: str, name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / part / "config.json"
        config = json.loads(path.read_text())
        key = "_class_name" if "_class_name" in config else "architectures"
        config[key] = name if key == "_class_name" else [name]
        path.write_text(json.dumps(config))

    return spoil


def _weights(folder: Path, part: str) -> Path:
    (path,) = (folder / part).glob("*.safetensors")
    return path


def _cut(part: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = _weights(folder, part)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return spoil


def _without_a_weight(part: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        tensors = load_file(_weights(folder, part))
        tensors.pop(sorted(tensors)[0])
        save_file(tensors, _weights(folder, part), metadata={"format": "pt"})

    return spoil


def _of_another_shape(part: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        tensors = load_file(_weights(folder, part))
        name = next(name for name in sorted(tensors) if tensors[name].dim() == 2)
        tensors[name] = tensors[name][:-1].clone()
        save_file(tensors, _weights(folder, part), metadata={"format": "pt"})

    return spoil


def _pickle_only(part: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = _weights(folder, part)
        name = "diffusion_pytorch_model.bin" if part != "text_encoder" else "pytorch_model.bin"
        path.with_name(name).write_bytes(path.read_bytes())
        path.unlink()

    return spoil


SPOILT = {
    f"{what.__name__.strip('_')} {part}": what(part)
    for what in (_cut, _without_a_weight, _of_another_shape, _pickle_only)
    for part in ("unet", "vae", "text_encoder")
    if (what.__name__, part) != ("_of_another_shape", "vae")  # It has no matrices.
} | {
    "another autoencoder": _other_class("vae", "VQModel"),
    "another unet": _other_class("unet", "UNet2DModel"),
    "another text encoder": _other_class("text_encoder", "T5EncoderModel"),
    "no configuration": lambda folder: (folder / "unet" / "config.json").unlink(),
    "no json": lambda folder: (folder / "unet" / "config.json").write_text("{"),
    "json of another kind": lambda folder: (folder / "vae" / "config.json").write_text("[]"),
    "an empty tokenizer": lambda folder: [p.unlink() for p in (folder / "tokenizer").iterdir()],
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_damaged_or_of_another_class_is_refused(folder: Path, name: str) -> None:
    SPOILT[name](folder)
    with pytest.raises(PriorError, match="cannot be loaded") as fault:
        StableDiffusion.load(folder)
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"beta_schedule": "squaredcos_cap_v2"},
        {"rescale_betas_zero_snr": True},
        {"trained_betas": [0.1, 0.2]},
        {"beta_start": None},
        {"prediction_type": "colour"},
    ],
)
def test_a_schedule_that_is_not_known_is_refused(folder: Path, changes: dict) -> None:
    small_networks.write_scheduler(folder, **changes)
    with pytest.raises(PriorError):
        StableDiffusion.load(folder)


def test_a_linear_schedule_is_the_one_of_its_betas(folder: Path) -> None:
    small_networks.write_scheduler(folder, beta_schedule="linear", beta_start=1e-4, beta_end=0.02)
    schedule = StableDiffusion.load(folder).schedule
    bar = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    np.testing.assert_allclose(schedule.alphas.numpy(), np.sqrt(bar), rtol=1e-12)


@pytest.mark.parametrize(
    ("part", "key", "value", "words"),
    [
        ("unet", "addition_embed_type", "text_time", "SDXL"),
        ("unet", "sample_size", [8, 16], "sample size"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    folder: Path, part: str, key: str, value: object, words: str
) -> None:
    prior = StableDiffusion.load(folder)
    module = getattr(prior, part)
    module.register_to_config(**{key: value})
    from maquette.priors.stable_diffusion import _check_fit

    parts = {name: getattr(prior, name) for name in ("unet", "vae", "text_encoder", "tokenizer")}
    with pytest.raises(PriorError, match=words):
        _check_fit(folder, **parts)
