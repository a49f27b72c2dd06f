"""What becomes of the results that are in a directory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pocket_exec.runs.decide import AlreadyDone, Refuse, Run, decide, kept_rows, refusal
from pocket_exec.runs.key import ContentKey, differences
from pocket_exec.runs.names import result_name
from pocket_exec.runs.record import UNENDED, OutputRow, RunRecord, Status
from pocket_exec.runs.results import ExistingResult

KEY = ContentKey(
    processor_code={"my_cuts.py": "c1"},
    processor_state={"year": "s1"},
    depends_on={"sf.json": "d1"},
    options={"chunksize": "100000", "schema": "NanoAODSchema"},
    versions={"coffea": "2026.9.0"},
    datasets={"DY": {"files": "f1", "chunks": "k1"}, "TT": {"files": "f2", "chunks": "k2"}},
)


def changed(**parts: Any) -> ContentKey:
    return KEY.model_copy(update=parts)


def row(name: str, key: ContentKey = KEY, *, partial: bool = False, datasets: Sequence[str] | None = None) -> OutputRow:
    held = tuple(datasets or ([*key.datasets] if name == "all" else [name]))
    file = result_name(name, partial)
    return OutputRow(
        file=file, name=name, datasets=held, partial=partial, bytes=1, sha256=f"sha of {file}", key=key.of(held)
    )


def there(name: str, *, partial: bool = False, size: int = 1) -> ExistingResult:
    file = result_name(name, partial)
    return ExistingResult(file, name, partial, size, f"sha of {file}")


def previous(*rows: OutputRow, interrupted: str | None = None) -> RunRecord:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    return RunRecord(
        version="0.1.0",
        started=now,
        ended=now,
        seconds=0,
        status=Status.of(0),
        executor="iterative",
        engine="pocket-exec",
        outputs=rows,
        interrupted=interrupted,
    )


def test_a_fresh_directory_is_run_without_a_word() -> None:
    assert decide(None, [], KEY, ["DY", "TT", "all"]) == Run((), ())


def test_finished_results_that_match_are_already_done() -> None:
    rows = previous(row("DY"), row("TT"), row("all"))
    done = decide(rows, [there("DY"), there("TT"), there("all")], KEY, ["DY", "TT", "all"])
    assert done == AlreadyDone(("output_DY.coffea", "output_TT.coffea", "output_all.coffea"))


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (changed(options=KEY.options | {"chunksize": "50000"}), "chunksize: 100000 then, 50000 now"),
        (changed(options=KEY.options | {"limit-files": "1"}), "limit-files: not set then, 1 now"),
        (changed(processor_code={"my_cuts.py": "c2"}), "processor code changed: my_cuts.py"),
        (changed(processor_state={"year": "s2"}), "processor state changed: year"),
        (changed(depends_on={}), "depends-on changed: sf.json"),
        (changed(versions={"coffea": "2026.10.0"}), "coffea: 2026.9.0 then, 2026.10.0 now"),
        (changed(datasets=KEY.datasets | {"DY": {"files": "f3", "chunks": "k1"}}), "dataset 'DY' has other files"),
        (changed(datasets=KEY.datasets | {"DY": {"files": "f1", "chunks": "k3"}}), "dataset 'DY' has other chunks"),
    ],
)
def test_a_finished_result_of_another_content_is_refused_in_words(now: ContentKey, words: str) -> None:
    assert decide(previous(row("DY")), [there("DY")], now, ["DY"]) == Refuse((words,), ("output_DY.coffea",))


def test_all_differences_are_told_once() -> None:
    now = changed(processor_code={"my_cuts.py": "c2"}, options={"chunksize": "1", "schema": "NanoAODSchema"})
    decision = decide(previous(row("DY"), row("TT")), [there("DY"), there("TT")], now, ["DY", "TT"])
    assert decision == Refuse(
        ("processor code changed: my_cuts.py", "chunksize: 100000 then, 1 now"),
        ("output_DY.coffea", "output_TT.coffea"),
    )


def test_another_dataset_leaves_a_result_valid_but_not_the_one_of_all() -> None:
    now = changed(datasets=KEY.datasets | {"WZ": {"files": "f9"}})
    rows, found = previous(row("DY"), row("all")), [there("DY"), there("all")]
    assert decide(rows, found, now, ["DY"]) == AlreadyDone(("output_DY.coffea",))
    assert decide(rows, found, now, ["DY", "all"]) == Refuse(("dataset 'WZ' is new",), ("output_all.coffea",))


def test_the_order_of_datasets_decides_the_result_of_all() -> None:
    now = changed(datasets=dict(reversed(KEY.datasets.items())))
    assert differences(KEY, now) == ("the datasets are in another order",)
    assert isinstance(decide(previous(row("all")), [there("all")], now, ["all"]), Refuse)


def test_a_group_is_judged_by_its_members() -> None:
    rows, found = previous(row("top", datasets=["TT"])), [there("top")]
    assert decide(rows, found, KEY, ["top"], {"top": ["TT"]}) == AlreadyDone(("output_top.coffea",))
    assert decide(rows, found, KEY, ["top"], {"top": ["TT", "DY"]}) == Refuse(
        ("dataset 'DY' is new",), ("output_top.coffea",)
    )


@pytest.mark.parametrize(
    ("rows", "found", "words"),
    [
        (None, there("DY"), "no readable run.json says how it was made"),
        (previous(row("TT")), there("DY"), "run.json does not say how it was made"),
        (previous(row("DY")), there("DY", size=2), "it was changed after the run"),
    ],
)
def test_a_finished_result_of_unknown_origin_is_refused(
    rows: RunRecord | None, found: ExistingResult, words: str
) -> None:
    decision = decide(rows, [found], KEY, ["DY"])
    assert isinstance(decision, Refuse)
    assert words in decision.differences[0]


def test_a_partial_result_is_run_again_and_what_changed_is_named() -> None:
    now = changed(options=KEY.options | {"chunksize": "50000"})
    decision = decide(previous(row("DY", partial=True)), [there("DY", partial=True)], now, ["DY"])
    assert decision == Run(
        ("output_DY.partial.coffea is partial", "output_DY.partial.coffea: chunksize: 100000 then, 50000 now"), ()
    )


def test_a_partial_result_without_a_record_is_run_again() -> None:
    decision = decide(None, [there("DY", partial=True)], KEY, ["DY"])
    assert isinstance(decision, Run)


def test_after_an_interruption_the_finished_ones_stay_and_the_rest_is_run() -> None:
    decision = decide(previous(row("DY"), interrupted="SIGINT"), [there("DY")], KEY, ["DY", "TT"])
    assert decision == Run(
        ("the last run was interrupted (SIGINT)", "output_TT.coffea is not there yet"), ("output_DY.coffea",)
    )


def test_a_result_that_was_deleted_is_made_again() -> None:
    decision = decide(previous(row("DY"), row("TT")), [there("TT")], KEY, ["DY", "TT"])
    assert decision == Run(("output_DY.coffea is no longer there",), ("output_TT.coffea",))


def test_results_that_are_not_wanted_do_not_matter() -> None:
    assert decide(None, [there("old")], KEY, ["DY"]) == Run(("output_DY.coffea is not there yet",), ())


def test_a_whole_result_beside_a_newer_partial_one_is_judged() -> None:
    found = [there("DY"), there("DY", partial=True)]
    assert isinstance(decide(previous(row("DY", partial=True)), found, KEY, ["DY"]), Refuse)


def test_a_refusal_says_what_to_do_and_stays_short() -> None:
    told = str(refusal(Path("out"), Refuse(tuple(f"d{i}" for i in range(100)), ("output_DY.coffea",))))
    assert "--force" in told
    assert "output_DY.coffea" in told
    assert "and 88 more" in told


def test_the_rows_of_earlier_results_are_carried_on_while_their_files_are_as_they_were() -> None:
    rows = previous(row("DY"), row("TT"), row("WZ", changed(datasets={"WZ": {}})), row("all", partial=True))
    found = [there("DY"), there("TT"), there("WZ", size=2), there("all", partial=True)]
    kept = kept_rows(rows, found, written=[row("TT"), row("all")])
    assert [r.file for r in kept] == ["output_DY.coffea"]


def test_a_whole_result_beside_which_a_partial_one_is_written_keeps_its_row() -> None:
    kept = kept_rows(previous(row("DY")), [there("DY")], written=[row("DY", partial=True)])
    assert [r.file for r in kept] == ["output_DY.coffea"]


def test_a_result_that_a_run_wrote_anew_before_it_was_killed_is_no_result_of_somebody_elses() -> None:
    killed = previous(row("DY"), row("TT")).model_copy(update={"status": Status.of(UNENDED)})
    decision = decide(killed, [there("DY", size=2), there("TT")], KEY, ["DY", "TT"])
    assert decision == Run(
        ("the last run was killed", "output_DY.coffea was written by the run that was killed"), ("output_TT.coffea",)
    )
    untouched = decide(killed, [there("DY"), there("TT")], changed(processor_code={"my_cuts.py": "c2"}), ["DY"])
    assert isinstance(untouched, Refuse)


def test_a_result_of_which_nothing_was_left_out_is_the_same_with_and_without_skip_bad_files() -> None:
    skipping = changed(options=KEY.options | {"skip-bad-files": "True"})
    not_skipping = changed(options=KEY.options | {"skip-bad-files": "False"})
    whole = previous(row("DY", not_skipping.of_readable()))
    assert decide(whole, [there("DY")], skipping, ["DY"]) == AlreadyDone(("output_DY.coffea",))
    assert decide(whole, [there("DY")], not_skipping, ["DY"]) == AlreadyDone(("output_DY.coffea",))
    lacks_some = previous(row("DY", skipping))
    refused = decide(lacks_some, [there("DY")], not_skipping, ["DY"])
    assert refused == Refuse(("skip-bad-files: True then, False now",), ("output_DY.coffea",))
