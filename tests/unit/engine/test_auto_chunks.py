"""Where files are cut with ``chunksize: auto``: near the events that a chunk should have, between clusters."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pocket_exec.engine.auto_chunks import CHUNK_BYTES, LONGEST, MOST_EVENTS, auto_ends, auto_events

CLUSTERS = st.lists(st.integers(1, 400_000), max_size=40)


@given(CLUSTERS, st.integers(0, 20_000))
def test_the_chunks_cover_the_file_once_and_none_is_much_too_long(clusters: list[int], event_bytes: int) -> None:
    boundaries = [sum(clusters[:number]) for number in range(len(clusters) + 1)]
    entries = boundaries[-1]
    ends = auto_ends(entries, entries * event_bytes, boundaries)
    assert ends == sorted(set(ends))
    assert (ends[-1:] or [0]) == [entries]
    lengths = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    wanted = auto_events(entries, entries * event_bytes)
    assert all(length <= LONGEST * wanted + 1 for length in lengths)


@given(st.integers(1, 100_000), st.integers(0, 20_000), st.integers(1, 50))
def test_chunks_end_where_clusters_do_unless_these_are_too_long(cluster: int, event_bytes: int, number: int) -> None:
    boundaries = range(0, cluster * number + 1, cluster)
    entries = boundaries[-1]
    ends = auto_ends(entries, entries * event_bytes, boundaries)
    if cluster <= auto_events(entries, entries * event_bytes):
        assert set(ends) <= set(boundaries)


def test_large_events_make_chunks_of_few_and_small_ones_no_endless_chunks() -> None:
    assert auto_events(10**6, 10**6 * 100_000) == CHUNK_BYTES / 100_000
    assert auto_events(10**6, 10**6 * 4) == MOST_EVENTS
    assert auto_events(10, 10 * 10**12) == 1
    assert auto_events(10**6, 0) == MOST_EVENTS


def test_a_file_of_a_few_events_is_one_chunk_and_an_empty_one_none() -> None:
    assert auto_ends(40, 40 * 9_000, [0, 40]) == [40]
    assert auto_ends(0, 0, [0]) == []


def test_a_cluster_that_is_too_long_is_cut_into_equal_parts() -> None:
    ends = auto_ends(10**6, 10**6 * 5_000, [0, 50_000, 450_000, 10**6])
    assert ends == [50_000, 150_000, 250_000, 350_000, 450_000, 541_666, 633_333, 725_000, 816_666, 908_333, 10**6]


def test_clusters_of_about_the_length_that_is_wanted_stay_whole() -> None:
    for cluster in (80_000, 100_000, 130_000):
        boundaries = range(0, 10 * cluster + 1, cluster)
        assert auto_ends(10 * cluster, 10 * cluster * 5_000, boundaries) == list(boundaries)[1:]


def test_a_short_rest_goes_with_the_last_chunk() -> None:
    assert auto_ends(240_000, 240_000 * 5_000, range(0, 240_001, 10_000)) == [100_000, 240_000]
