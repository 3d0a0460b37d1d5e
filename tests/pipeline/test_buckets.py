"""The sizes that programs are compiled for: few, and little larger than the photos."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import job
from emojax.pipeline import sizes as planning
from emojax.pipeline.sizes import Buckets, bucket_side, plan_buckets
from emojax.pipeline.tiles import network_side


def test_sides():
    assert [network_side(n) for n in (1, 16, 17, 20, 21)] == [16, 16, 20, 20, 24]
    for side in range(16, 5000, 4):
        assert side <= bucket_side(side) <= max(128, 1.25 * side) and bucket_side(side) % 4 == 0
    assert len({bucket_side(side) for side in range(128, 4097)}) == 21  # four an octave


def test_programs_are_shared_and_waste_no_more_than_their_compilation():
    rng, buckets, owners = np.random.default_rng(0), Buckets(), set()
    for h, w in rng.integers(75, 300, (60, 2)) * 4:
        own = bucket_side(int(h)), bucket_side(int(w))
        height, width = buckets.choose(int(h), int(w))
        assert height >= h and width >= w and height * width <= 2 * own[0] * own[1]
        owners.add(own)
    assert len(buckets.compiled) <= 15 < 30 < len(owners)


def test_five_hundred_sizes_need_few_programs():
    rng, buckets = np.random.default_rng(0), Buckets()
    for side, ratio in zip(
        rng.integers(600, 1600, 500), rng.choice([1, 4 / 3, 3 / 2, 16 / 9, 3 / 4, 2 / 3], 500), strict=True
    ):
        buckets.choose(network_side(int(side)), network_side(int(side * ratio)))
    assert len(buckets.compiled) <= 40


def test_a_size_that_keeps_coming_gets_its_own_program():
    buckets = Buckets()
    assert buckets.choose(500, 700) == (512, 768)
    patience = Buckets.PATIENCE
    assert [buckets.choose(420, 630) for _ in range(patience + 2)] == [(512, 768)] * patience + [(448, 640)] * 2
    assert buckets.choose(100, 100) == (128, 128)  # a far larger program is not used


SIZES = st.lists(st.tuples(st.integers(4, 1000), st.integers(4, 1000)), min_size=2, max_size=80)


@given(SIZES)
def test_every_expected_photo_fits_its_bucket_and_there_are_few(quarters):
    sizes, buckets = [(4 * h, 4 * w) for h, w in quarters], Buckets()
    planned = buckets.plan(sizes)
    chosen = [buckets.choose(*size) for size in sizes]
    assert all(y >= h and x >= w for (y, x), (h, w) in zip(chosen, sizes, strict=True))
    assert all(y % 32 == x % 32 == 0 for y, x in planned)
    assert len(planned) <= planning.PLANNED
    assert planned == list(dict.fromkeys(chosen)) and buckets.compiled == set(planned)
    assert Buckets().plan(sizes) == planned
    assert len(sizes) == 1 or set(plan_buckets(sizes[::-1])) >= set(planned)
    alone = sum(-(-h // 32) * -(-w // 32) * 32 * 32 for h, w in sizes)
    if len(planned) < planning.PLANNED:  # each merge has padded less than a compilation costs
        assert sum(y * x for y, x in chosen) < alone + len(set(sizes)) * planning.COMPILE_COST


def test_the_benchmarks_folder_is_padded_little_with_few_programs():
    rng, buckets = np.random.default_rng(0), Buckets()
    sizes = [rng.integers(*job.MIXED, 2).tolist()[::-1] for _ in range(50)]
    seen = [(network_side(h), network_side(w)) for h, w in sizes]
    assert len(buckets.plan(seen)) <= 12
    assert sum(math.prod(buckets.choose(h, w)) for h, w in seen) <= 1.3 * sum(h * w for h, w in sizes)


def test_thousands_of_sizes_are_planned_too():
    rng = np.random.default_rng(0)
    sizes = [(int(h), int(w)) for h, w in 4 * rng.integers(75, 1000, (2000, 2))]
    buckets = Buckets()
    planned = buckets.plan(sizes)
    assert len(planned) <= 256
    assert sum(math.prod(buckets.choose(*size)) for size in sizes) <= 1.3 * sum(map(math.prod, sizes))


def test_sizes_that_were_not_expected_are_chosen_as_ever():
    buckets, plain = Buckets(), Buckets()
    assert buckets.plan([]) == [] and buckets.plan([(40, 40), (3000, 3000)]) == [(64, 64), (3008, 3008)]
    assert [buckets.choose(500, 700), buckets.choose(420, 630)] == [plain.choose(500, 700), plain.choose(420, 630)]


def test_a_single_planned_photo_has_its_usual_bucket():
    buckets = Buckets()
    assert buckets.plan([(300, 212)]) == [(320, 224)] == [Buckets().choose(300, 212)]
    assert buckets.choose(300, 212) == (320, 224) and buckets.compiled == {(320, 224)}
