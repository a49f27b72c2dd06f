"""Which chunks are taken to come next."""

from __future__ import annotations

from itertools import pairwise

from coffea.processor.executor import WorkItem

from pocket_exec.engine.reading.following import MOST_EXPECTED, Following, announced


def items(name: str, *edges: int) -> list[WorkItem]:
    return [WorkItem("data", name, "Events", start, stop, b"") for start, stop in pairwise(edges)]


def seen(following: Following, chunks: list[WorkItem], entries: int) -> list[list[int]]:
    stops = []
    for item in chunks:
        following.came(item, entries)
        stops.append(following.stops(item, entries))
    return stops


def test_more_are_expected_the_longer_they_come_in_order() -> None:
    found = seen(Following(), items("a", *range(0, 700, 10)), 10_000)
    assert [len(stops) for stops in found[:6]] == [0, 1, 3, 7, MOST_EXPECTED, MOST_EXPECTED]
    assert found[2] == [40, 50, 60]


def test_none_are_expected_beyond_the_end_of_the_file() -> None:
    assert seen(Following(), items("a", 0, 10, 20, 30, 35), 35) == [[], [30], [35], []]


def test_none_are_expected_out_of_order() -> None:
    chunks = items("a", *range(0, 100, 10))
    assert seen(Following(), chunks[::2], 1000) == [[]] * 5
    assert seen(Following(), [*chunks[:3], *chunks[7:8]], 1000)[-1] == []


def test_the_next_file_is_in_order_where_the_last_one_was_read_to_its_end() -> None:
    following = Following()
    seen(following, items("a", 0, 10, 20), 20)
    assert seen(following, items("b", 0, 10, 20), 20) == [[20], []]
    assert seen(following, items("c", 10, 20), 20) == [[]]


def test_what_is_announced_is_what_comes_and_nothing_else() -> None:
    first, second, _, fourth, *_ = items("a", 0, 10, 20, 30, 40)
    other = items("b", 0, 10)[0]
    following = Following()
    with announced([first, second, fourth, other]):
        assert following.stops(first, 100) == [20]
        assert following.stops(second, 100) == []
        assert following.stops(fourth, 100) == []
    with announced([fourth]):
        seen(following, [first, second], 100)
        assert following.stops(second, 100) == []


def test_after_the_last_one_announced_as_many_are_expected_as_announcements_came_in_order() -> None:
    chunks = items("a", *range(0, 410, 10))
    following = Following()
    lasts = []
    for start in range(0, 40, 4):
        batch = chunks[start : start + 4]
        with announced(batch):
            found = seen(following, batch, 400)
            assert found[0][:3] == [item.entrystop for item in batch[1:]]
            lasts.append(len(found[-1]))
    assert lasts == [0, 1, 3, 7, 15, 15, 12, 8, 4, 0]


def test_after_the_last_one_announced_none_are_expected_where_other_workers_take_turns() -> None:
    chunks = items("a", *range(0, 410, 10))
    following = Following()
    for start in range(0, 40, 8):
        with announced(chunks[start : start + 4]):
            assert seen(following, chunks[start : start + 4], 400)[-1] == []


def test_announcements_end_with_their_context() -> None:
    chunks = items("a", 0, 10, 20, 30)
    with announced(chunks):
        with announced([]):
            assert Following().stops(chunks[0], 30) == []
        assert Following().stops(chunks[0], 30) == [20, 30]
    assert Following().stops(chunks[0], 30) == []
