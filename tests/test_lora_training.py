"""Training an adapter: AdamW by the book, on what the head should say, and nothing else touched."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor

from adapters import T, attending, latents_of, weights_at_work, words_of
from maquette.checkpoints import pack, unpack
from maquette.errors import InputError, NumericalError
from maquette.priors.base import Counting
from maquette.priors.lora import Adapter, LoRA, weights_of
from maquette.priors.low_rank import DOWN, UP, Adapted, adapted, first_weights
from maquette.priors.stable_diffusion import StableDiffusion
from maquette.randomness import Randomness

RANDOM = Randomness(5)
BOOK: dict[str, Any] = {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1, "lr": 3e-3}


@functools.cache
def first_up() -> str:
    """The name of the first of the weights that begin at zero."""
    return next(name for name in first_weights(attending(), 1) if name.endswith(UP))


def loss_of(
    prior: StableDiffusion, weights: dict[str, Tensor], latent: Tensor, t: Tensor, noise: Tensor
) -> Tensor:
    """The mean square of the eps error, with a graph, straight from the U-Net."""
    noised = prior.schedule.add_noise(latent, noise, t)
    words = words_of(prior).positive.embedding
    with torch.enable_grad(), adapted(prior, weights):
        head = prior.unet(noised, t, encoder_hidden_states=words).sample
    return (head - noise).square().mean()


def test_training_is_torchs_adamw_on_the_mean_square_error():
    prior = attending()
    rules = Adapter(rank=3, learning_rate=BOOK["lr"], weight_decay=BOOK["weight_decay"])
    state, words, latent = rules.init(prior), words_of(prior), latents_of(prior)
    book = {name: value.clone().requires_grad_() for name, value in weights_of(state).items()}
    theirs = torch.optim.AdamW(list(book.values()), **BOOK)
    for step in range(5):
        now = RANDOM.at(step)
        t = (now.uniform("adapter timesteps", 4) * 1000).to(torch.int64)
        loss = loss_of(prior, book, latent, t, now.normal("adapter noise", latent))
        theirs.zero_grad()
        loss.backward()
        theirs.step()
        state = rules.learn(prior, state, latent, words.positive, now)
        assert float(state["loss"]) == pytest.approx(float(loss.detach()), rel=1e-6)
    assert int(state["steps"]) == 5
    for name, value in weights_of(state).items():
        torch.testing.assert_close(value, book[name].detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("head", ["epsilon", "v_prediction", "sample"])
def test_what_is_learnt_is_what_the_head_should_say(head):
    """The loss, read off one step, is the head's error at the draws of that step."""
    prior, latent = attending(head=head), latents_of(attending())
    rules = Adapter()
    after = rules.learn(prior, rules.init(prior), latent, words_of(prior).positive, RANDOM)
    t = (RANDOM.uniform("adapter timesteps", 4) * 1000).to(torch.int64)
    noise = RANDOM.normal("adapter noise", latent)
    alpha = prior.schedule.alphas[t][:, None, None, None]
    sigma = prior.schedule.sigmas[t][:, None, None, None]
    noised = alpha * latent + sigma * noise
    eps = prior.predict(noised, t, [words_of(prior).positive])[0]
    clean = (noised - sigma * eps) / alpha
    wrong = {
        "epsilon": eps - noise,
        "v_prediction": (alpha * eps - sigma * clean) - (alpha * noise - sigma * latent),
        "sample": clean - latent,
    }[head]
    assert float(after["loss"]) == pytest.approx(float(wrong.square().mean()), rel=1e-6)


@pytest.mark.parametrize("head", ["epsilon", "v_prediction"])
def test_learning_lowers_the_loss_on_the_latents(head):
    prior = attending(torch.float32, head)
    rules = Adapter(learning_rate=0.01)
    latent, words = 0.3 * latents_of(prior), words_of(prior)

    def losses(state: dict[str, Tensor]) -> float:
        # The same timesteps and noise for whoever is asked; nothing of it was learnt from.
        asked = [rules.learn(prior, state, latent, words.positive, RANDOM.at(i)) for i in range(16)]
        return sum(float(one["loss"]) for one in asked) / len(asked)

    state = rules.init(prior)
    before = losses(state)
    for step in range(100, 180):
        state = rules.learn(prior, state, latent, words.positive, RANDOM.at(step))
    assert losses(state) < 0.97 * before


def test_the_learning_rate_rises_over_the_warm_up():
    prior, latent = attending(), latents_of(attending())
    words = words_of(prior)

    def way(rules: Adapter, steps: int) -> Tensor:
        state = dict(rules.init(prior), steps=torch.tensor(steps - 1))
        after = rules.learn(prior, state, latent, words.positive, RANDOM)
        return after["weight." + first_up()] - state["weight." + first_up()]

    plain, slow = Adapter(learning_rate=1e-3), Adapter(learning_rate=1e-3, warmup_steps=500)
    for steps, share in ((1, 1 / 500), (250, 0.5), (500, 1.0), (900, 1.0)):
        torch.testing.assert_close(way(slow, steps), share * way(plain, steps), rtol=1e-9, atol=0)


