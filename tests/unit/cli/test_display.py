"""The display of a run: bars on a terminal, lines elsewhere, nothing if quiet, and never the end of a run."""

from __future__ import annotations

import io
import os
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pocket_exec.cli.above import AboveBars
from pocket_exec.cli.display import Display, shows_bars
from pocket_exec.engine.outcome import DatasetOutcome, DatasetPlan, Failure, FaultKind, Listener


class Clock:
    """A clock that goes when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def failed(dataset: str, error: str = "KeyError", *, skipped: bool = False) -> Failure:
    kind = FaultKind.BAD_FILE if skipped else FaultKind.USER
    return Failure(
        dataset, "root://host//a.root", "Events", 0, 100, kind, error, "no field 'x'\nmore", "", "wn1", 3, skipped
    )


def plans(number: int, chunks: int = 10, events: int = 1000) -> list[DatasetPlan]:
    return [DatasetPlan(f"dataset{index}", 1, chunks, events) for index in range(number)]


@contextmanager
def plain(clock: Callable[[], float], *, quiet: bool = False) -> Iterator[tuple[Display, io.StringIO]]:
    file = io.StringIO()
    display = Display(Console(file=file), quiet=quiet, clock=clock, time_of_day=lambda: "12:03:01")
    with display:
        yield display, file


@contextmanager
def bars(width: int = 140, height: int = 40, encoding: str = "utf-8") -> Iterator[tuple[Display, Callable[[], str]]]:
    """Yield a display with bars, and a function that returns what is to be seen."""

    def console() -> Console:
        file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        return Console(file=file, force_terminal=True, width=width, height=height, color_system=None)

    def seen() -> str:
        elsewhere = console()
        with elsewhere.capture() as capture:
            elsewhere.print(display._picture())
        return capture.get().encode(encoding).decode(encoding)

    with Display(console(), live=True, clock=Clock()) as display:
        yield display, seen


def test_the_display_is_a_listener_of_the_engine() -> None:
    listener: Listener = Display(Console(file=io.StringIO()))
    listener.planned([])


def test_a_pipe_gets_lines_a_few_seconds_apart_and_one_at_the_end_of_each_dataset() -> None:
    clock = Clock()
    with plain(clock) as (display, file):
        display.planned(plans(2))
        for index in range(20):
            clock.now += 1
            display.chunk_done(f"dataset{index // 10}", 100, 1.0)
            if index % 10 == 9:
                plan = plans(2)[index // 10]
                display.dataset_done(DatasetOutcome(plan, chunks=10, events=1000, seconds=10.0, settled=True), None)
    assert file.getvalue().splitlines() == [
        "12:03:01 processing 2,000 events in 20 chunks of 2 datasets",
        "12:03:01 25 %: 500 of 2000 events, 0 of 2 datasets done, 100 events/s, no chunks failed, 15 s left",
        "12:03:01 50 %: 1000 of 2000 events, 0 of 2 datasets done, 100 events/s, no chunks failed, 10 s left",
        "12:03:01 dataset0 done: 1,000 of 1,000 events, 10 of 10 chunks, no chunks failed, 10 s of worker time",
        "12:03:01 75 %: 1500 of 2000 events, 1 of 2 datasets done, 100 events/s, no chunks failed, 5 s left",
        "12:03:01 100 %: 2000 of 2000 events, 1 of 2 datasets done, 100 events/s, no chunks failed, 1 s left",
        "12:03:01 dataset1 done: 1,000 of 1,000 events, 10 of 10 chunks, no chunks failed, 10 s of worker time",
    ]


def test_the_log_of_a_night_has_a_line_a_minute() -> None:
    clock = Clock()
    with plain(clock) as (display, file):
        display.planned(plans(1, chunks=36_000, events=36_000))
        for _ in range(36_000):
            clock.now += 1
            display.chunk_done("dataset0", 1, 1.0)
    assert 600 < len(file.getvalue().splitlines()) < 800


def test_notes_do_not_put_off_the_lines_of_progress() -> None:
    clock = Clock()
    with plain(clock) as (display, file):
        display.planned(plans(1))
        for _ in range(6):
            clock.now += 1
            display.note("something")
            display.chunk_done("dataset0", 100, 1.0)
    assert "50 %" in file.getvalue()


def test_the_stage_before_the_chunks_is_told_with_its_share() -> None:
    clock = Clock()
    with plain(clock) as (display, file):
        for done in range(100):
            display.stage("reading metadata of 812 files", 8 * done, 812)
            clock.now += 0.125
    lines = file.getvalue().splitlines()
    assert lines == [
        "12:03:01 reading metadata of 812 files: 0 %",
        "12:03:01 reading metadata of 812 files: 39 %",
        "12:03:01 reading metadata of 812 files: 78 %",
    ]


def test_failures_are_counted_and_told_by_the_log() -> None:
    with plain(Clock()) as (display, file):
        display.planned(plans(1))
        for _ in range(3):
            display.chunk_failed(failed("dataset0"))
        display.chunk_failed(failed("dataset0", "OSError", skipped=True))
        outcome = DatasetOutcome(
            plans(1)[0], chunks=6, events=600, seconds=1.0, failures=[failed("dataset0")] * 3, settled=True
        )
        display.dataset_done(outcome, None)
    assert file.getvalue().splitlines()[1:] == [
        "12:03:01 dataset0 incomplete: 600 of 1,000 events, 6 of 10 chunks, 3 chunks failed, 1 s of worker time",
    ]


def test_quiet_prints_nothing() -> None:
    with plain(Clock(), quiet=True) as (display, file):
        drive(display, plans(2))
        display.note("something")
    assert file.getvalue() == ""


def drive(display: Display, planned: Sequence[DatasetPlan], upto: float = 1.0) -> None:
    """Tell ``display`` the first part of a run."""
    display.stage("reading metadata", 1, 2)
    display.planned(planned)
    for plan in planned:
        for _ in range(int(plan.chunks * upto)):
            display.chunk_done(plan.dataset, plan.events // plan.chunks, 1.0)
        if upto == 1.0:
            display.dataset_done(
                DatasetOutcome(plan, chunks=plan.chunks, events=plan.events, seconds=1.0, settled=True), None
            )


def test_a_terminal_shows_a_row_per_dataset_and_a_total() -> None:
    with bars() as (display, seen):
        drive(display, plans(2), upto=0.5)
        display.chunk_failed(failed("dataset1"))
        lines = seen().splitlines()
    assert lines[0].split() == ["dataset", "chunks", "events", "events/s", "left", "failed"]
    assert lines[1].split()[0] == "dataset0"
    assert lines[2].split()[2:6] == ["50", "%", "5/10", "500/1000"]
    assert lines[2].split()[-1] == "1"
    assert lines[3].split()[0] == "total"
    assert lines[4].startswith("2 datasets: 0 done, 2 running, 0 waiting; 0:00 elapsed")


def test_many_datasets_do_not_flood_the_terminal() -> None:
    with bars(height=24) as (display, seen):
        drive(display, plans(150))
        drive(display, [DatasetPlan(f"later{index}", 1, 10, 1000) for index in range(50)], upto=0.5)
        lines = seen().splitlines()
    assert len(lines) < 24
    assert lines[-1].startswith("200 datasets: 150 done, 50 running (31 not shown), 0 waiting")


@pytest.mark.parametrize("width", [20, 40, 60, 80, 140])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_every_terminal_is_wide_enough(width: int, encoding: str, hostile: str) -> None:
    names = [f"DYJetsToLL_M-50_TuneCP5_13TeV-amcatnloFXFX-pythia8__2018 {hostile}", "[red]µµ\x1b[2J\n[/]", "\udcff"]
    with bars(width, 24, encoding) as (display, seen):
        drive(display, [DatasetPlan(name, 1, 123, 123_000_000) for name in names], upto=0.5)
        display.note("[/] \x1b[31m µ")
        display.stage("[/]")
        lines = seen().splitlines()
    assert max(map(len, lines)) <= width
    assert "\x1b" not in "".join(lines)
    assert not display._off


def test_sixty_columns_have_room_for_all_numbers() -> None:
    with bars(60) as (display, seen):
        drive(
            display, [DatasetPlan(f"TTTo2L2Nu_TuneCP5_{year}", 1, 100, 123_000_000) for year in (2017, 2018)], upto=0.5
        )
        lines = seen().splitlines()
    assert lines[0].split() == ["dataset", "chunks", "events", "events/s", "left", "failed"]
    assert {line.split()[0][-4:] for line in lines[1:3]} == {".017", ".018"}


def test_markup_in_a_name_is_text() -> None:
    with bars() as (display, seen):
        drive(display, [DatasetPlan("[red]x", 1, 1, 1)])
        assert "[red]x" in seen()


def test_bars_are_for_terminals_that_can_redraw() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert shows_bars(Console(file=Terminal(), _environ={"TERM": "xterm"}))
    assert not shows_bars(Console(file=Terminal(), _environ={"TERM": "dumb"}))
    assert not shows_bars(Console(file=io.StringIO(), _environ={"FORCE_COLOR": "1"}))
    assert not shows_bars(Console(file=Terminal(), force_jupyter=True))


@pytest.mark.parametrize("fault", [OSError(5, "Input/output error"), BrokenPipeError(), RuntimeError("a bug")])
@pytest.mark.parametrize("live", [True, False])
def test_a_fault_of_the_display_does_not_end_the_run(fault: Exception, live: bool) -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise fault

    class BrokenConsole(Console):
        def on_broken_pipe(self) -> None:
            # Rich's own also puts /dev/null in the place of the test's stdout.
            raise SystemExit(1)

    with Display(BrokenConsole(file=Broken(), force_terminal=live), live=live) as display:
        drive(display, plans(2))
        display.note("something")
    assert display._off


def test_an_exception_passes_through_and_leaves_the_last_picture() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=100, height=30)

    def interrupted() -> None:
        with Display(console, live=True) as display:
            drive(display, plans(1), upto=0.5)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "dataset0" in file.getvalue()
    assert file.getvalue().rstrip().endswith("\x1b[?25h")


def test_an_exception_before_the_first_result_leaves_no_table_of_noughts() -> None:
    file = io.StringIO()

    def interrupted() -> None:
        with Display(Console(file=file, force_terminal=True, width=100, height=30), live=True) as display:
            display.planned(plans(1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    # The last that is written takes the lines of the table away again.
    assert "dataset0" in file.getvalue()
    assert file.getvalue().endswith("\x1b[1A\x1b[2K")


@pytest.mark.parametrize("live", [True, False])
def test_ten_thousand_chunks_cost_little_and_leave_nothing_behind(live: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=live, width=100, height=30)
    with Display(console, live=live) as display:
        display.planned(plans(1, chunks=10**6, events=10**9))
        began = time.process_time()
        for _ in range(10_000):
            display.chunk_done("dataset0", 1000, 10.0)
        assert time.process_time() - began < 0.2
        tracemalloc.start()
        for _ in range(10_000):
            display.chunk_done("dataset0", 1000, 10.0)
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert grown < 100_000


def test_lines_printed_while_bars_are_shown_are_whole_and_no_markup() -> None:
    shown, file = io.StringIO(), io.StringIO()
    above = AboveBars(Console(file=shown, width=20), file)
    print("[/] a", end="", file=above, flush=True)
    assert shown.getvalue() == ""
    print(" long line, longer than the terminal", file=above)
    print("rest", end="", file=above)
    above.finish()
    assert shown.getvalue() == "[/] a long line, longer than the terminal\n"
    assert file.getvalue() == "rest"


def test_output_that_goes_to_a_file_is_not_moved_to_the_terminal() -> None:
    before: tuple[Any, ...] = (sys.stdout, sys.stderr)
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=30)
    with Path(os.devnull).open("w") as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", file)
        with Display(console, live=True):
            assert sys.stdout is file
    assert (sys.stdout, sys.stderr) == before
