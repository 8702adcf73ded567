"""Keyed randomness: every draw depends on its key and on nothing else."""

import torch

from maquette.randomness import Randomness

LIKE = torch.zeros(4, 3, 8, 8)


def test_a_draw_depends_on_its_key_alone():
    random = Randomness(1)
    first = random.normal("noise", LIKE)
    random.uniform("other", 9)
    torch.rand(5)
    assert torch.equal(first, Randomness(1).normal("noise", LIKE))


def test_every_part_of_the_key_matters():
    random = Randomness(1)
    draws = [
        random.normal("noise", LIKE),
        random.normal("noises", LIKE),
        random.at(1).normal("noise", LIKE),
        Randomness(2).normal("noise", LIKE),
        random.from_view(4).normal("noise", LIKE),
    ]
    for i, one in enumerate(draws):
        assert all(not torch.equal(one, other) for other in draws[i + 1 :])
    rows = draws[0]
    assert not torch.equal(rows[0], rows[1])


def test_keys_do_not_run_into_each_other():
    # Step 1 of view 11 and step 11 of view 1 must be strangers.
    one = Randomness(0, step=1).generator("a", 11).initial_seed()
    other = Randomness(0, step=11).generator("a", 1).initial_seed()
    assert one != other


def test_parts_of_a_batch_draw_as_the_whole():
    random = Randomness(3)
    whole = random.normal("noise", LIKE)
    for view in range(4):
        assert torch.equal(random.from_view(view).normal("noise", LIKE[:1])[0], whole[view])
    numbers = random.uniform("t", 4)
    assert torch.equal(random.from_view(2).uniform("t", 2), numbers[2:])


def test_precision_does_not_change_the_numbers():
    random = Randomness(3)
    single, double = random.normal("a", LIKE), random.normal("a", LIKE.double())
    assert single.dtype == torch.float32
    assert double.dtype == torch.float64
    assert torch.equal(single, double.float())


def test_the_global_state_is_neither_used_nor_moved():
    before = torch.get_rng_state()
    Randomness(3).normal("a", LIKE)
    Randomness(3).uniform("a", 4)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_numbers_are_normal_and_uniform():
    random = Randomness(5)
    normal = random.normal("a", torch.zeros(64, 1000, dtype=torch.float64))
    assert abs(float(normal.mean())) < 0.02
    assert abs(float(normal.std()) - 1) < 0.02
    # Rows have different keys, so any correlation between them would come from the keys.
    assert abs(float(torch.corrcoef(normal)[0, 1:].mean())) < 0.02
    uniform = random.uniform("a", 4000)
    assert 0 <= float(uniform.min()) < 0.01
    assert 0.99 < float(uniform.max()) < 1
    assert abs(float(uniform.mean()) - 0.5) < 0.02
    assert uniform.dtype == torch.float64


def test_seeds_of_any_size_are_taken():
    for seed in (0, -5, 2**70):
        assert torch.isfinite(Randomness(seed).normal("a", LIKE)).all()
