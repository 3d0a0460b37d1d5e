import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from emojax.pipeline.programs import Programs
from emojax.pipeline.sizes import Buckets


def double():
    return lambda x: 2 * x


def test_one_program_for_each_name_and_bucket():
    programs = Programs()
    assert programs.get("a", 1, double) is programs.get("a", 1, double)
    assert programs.get("a", 2, double) is not programs.get("a", 1, double) is not programs.get("b", 1, double)
    assert len(programs) == 3


def test_the_least_recently_used_goes_and_its_bucket_is_forgotten():
    programs = Programs(limit=2)
    buckets = programs.buckets("a")
    first, second = buckets.choose(64, 64), buckets.choose(640, 640)
    programs.get("a", first, double)
    programs.get("a", second, double)
    programs.get("a", first, double)  # used again
    programs.get("a", "third", double)
    assert len(programs) == 2 and buckets.compiled == {first}


def test_what_is_dropped_is_freed():
    programs = Programs(limit=1)
    program = weakref.ref(programs.get("a", 1, double))
    program()(np.float32(1))
    programs.get("a", 2, double)
    gc.collect()
    assert program() is None


def test_sixteen_threads_compile_once():
    traced, barrier = [], threading.Barrier(16)

    def make():
        def function(x):
            traced.append(threading.get_ident())
            return 2 * x

        return function

    programs = Programs()

    def work(_):
        barrier.wait()
        return float(programs.get("a", 1, make)(np.float32(3)))

    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(work, range(16))) == [6.0] * 16
    assert len(traced) == 1


def test_buckets_from_many_threads():
    buckets = Buckets()
    sizes = (4 * np.random.default_rng(0).integers(4, 1000, (400, 2))).tolist()
    with ThreadPoolExecutor(16) as threads:
        for (h, w), (height, width) in zip(sizes, threads.map(lambda size: buckets.choose(*size), sizes), strict=True):
            assert height >= h and width >= w
