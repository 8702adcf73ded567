"""The contracts of camera and timestep samplers, over every one, and what each adds to them."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from parts import concrete, example, label

import maquette.cameras
import maquette.timesteps
from maquette import serial
from maquette.cameras.base import Cameras
from maquette.cameras.uniform import Uniform as UniformCameras
from maquette.errors import InputError
from maquette.noise import NoiseSchedule
from maquette.ramps import linear, resolve
from maquette.randomness import Randomness
from maquette.records import Views
from maquette.timesteps.annealed import Annealed
from maquette.timesteps.base import Timesteps
from maquette.timesteps.shared import Shared
from maquette.timesteps.uniform import Uniform

CAMERAS = concrete(maquette.cameras, Cameras)
TIMESTEPS = concrete(maquette.timesteps, Timesteps)
RANDOM = Randomness(5)
SCHEDULE = NoiseSchedule.scaled_linear()

each_camera = pytest.mark.parametrize("part", CAMERAS, ids=label)
each_timestep = pytest.mark.parametrize("part", TIMESTEPS, ids=label)
each_progress = pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])


def times(sampler: Timesteps, count: int = 4, random: Randomness = RANDOM) -> torch.Tensor:
    return sampler.draw(Views.ring(count), SCHEDULE, random)


@each_timestep
@each_progress
def test_timesteps_are_indices_of_the_schedule(part, progress):
    for schedule in (SCHEDULE, NoiseSchedule.flow(10)):
        t = example(part, progress).draw(Views.ring(64), schedule, RANDOM)
        assert t.shape == (64,)
        assert t.dtype == torch.int64
        assert 0 <= int(t.min()) <= int(t.max()) < len(schedule)


@each_timestep
def test_timesteps_follow_the_stream_alone(part):
    sampler, before = example(part, 0.5), torch.get_rng_state()
    whole = times(sampler)
    assert torch.equal(whole, times(sampler))
    assert torch.equal(torch.get_rng_state(), before)
    ring = Views.ring(4)
    for row in range(4):
        one = sampler.draw(ring[row : row + 1], SCHEDULE, RANDOM.from_view(row))
        assert torch.equal(one, whole[row : row + 1])


@each_camera
@each_progress
def test_cameras_are_views_around_the_object(part, progress):
    views = example(part, progress).draw(8, 32, RANDOM)
    assert len(views) == 8
    assert (views.width, views.height) == (32, 32)
    for values in (views.azimuth_deg, views.elevation_deg, views.distance, views.fov_y_deg):
        assert values.shape == (8,)
        assert values.dtype == torch.float32
        assert torch.isfinite(values).all()
    assert bool((views.elevation_deg.abs() < 90).all())
    assert bool((views.distance > 0).all())
    assert bool(((views.fov_y_deg > 0) & (views.fov_y_deg < 180)).all())


@each_camera
def test_cameras_follow_the_stream_alone(part):
    sampler, before = example(part, 0.5), torch.get_rng_state()
    first, again, other = (sampler.draw(4, 32, r) for r in (RANDOM, RANDOM, RANDOM.at(1)))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.world_from_camera, again.world_from_camera)
    assert not torch.equal(first.world_from_camera, other.world_from_camera)


@pytest.mark.parametrize("part", [*CAMERAS, *TIMESTEPS], ids=label)
def test_samplers_are_their_own_configuration(part):
    made, contract = example(part), Cameras if part in CAMERAS else Timesteps
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.low = 0.5
    data = json.loads(json.dumps(serial.encode(made)))
    assert serial.decode(data, contract, "part") == made
    assert part.__doc__


def test_uniform_timesteps_reach_both_bounds_and_no_further():
    t = times(Uniform(0.02, 0.03), 3000)
    assert sorted(set(t.tolist())) == list(range(20, 31))
    counts = torch.bincount(t)[20:]
    assert int(counts.min()) > 200
    assert times(Uniform(1.0, 1.0)).tolist() == [999] * 4
    assert times(Uniform(0.0, 0.0)).tolist() == [0] * 4


@pytest.mark.parametrize("bounds", [(0.5, 0.4), (-0.1, 0.5), (0.2, 1.1)])
def test_uniform_timesteps_refuse_bounds_that_are_none(bounds):
    with pytest.raises(InputError, match="0 <= low <= high <= 1"):
        times(Uniform(*bounds))


def test_a_ramp_lowers_the_highest_timestep():
    sampler = Uniform(0.02, linear(0.98, 0.5))
    assert int(times(resolve(sampler, 0.0), 500).max()) > 900
    assert int(times(resolve(sampler, 1.0), 500).max()) <= 500
    with pytest.raises(InputError, match="not resolved"):
        times(sampler)


def test_shared_gives_one_timestep_to_all():
    steps = [times(Shared(Uniform()), 4, RANDOM.at(step)) for step in range(20)]
    assert all(len(set(t.tolist())) == 1 for t in steps)
    assert len({int(t[0]) for t in steps}) > 10


def test_annealed_timesteps_fall_with_the_root_of_progress():
    calm = Annealed(jitter=0.0)
    curve = [int(times(resolve(calm, p), 1)) for p in (0.0, 0.25, 1.0)]
    assert curve == [980, 640, 300]
    straight = Annealed(high=1.0, low=0.0, power=1.0, jitter=0.0)
    assert [int(times(resolve(straight, p), 1)) for p in (0.0, 0.5, 1.0)] == [999, 500, 0]


def test_annealed_jitter_stays_small_and_within_the_bounds():
    t = times(resolve(Annealed(), 0.25), 500)
    assert 620 <= int(t.min()) < 630
    assert 650 < int(t.max()) <= 660
    assert int(times(resolve(Annealed(), 0.0), 500).max()) <= 980


@pytest.mark.parametrize("count", [1, 4, 7])
def test_uniform_cameras_see_every_part_of_the_circle(count):
    width = 360 / count
    turns = []
    for step in range(50):
        azimuth = UniformCameras().draw(count, 16, RANDOM.at(step)).azimuth_deg.double()
        gaps = (torch.roll(azimuth, -1) - azimuth) % 360
        # Neighbours lie in neighbouring parts, so they are less than two widths apart.
        assert count == 1 or bool((gaps < 2 * width + 1e-3).all())
        assert count == 1 or abs(float(gaps.sum()) - 360) < 1e-3
        turns.append(float(azimuth[0]))
    quarters = {int((turn + 180) // 90) for turn in turns}
    assert quarters == {0, 1, 2, 3}


def test_uniform_cameras_fill_their_ranges():
    cameras = UniformCameras(
        elevation_deg=(-20.0, 40.0), distance=(2.0, 4.0), fov_y_deg=(30.0, 50.0)
    )
    views = cameras.draw(2000, 16, RANDOM)
    for values, low, high in (
        (views.elevation_deg, -20, 40),
        (views.distance, 2, 4),
        (views.fov_y_deg, 30, 50),
        (views.azimuth_deg, -180, 180),
    ):
        margin = (high - low) / 50
        assert low <= float(values.min()) < low + margin
        assert high - margin < float(values.max()) <= high
        assert abs(float(values.mean()) - (low + high) / 2) < margin


def test_camera_ranges_may_be_ramps():
    cameras = UniformCameras(distance=(linear(3.0, 1.0), 3.0))
    near = resolve(cameras, 1.0).draw(200, 16, RANDOM).distance
    assert float(near.min()) < 1.2
    assert float(resolve(cameras, 0.0).draw(200, 16, RANDOM).distance.min()) >= 3.0
