"""The noise schedule: its tables, the clean level, conversions and refusals."""

import pytest
import torch

from maquette.errors import PriorError
from maquette.noise import NoiseSchedule


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(params=["scaled_linear", "flow"])
def schedule(request):
    return getattr(NoiseSchedule, request.param)()


def test_scaled_linear_is_that_of_stable_diffusion():
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    options = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012}
    theirs = DDIMScheduler(beta_schedule="scaled_linear", steps_offset=1, **options)
    ours = NoiseSchedule.scaled_linear()
    torch.testing.assert_close(ours.alphas**2, theirs.alphas_cumprod.double(), rtol=2e-5, atol=0)
    # With an offset of 1 the thousandth step of diffusers is t = 1000, which no table holds.
    theirs.set_timesteps(1000)
    assert theirs.timesteps.tolist() == list(range(1000, 0, -1))
    with pytest.raises(PriorError, match="outside -1 to 999"):
        ours.alpha(theirs.timesteps[:1], torch.zeros(1))


def test_variance_is_preserved_and_noise_rises():
    schedule = NoiseSchedule.scaled_linear()
    torch.testing.assert_close(
        schedule.alphas**2 + schedule.sigmas**2, torch.ones(1000, dtype=torch.float64)
    )
    assert bool((schedule.sigmas.diff() > 0).all())
    assert bool((schedule.alphas.diff() < 0).all())


def test_flow_goes_straight_from_picture_to_noise():
    flow = NoiseSchedule.flow(4)
    assert flow.alphas.tolist() == [0.75, 0.5, 0.25, 0.0]
    assert flow.sigmas.tolist() == [0.25, 0.5, 0.75, 1.0]


def test_minus_one_is_the_clean_level(schedule):
    x, t = normal(2, 3, 2, 2), torch.tensor([-1, -1])
    assert torch.equal(schedule.add_noise(x, normal(2, 3, 2, 2, seed=1), t), x)
    assert schedule.rho(t, x).flatten().tolist() == [0.0, 0.0]


def test_factors_take_the_shape_and_dtype_of_what_they_multiply(schedule):
    t = torch.tensor([3, 500])
    for dtype in (torch.float32, torch.float64):
        alpha = schedule.alpha(t, torch.zeros(2, 4, 8, 8, dtype=dtype))
        assert alpha.shape == (2, 1, 1, 1)
        assert alpha.dtype == dtype
    assert schedule.sigma(t, torch.zeros(2, 7)).shape == (2, 1)
    assert float(schedule.sigma(t, torch.zeros(2, 7, dtype=torch.float64))[1]) == float(
        schedule.sigmas[500]
    )


@pytest.mark.parametrize("t", [-2, 1000])
def test_steps_outside_are_refused(schedule, t):
    with pytest.raises(PriorError, match="outside"):
        schedule.sigma(torch.tensor([t]), torch.zeros(1))


def test_no_ratio_exists_where_no_signal_is_left():
    flow = NoiseSchedule.flow(10)
    with pytest.raises(PriorError, match="no signal left"):
        flow.rho(torch.tensor([9]), torch.zeros(1))
    assert float(flow.rho(torch.tensor([8]), torch.zeros(1, dtype=torch.float64))) == pytest.approx(
        9
    )


def test_noise_and_picture_give_each_other(schedule):
    t = torch.tensor([0, 300, 900])
    x, eps = normal(3, 2, 2, 2), normal(3, 2, 2, 2, seed=1)
    noised = schedule.add_noise(x, eps, t)
    torch.testing.assert_close(schedule.clean_from_eps(noised, eps, t), x, rtol=0, atol=1e-12)
    torch.testing.assert_close(schedule.eps_from_clean(noised, x, t), eps, rtol=0, atol=1e-11)


def test_heads_are_converted():
    t, vp, flow = torch.tensor([0, 300, 999]), NoiseSchedule.scaled_linear(), NoiseSchedule.flow()
    x, eps = normal(3, 2, 2, 2), normal(3, 2, 2, 2, seed=1)
    noised, v = vp.add_noise(x, eps, t), vp.v_target(x, eps, t)
    torch.testing.assert_close(vp.eps_from_v(noised, v, t), eps, rtol=0, atol=1e-14)
    noised = flow.add_noise(x, eps, t)
    torch.testing.assert_close(flow.eps_from_flow(noised, eps - x, t), eps, rtol=0, atol=1e-14)


def test_ddim_is_exact_for_constant_noise_and_reversible(schedule):
    x, eps = normal(2, 2, 2, 2), normal(2, 2, 2, 2, seed=1)
    s, t = torch.tensor([-1, 100]), torch.tensor([700, 200])
    x_s, x_t = schedule.add_noise(x, eps, s), schedule.add_noise(x, eps, t)
    torch.testing.assert_close(schedule.ddim_step(x_s, eps, s, t), x_t, rtol=0, atol=1e-12)
    torch.testing.assert_close(schedule.ddim_step(x_t, eps, t, s), x_s, rtol=0, atol=1e-12)


def test_fingerprints_tell_schedules_apart():
    one, same = NoiseSchedule.scaled_linear(), NoiseSchedule.scaled_linear()
    other = NoiseSchedule.scaled_linear(end=0.0121)
    assert one.fingerprint() == same.fingerprint()
    assert len({one.fingerprint(), other.fingerprint(), NoiseSchedule.flow().fingerprint()}) == 3
