"""What is printed when a run is over."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from pocket_exec.cli.failures import failure_table, grouped
from pocket_exec.cli.tables import (
    WrittenFile,
    closing,
    dataset_table,
    files_lines,
    result_line,
    show_closing,
)
from pocket_exec.engine.outcome import DatasetOutcome, DatasetPlan, Failure, FaultKind


def rendered(part: RenderableType, width: int = 100, encoding: str = "utf-8") -> list[str]:
    console = Console(file=io.TextIOWrapper(io.BytesIO(), encoding=encoding), width=width)
    with console.capture() as capture:
        console.print(part)
    return [line.rstrip() for line in capture.get().splitlines()]


def failed(number: int = 0, dataset: str = "TT", message: str = "no field 'x'", *, skipped: bool = False) -> Failure:
    return Failure(
        dataset, f"/data/f{number}.root", "Events", 0, 100, FaultKind.USER, "KeyError", message, "", "wn1", 3, skipped
    )


def outcome(name: str, failures: int = 0, *, settled: bool = True) -> DatasetOutcome:
    done = 10 - failures
    return DatasetOutcome(
        DatasetPlan(name, 2, 10, 1_000_000),
        chunks=done,
        events=done * 100_000,
        seconds=83.0,
        failures=[failed(i, name) for i in range(failures)],
        settled=settled,
    )


def test_each_dataset_has_a_row_and_all_have_a_sum() -> None:
    assert rendered(dataset_table([outcome("DY"), outcome("[red]x", 1)])) == [
        "dataset     events in  processed         chunks  worker time  failed",
        "DY          1,000,000  1,000,000  100 %   10/10   1 min 23 s       0",
        "[red]x      1,000,000    900,000   90 %    9/10   1 min 23 s       1",
        "total       2,000,000  1,900,000   95 %   19/20   2 min 46 s       1",
    ]


@pytest.mark.parametrize(
    ("events", "of", "failures", "share"),
    [
        (0, 0, [failed()], "0 %"),
        (0, 0, [failed(skipped=True)], "0 %"),
        (1000, 1000, [failed()], "< 100 %"),
        (1000, 1000, [failed(skipped=True)], "100 %"),
        (999, 1000, [failed()], "99 %"),
        (0, 0, [], "100 %"),
    ],
)
def test_all_of_a_dataset_is_processed_only_where_no_file_is_missing(
    events: int, of: int, failures: list[Failure], share: str
) -> None:
    missing = DatasetOutcome(DatasetPlan("TT", 1, 1, of), chunks=1, events=events, failures=failures, settled=True)
    row = rendered(dataset_table([missing]))[1]
    assert " ".join(row.split()).startswith(f"TT {of:,} {events:,} {share} 1/1")


def test_of_many_datasets_the_incomplete_ones_are_shown() -> None:
    lines = rendered(dataset_table([outcome(f"d{index}", index == 150) for index in range(200)]))
    assert [line.split()[0] for line in lines] == ["dataset", "d150", "and", "total"]
    assert lines[2] == "and 199 more, all complete"


def test_narrow_terminals_get_the_numbers_that_matter() -> None:
    lines = rendered(dataset_table([outcome("DYJetsToLL_M-50_TuneCP5_13TeV-amcatnloFXFX-pythia8")]), 60)
    assert lines[0].split() == ["dataset", "events", "in", "processed", "failed"]
    assert max(map(len, lines)) <= 60


def test_failures_of_one_error_are_one_row() -> None:
    several = [failed(i, f"d{i % 3}", f"cannot open /data/f{i}.root") for i in range(50)]
    groups = grouped([*several, failed(message="other"), failed(message="other", skipped=True)])
    assert [group.count for group in groups] == [50, 1, 1]
    assert groups[-1].first.skipped
    assert rendered(failure_table(several)) == [
        "failed  error, and where it came first",
        "50      KeyError: cannot open /data/f0.root",
        "        user code; up to 3 attempts on wn1",
        "        d0 (and 2 more datasets), entries 0-100",
        "        /data/f0.root (and 49 more files)",
    ]


def test_ten_errors_are_shown_and_the_others_counted() -> None:
    lines = rendered(failure_table([failed(message=f"error {i}") for i in range(25)]))
    assert lines[-1] == "...     and 15 more, all in run.json"
    assert sum("KeyError" in line for line in lines) == 10


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_no_message_breaks_the_terminal(encoding: str, hostile: str) -> None:
    bad = failed(dataset=f"[/] {hostile}", message=f"\x1b[2J [/red] µ\udcff {'x' * 2000}\n" * 3)
    for part in closing([outcome("DY", 1)], 1.0, []), [failure_table([bad])]:
        for piece in part:
            for line in rendered(piece, 60, encoding):
                line.encode(encoding)
                assert len(line) <= 60
                assert "\x1b" not in line


def test_files_are_listed_with_size_and_partial_ones_are_said_to_be() -> None:
    files = [WrittenFile(Path("out/output_a.coffea"), 12_300), WrittenFile(Path("out/[b].partial.coffea"), 5, True)]
    assert [line.plain for line in files_lines(files)] == [
        "written to out",
        "       5 B  [b].partial.coffea  partial",
        "   12.3 kB  output_a.coffea",
    ]
    many = list(files_lines([WrittenFile(Path(f"{i}"), 1000) for i in range(200)]))
    assert len(many) == 12
    assert many[-1].plain == "  ... and 190 more, 200 kB in all; listed in run.json"


def test_the_last_line_says_whether_all_is_there() -> None:
    assert result_line([outcome("DY")], 20.0).plain == "Done: 1,000,000 events of 1 dataset in 20 s, 50.0k events/s"
    missing = result_line([outcome("DY", 1), outcome("TT")], 20.0).plain
    assert missing == "Incomplete: 1,900,000 events of 2 datasets in 20 s, 95.0k events/s; 100,000 events missing"
    assert result_line([outcome("DY", settled=False)], 20.0).plain.startswith("Incomplete")
    resumed = outcome("DY")
    resumed.events_resumed = 400_000
    said = "Done: 2,000,000 events of 2 datasets, 400,000 of them from an earlier run, in 20 s, 80.0k events/s"
    assert result_line([resumed, outcome("TT")], 20.0).plain == said
    resumed.events_resumed = 1_000_000
    said = "Done: 1,000,000 events of 1 dataset, 1,000,000 of them from an earlier run, in 20 s"
    assert result_line([resumed], 20.0).plain == said
    assert result_line([], 0.1).plain.startswith("Nothing processed")


def test_quiet_prints_the_paths_alone_and_whole() -> None:
    file = io.StringIO()
    long = Path("/eos") / ("x" * 100) / "[red]a.coffea"
    show_closing(Console(file=file, width=40), [outcome("DY")], 1.0, [WrittenFile(long, 1)], quiet=True)
    assert file.getvalue() == f"{long}\n"


def test_paths_are_not_cut_into_lines() -> None:
    file = io.StringIO()
    long = Path("/eos") / ("x" * 100)
    show_closing(Console(file=file, width=40), [outcome("DY")], 1.0, [WrittenFile(long / f"{'y' * 90}.coffea", 1)])
    assert f"written to {long}\n" in file.getvalue()
    assert f"  {'y' * 90}.coffea\n" in file.getvalue()


def test_a_directory_below_is_named_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for there, said in ((tmp_path / "here" / "out" / "zmumu", "out/zmumu"), (tmp_path / "out", "../out"), ("/o", "/o")):
        assert next(files_lines([WrittenFile(Path(there, "a.coffea"), 1)])).plain == f"written to {said}"


def test_the_last_line_says_what_is_not_in_the_result() -> None:
    unopened = replace(failed(), entrystart=-1, entrystop=-1)
    left_out = replace(unopened, skipped=True)
    good = outcome("DY")
    assert result_line([replace(good, failures=[left_out] * 2)], 20.0).plain.endswith("; 2 unreadable parts left out")
    said = result_line([replace(good, failures=[unopened, left_out])], 20.0).plain
    assert said.startswith("Incomplete: ")
    assert said.endswith("; 1 file not read; 1 unreadable part left out")
    # postprocess has failed, say.
    assert result_line([good], 20.0, whole=False).plain.startswith("Incomplete: ")