def test_poses_are_forgotten_at_the_given_rate():
    prior, latent = attending(), latents_of(attending(), 4)
    start = {"weight." + k: v for k, v in weights_at_work(prior, poses=True).items()}
    fresh = LoRA(Adapter(rank=3)).init(prior)
    state = {name: start.get(name, value) for name, value in fresh.items()}

    def learnt(share: float, *, views: bool = True) -> Tensor:
        words = words_of(prior, views=views)
        student = LoRA(Adapter(rank=3), pose_dropout=share)
        return student.learn(prior, state, latent, words, RANDOM)["first.pose.in"]

    never, always, some = learnt(0.0), learnt(1.0), learnt(0.5)
    assert torch.equal(always, learnt(0.3, views=False))
    assert torch.equal(always, torch.zeros_like(always))
    assert not torch.equal(never, some)
    drawn = RANDOM.uniform("student poses", 4)
    assert 0 < int((drawn >= 0.5).sum()) < 4


def test_an_adapter_learns_over_those_that_the_prior_has():
    prior, bent = attending(), attending()
    below = weights_at_work(prior, seed=1)
    for name, layer in bent.unet.named_modules():
        if name + UP in below:
            layer.weight += 0.5 * below[name + UP] @ below[name + DOWN]
    latent, words, rules = latents_of(prior), words_of(prior), Adapter(learning_rate=0.01)
    first, second = rules.init(prior), rules.init(prior)
    for step in range(3):
        now = RANDOM.at(step)
        over = Counting(Adapted(prior, below, 0.5))
        first = rules.learn(over, first, latent, words.positive, now)
        second = rules.learn(bent, second, latent, words.positive, now)
    for name, value in second.items():
        torch.testing.assert_close(first[name], value, rtol=1e-6, atol=1e-9)
    alone = rules.learn(prior, rules.init(prior), latent, words.positive, RANDOM.at(0))
    assert abs(float(alone["loss"]) - float(second["loss"])) > 1e-4


def test_learning_leaves_all_else_alone_and_is_keyed():
    prior, student = attending(), LoRA()
    words, latent = words_of(prior), latents_of(prior).requires_grad_()
    state = student.init(prior)
    copies = {name: value.clone() for name, value in state.items()}
    network = {name: value.clone() for name, value in prior.unet.state_dict().items()}
    stream = torch.get_rng_state()
    one, two = (student.learn(prior, state, latent, words, RANDOM) for _ in range(2))
    assert torch.equal(stream, torch.get_rng_state())
    assert all(torch.equal(copies[name], value) for name, value in state.items())
    assert all(torch.equal(network[n], v) for n, v in prior.unet.state_dict().items())
    assert latent.grad is None
    assert one.keys() == state.keys()
    for name, value in one.items():
        assert torch.equal(value, two[name]), name
        assert not value.requires_grad
        assert value.dtype == state[name].dtype
        assert value.shape == state[name].shape
    other = student.learn(prior, state, latent, words, RANDOM.at(1))
    assert not torch.equal(one["first." + first_up()], other["first." + first_up()])


def test_the_state_goes_through_a_checkpoint():
    prior, student = attending(torch.float32), LoRA(Adapter(learning_rate=0.01))
    latent, words = latents_of(prior), words_of(prior)
    state = student.learn(prior, student.init(prior), latent, words, RANDOM)
    back = unpack({"memory.safetensors": pack(state)}, "memory")
    went = student.learn(prior, state, latent, words, RANDOM.at(1))
    came = student.learn(prior, back, latent, words, RANDOM.at(1))
    assert went.keys() == came.keys()
    assert all(torch.equal(value, came[name]) for name, value in went.items())


def test_beside_a_network_in_half_precision_weights_are_in_single():
    prior = attending(torch.bfloat16)
    latent, words = latents_of(prior), words_of(prior)
    rules = LoRA(Adapter(learning_rate=0.01))
    state = rules.learn(prior, rules.init(prior), latent, words, RANDOM)
    assert {v.dtype for k, v in state.items() if "." in k} == {torch.float32}
    assert rules.predict(prior, state, latent, T, words).dtype == torch.float32
    exact = attending(torch.float32)
    same = rules.learn(exact, rules.init(exact), latent, words, RANDOM)
    assert float(same["loss"]) == pytest.approx(float(state["loss"]), rel=0.02)


def test_a_loss_that_is_not_finite_is_refused():
    prior, rules = attending(), Adapter()
    latent = latents_of(prior)
    latent[0, 0, 0, 0] = torch.inf
    with pytest.raises(NumericalError) as caught:
        rules.learn(prior, rules.init(prior), latent, words_of(prior).positive, RANDOM)
    assert caught.value.site == "adapter"


def test_settings_that_are_none_are_refused():
    for wrong in ({"rank": 0}, {"warmup_steps": -1}, {"weight_decay": -0.1}):
        with pytest.raises(InputError, match="No adapter"):
            Adapter(**wrong)
