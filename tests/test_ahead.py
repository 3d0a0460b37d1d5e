"""Work in threads ahead of its use."""

import itertools
import threading

import pytest

from emojax.util.ahead import draw_ahead, map_ahead


@pytest.mark.parametrize("ahead", [1, 2, 7, 100])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 20])
def test_the_same_as_map(count, ahead, threads):
    assert list(map_ahead(lambda item: item * item, range(count), ahead, threads)) == [
        item * item for item in range(count)
    ]
    assert list(draw_ahead(iter(range(count)), ahead)) == list(range(count))


@pytest.mark.parametrize("ahead", [1, 3])
def test_no_more_than_so_many_are_made_ahead(ahead):
    asked = []

    def items():
        for item in itertools.count():
            asked.append(item)
            yield item

    results = map_ahead(lambda item: item, items(), ahead)
    for used in range(5):
        assert next(results) == used
        assert len(asked) == used + 1 + ahead
    results.close()


def test_the_next_is_made_while_one_is_used():
    made = [threading.Event() for _ in range(3)]
    for index in map_ahead(lambda index: (made[index].set(), index)[1], range(3)):
        assert made[min(index + 1, 2)].wait(300)


def test_an_error_is_raised_where_its_result_would_be():
    def inverse(number):
        return 1 / number

    results = map_ahead(inverse, [1, 2, 0, 4], 3)
    assert [next(results), next(results)] == [1.0, 0.5]
    with pytest.raises(ZeroDivisionError):
        next(results)

    def items():
        yield from range(5)
        raise KeyError("at the end")

    drawn = draw_ahead(items(), 2)
    assert list(itertools.islice(drawn, 5)) == [0, 1, 2, 3, 4]
    with pytest.raises(KeyError, match="at the end"):
        next(drawn)


def test_closing_ends_the_threads():
    before = threading.active_count()
    for results in (map_ahead(lambda item: item, itertools.count(), 5), draw_ahead(itertools.count(), 5)):
        assert next(results) == 0
        assert threading.active_count() == before + 1
        results.close()
        assert threading.active_count() == before
