"""Low-rank adapters: the same numbers as peft's, and a network that is left alone."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from adapters import T, attending, latents_of, numbers, weights_at_work, words_of
from maquette.errors import PriorError
from maquette.priors.analytic import GaussianMixture
from maquette.priors.base import Counting
from maquette.priors.embedded import Worded
from maquette.priors.lora import LoRA
from maquette.priors.low_rank import DOWN, UP, Adapted, adapted, first_weights
from maquette.priors.stable_diffusion import StableDiffusion
from maquette.records import Views
from maquette.toybox.wording import WORDING


def answer(prior: Any, latent: Tensor) -> Tensor:
    words = words_of(prior)
    return prior.predict(latent, T, [words.positive, words.null])


def pefts(prior: StableDiffusion, weights: dict[str, Tensor], scale: float) -> StableDiffusion:
    """The same prior with the adapter loaded into its U-Net by diffusers and peft."""
    unet = copy.deepcopy(prior.unet)
    plain = {name: value.clone() for name, value in weights.items()}
    unet.load_lora_adapter(plain, prefix=None, adapter_name="ours")
    unet.set_adapters("ours", scale)
    parts = prior.vae, prior.text_encoder, prior.tokenizer, prior.schedule
    return StableDiffusion(unet, *parts, prior.prediction_type, "theirs")


@pytest.mark.oracles
@pytest.mark.parametrize("scale", [1.0, 0.3, -2.0])
@pytest.mark.parametrize("head", ["epsilon", "v_prediction", "sample"])
def test_the_answers_are_those_of_peft(head, scale):
    prior = attending(head=head)
    latent, weights = latents_of(prior), weights_at_work(prior)
    theirs = answer(pefts(prior, weights, scale), latent)
    ours = answer(Adapted(prior, weights, scale), latent)
    assert float((theirs - answer(prior, latent)).abs().max()) > 0.01
    torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-12)


def test_every_projection_of_peft_is_adapted_and_no_other():
    prior = attending()
    wrapped = {
        name.removesuffix(".base_layer")
        for name, _ in pefts(prior, weights_at_work(prior), 1.0).unet.named_modules()
        if name.endswith(".base_layer")
    }
    assert wrapped == {name.removesuffix(UP) for name in weights_at_work(prior) if UP in name}
    assert len(wrapped) >= 8


@pytest.mark.oracles
def test_the_answers_are_those_of_added_weights():
    prior, scale = attending(), 0.7
    weights, merged = weights_at_work(prior), attending()
    for name, layer in merged.unet.named_modules():
        if name + UP in weights:
            layer.weight += scale * weights[name + UP] @ weights[name + DOWN]
    latent = latents_of(prior)
    ours = answer(Adapted(prior, weights, scale), latent)
    torch.testing.assert_close(ours, answer(merged, latent), rtol=1e-11, atol=1e-12)


@pytest.mark.oracles
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_untrained_adapter_and_a_weight_of_zero_change_no_bit(dtype):
    prior = attending(dtype)
    latent = latents_of(prior)
    plain = answer(prior, latent)
    first = first_weights(prior, 4, poses=True)
    assert torch.equal(answer(Adapted(prior, first), latent), plain)
    poses = numbers(4, 16)
    with adapted(prior, first, poses=poses):
        assert torch.equal(answer(prior, latent), plain)
    assert torch.equal(answer(Adapted(prior, weights_at_work(prior), 0.0), latent), plain)


def hooks_in(prior: StableDiffusion) -> int:
    return sum(len(module._forward_hooks) for module in prior.unet.modules())


def test_the_network_is_left_as_it_was_also_by_a_fault():
    prior = attending()
    latent, weights = latents_of(prior), weights_at_work(prior, poses=True)
    before = {name: value.clone() for name, value in prior.unet.state_dict().items()}
    plain = answer(prior, latent)
    with adapted(prior, weights, 0.5, poses=numbers(4, 16)):
        assert hooks_in(prior) == len(weights) // 2 - 2 + 1
        assert not torch.equal(answer(prior, latent), plain)
    assert hooks_in(prior) == 0

    def broken() -> None:
        with adapted(prior, weights):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert hooks_in(prior) == 0
    assert torch.equal(answer(prior, latent), plain)
    after = prior.unet.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.oracles
def test_poses_are_diffusers_class_embedding():
    from diffusers.models.embeddings import TimestepEmbedding

    prior = attending()
    latent, weights = latents_of(prior), weights_at_work(prior, poses=True)
    poses, words = numbers(4, 16, seed=3), words_of(prior)
    unet = copy.deepcopy(prior.unet)
    width = unet.time_embedding.linear_2.out_features
    unet.class_embedding = TimestepEmbedding(16, width).double()
    names = ("linear_1.weight", "linear_1.bias", "linear_2.weight", "linear_2.bias")
    own = ("pose.in", "pose.in_bias", "pose.out", "pose.out_bias")
    unet.class_embedding.load_state_dict(
        {theirs: weights[ours] for theirs, ours in zip(names, own, strict=True)}
    )
    given = {"encoder_hidden_states": words.positive.embedding, "class_labels": poses}
    with torch.no_grad():
        theirs = unet(latent, T, **given).sample
    with adapted(prior, {**weights, **_without_terms(weights)}, poses=poses):
        ours = prior.predict(latent, T, [words.positive, words.null])
    torch.testing.assert_close(ours[0], theirs, rtol=1e-11, atol=1e-12)
    with torch.no_grad():
        given["encoder_hidden_states"] = words.null.embedding
        torch.testing.assert_close(ours[1], unet(latent, T, **given).sample, rtol=1e-11, atol=1e-12)


def _without_terms(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.zeros_like(value) for name, value in weights.items() if UP in name}


def test_a_student_knows_where_the_camera_stands():
    prior, student = attending(), LoRA()
    weights, latent = weights_at_work(prior, poses=True), latents_of(prior)
    state = {f"weight.{name}": value for name, value in weights.items()}
    words = words_of(prior)
    assert words.views is not None
    answers = student.predict(prior, state, latent, T, words)
    poses = words.views.world_from_camera.reshape(4, 16).double()
    with adapted(prior, weights, poses=poses):
        assert torch.equal(answers, prior.predict(latent, T, [words.positive])[0])
    unknown = student.predict(prior, state, latent, T, words_of(prior, views=False))
    with adapted(prior, weights, poses=torch.zeros(4, 16)):
        assert torch.equal(unknown, prior.predict(latent, T, [words.positive])[0])
    assert not torch.equal(answers, unknown)
    other = dataclasses.replace(words, views=Views.ring(4, elevation_deg=40.0))
    assert not torch.equal(answers, student.predict(prior, state, latent, T, other))


@pytest.mark.oracles
def test_adapters_add_up_whatever_wraps_the_prior():
    prior = attending()
    one, two = weights_at_work(prior, seed=1), weights_at_work(prior, seed=2)
    latent = latents_of(prior)
    wrapped = Counting(Adapted(Worded(prior, WORDING), one, 0.5))
    both = {
        name: torch.cat([0.5 * value if UP in name else value, two[name]], int(UP in name))
        for name, value in one.items()
    }
    expected = answer(Adapted(prior, both), latent)
    torch.testing.assert_close(answer(Adapted(wrapped, two), latent), expected)
    assert wrapped.evaluations == 8


def test_priors_without_attention_and_foreign_weights_are_refused():
    prior = attending()
    picture = GaussianMixture.from_pictures({"a mug": torch.rand(8, 8, 3)})
    with pytest.raises(PriorError, match="no U-Net"):
        LoRA().init(picture)
    weights = weights_at_work(prior)
    name = next(iter(weights))
    with pytest.raises(PriorError, match="does not fit"):
        Adapted(prior, {**weights, name: weights[name][:, 1:]})
    with pytest.raises(PriorError, match="does not fit"):
        Adapted(prior, {k: v for k, v in weights.items() if k != name})


def test_the_fingerprint_tells_adapters_and_weights_apart():
    prior = attending(torch.float32)
    one, two = weights_at_work(prior, seed=1, size=1e-4), weights_at_work(prior, seed=2, size=1e-4)
    prints = [
        Adapted(prior, weights, scale).fingerprint()
        for weights, scale in ((one, 1.0), (two, 1.0), (one, 0.5))
    ]
    assert prior.fingerprint().keys() < prints[0].keys()
    assert len({p["adapter"] for p in prints}) == 3
