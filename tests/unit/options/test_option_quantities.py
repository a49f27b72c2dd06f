"""Sizes, durations, times and ports are read as users write them, and written so that they read the same."""

from __future__ import annotations

from datetime import time, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocket_exec.options.ports import PortRange
from pocket_exec.options.quantities import Duration, Seconds, Size, TimeOfDay


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("2GB", 2 * 10**9),
        ("2GiB", 2**31),
        ("500 MB", 5 * 10**8),
        (" 7.5gb ", 7_500_000_000),
        ("1.5 GiB", 3 * 2**29),
        ("100kB", 10**5),
        ("12B", 12),
        (2_000_000_000, 2 * 10**9),
        ("2000000000", 2 * 10**9),
        (2e9, 2 * 10**9),
        (Size(3), 3),
    ],
    ids=repr,
)
def test_a_size_is_read_in_every_form_people_write(written: Any, size: int) -> None:
    assert Size.parse(written) == size


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("2 GiBB", "'2 GiBB' is not a size; write '2GB' or '2GiB'"),
        ("", "'' is not a size; write '2GB' or '2GiB'"),
        ("-2GB", "'-2GB' is not a size; write '2GB' or '2GiB'"),
        (True, "true is not a size; write '2GB' or '2GiB'"),
        (None, "null is not a size; write '2GB' or '2GiB'"),
        (["2GB"], "['2GB'] is not a size; write '2GB' or '2GiB'"),
        (4, "4 is 4 bytes; write '4GB'"),
        ("7.5", "7.5 is 7.5 bytes; write '7.5GB'"),
        (4000, "4000 is 4000 bytes; write '4000MB'"),
        ("2G", "'2G' can be 1000s or 1024s; write '2GB' or '2GiB'"),
        ("512k", "'512k' can be 1000s or 1024s; write '512kB' or '512KiB'"),
        ("0.3B", "'0.3B' is not a whole number of bytes"),
        ("٣GB", "'٣GB' is not a size; write '2GB' or '2GiB'"),
    ],
    ids=repr,
)
def test_what_is_no_size_is_refused_with_what_to_write(written: Any, message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the whole message is compared below
        Size.parse(written)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (4, "4B"),
        (2 * 10**9, "2GB"),
        (2**31, "2GiB"),
        (7_500_000_000, "7.5GB"),
        (5 * 10**8, "500MB"),
        (1000, "1kB"),
        (2861 * 2**20, "2861MiB"),
        (123456789, "123456789B"),
    ],
    ids=repr,
)
def test_a_size_is_written_as_a_person_would(size: int, text: str) -> None:
    assert str(Size(size)) == f"{Size(size)}" == text


@given(
    st.one_of(st.integers(0, 2**60), st.integers(0, 4000).flatmap(lambda n: st.sampled_from([n * 2**20, n * 10**6])))
)
def test_a_size_reads_back_from_its_text(size: int) -> None:
    assert Size.parse(str(Size(size))) == size


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (3600, 3600),
        ("3600", 3600),
        (3600.0, 3600),
        ("1h", 3600),
        ("1h30m", 5400),
        ("1 h 30 min", 5400),
        ("1 hour and 30 minutes", 5400),
        ("90 min", 5400),
        ("1.5h", 5400),
        ("01:00:00", 3600),
        ("6:00:00", 21600),
        ("168:00:00", 604800),
        ("1-00:00:00", 86400),
        ("1-12", 129600),
        ("2-06:30", 196200),
        ("1d", 86400),
        ("1 week", 604800),
        ("0", 0),
        (timedelta(hours=2), 7200),
    ],
    ids=repr,
)
def test_a_duration_is_read_in_every_form_people_write(written: Any, seconds: int) -> None:
    assert Duration.parse(written) == seconds


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("12:00", "'12:00' can be hours and minutes or minutes and seconds; write '12:00:00' or '12m00s'"),
        ("soon", "'soon' is not a duration; write '1h30m', '01:30:00' or seconds"),
        ("1x", "'1x' is not a duration; write '1h30m', '01:30:00' or seconds"),
        ("1h30", "'1h30' is not a duration; write '1h30m', '01:30:00' or seconds"),
        ("-1h", "'-1h' is not a duration; write '1h30m', '01:30:00' or seconds"),
        ("", "'' is not a duration; write '1h30m', '01:30:00' or seconds"),
        (None, "null is not a duration; write '1h30m', '01:30:00' or seconds"),
        (False, "false is not a duration; write '1h30m', '01:30:00' or seconds"),
        ("01:99:00", "'01:99:00' has more than 59 minutes or seconds; write '1h30m', '01:30:00' or seconds"),
        ("0.5", "'0.5' is not a whole number of seconds"),
    ],
    ids=repr,
)
def test_what_is_no_duration_is_refused_with_what_to_write(written: Any, message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the whole message is compared below
        Duration.parse(written)
    assert str(refused.value) == message


@pytest.mark.parametrize("suggestion", ["12:00:00", "12m00s"])
def test_what_a_message_suggests_for_a_duration_is_one(suggestion: str) -> None:
    assert Duration.parse(suggestion) in (43200, 720)


@given(st.integers(0, 10**9))
def test_a_duration_reads_back_from_its_text(seconds: int) -> None:
    assert Duration.parse(str(Duration(seconds))) == seconds
    assert Seconds.parse(str(Seconds(seconds))) == seconds


def test_a_timeout_for_other_programs_is_written_in_seconds() -> None:
    assert (str(Duration.parse("1h")), str(Seconds.parse("1h"))) == ("01:00:00", "3600")
    assert type(Seconds.parse(Duration(5))) is Seconds


@given(st.times().map(lambda moment: moment.replace(microsecond=0)))
def test_a_time_of_day_reads_back_from_its_text(moment: time) -> None:
    assert TimeOfDay.parse(str(TimeOfDay.parse(moment))) == moment


def test_a_time_of_day_may_leave_out_the_seconds() -> None:
    assert TimeOfDay.parse(" 6:05 ") == time(6, 5)
    assert TimeOfDay.parse("23:59:58") == time(23, 59, 58)


@pytest.mark.parametrize("written", ["24:00", "7", "12:60", 730, None])
def test_what_is_no_time_of_day_is_refused(written: Any) -> None:
    with pytest.raises(ValueError, match="is not a time of day; write '22:30'"):
        TimeOfDay.parse(written)


@pytest.mark.parametrize("written", ["10000:10100", "10000-10100", " 10000 : 10100 "])
def test_a_range_of_ports_is_written_as_dask_does(written: str) -> None:
    assert PortRange.parse(written) == "10000:10100"
    assert list(PortRange.parse(8786).ports) == [8786]
    assert len(PortRange.parse(written).ports) == 101


@pytest.mark.parametrize("written", ["5-3", "0", "70000", "a", True, None, ""])
def test_what_is_no_range_of_ports_is_refused(written: Any) -> None:
    with pytest.raises(ValueError, match="is not a range of ports"):
        PortRange.parse(written)
