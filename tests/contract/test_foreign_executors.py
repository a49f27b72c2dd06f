"""coffea's own executors: a dataset that fails or is interrupted costs that dataset, and is counted and told as one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
from coffea.nanoevents import BaseSchema
from coffea.util import load

import pocket_exec
from pocket_exec.engine.outcome import FaultKind
from pocket_exec.errors import PartialResult, ProcessingError
from tests.contract.command_line import cfg_of
from tests.contract.test_metadata_reading import PLAIN


@pytest.fixture
def custom(tmp_path: Path) -> Path:
    path = tmp_path / "plain.py"
    path.write_text(PLAIN)
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file of 100 events."""
    path = tmp_path_factory.mktemp("data") / "a.root"
    with uproot.recreate(path) as out:
        out.mktree("Events", {"x": "float64"})
        out["Events"].extend({"x": np.arange(100.0)})
    return str(path)


def fails(events: Any) -> dict[str, Any]:
    meta = events.metadata
    if meta["dataset"].startswith("bad") and meta["entrystart"] == 50:
        raise ValueError("as told")
    return {"n": len(events), "datasets": {meta["dataset"]}}


def ran(fileset: Any, custom: Path, process: Any = fails, **options: Any) -> Any:
    return pocket_exec.run(
        fileset, process, schema=BaseSchema, custom_setup=custom, chunksize=25, **{"retries": 0, **options}
    )


def fileset(file: str, *names: str) -> dict[str, list[str]]:
    # One file each, under a name of its own.
    for name in names:
        link = Path(file).parent / f"{name}.root"
        if not link.exists():
            link.symlink_to(file)
    return {name: [str(Path(file).parent / f"{name}.root")] for name in names}


def test_a_dataset_that_fails_names_the_chunk_that_did(file: str, custom: Path) -> None:
    with pytest.raises(PartialResult) as caught:
        ran(fileset(file, "good", "bad"), custom)
    assert caught.value.output == {"n": 100, "datasets": {"good"}}
    (failure,) = caught.value.failures
    assert (failure.dataset, failure.entries, failure.kind) == ("bad", "50-75", FaultKind.USER)
    assert (failure.error, failure.message) == ("ValueError", "as told")


@pytest.mark.parametrize(
    ("most", "done"),
    [
        (None, {"good 1", "good 2", "good 3"}),
        (2, {"good 1", "good 2", "good 3"}),
        (1, {"good 1", "good 2"}),
        (0, {"good 1"}),
    ],
)
def test_max_failures_counts_datasets(most: int | None, done: set[str], file: str, custom: Path) -> None:
    with pytest.raises(PartialResult) as caught:
        ran(fileset(file, "good 1", "bad 1", "good 2", "bad 2", "good 3"), custom, max_failures=most)
    assert caught.value.output["datasets"] == done
    assert ("max-failures" in str(caught.value)) == (most in (0, 1))


def test_a_hopeless_processor_stops_after_three_datasets(
    file: str, custom: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ProcessingError, match="as told"):
        ran(fileset(file, *(f"bad {n}" for n in range(6))), custom)
    assert "3 datasets failed by an error in the processor, and none succeeded" in caplog.text


def test_files_that_cannot_be_read_count_with_datasets_that_fail(file: str, custom: Path) -> None:
    given = {**fileset(file, "good", "bad", "good 2"), "missing": [str(Path(file).parent / "nowhere.root")]}
    with pytest.raises(PartialResult, match=r"2 datasets or files failed, more than max-failures \(1\)") as caught:
        ran(given, custom, max_failures=1)
    assert caught.value.output["datasets"] == {"good"}


def interrupted(events: Any) -> dict[str, Any]:
    if events.metadata["dataset"] == "second" and events.metadata["entrystart"] == 50:
        raise KeyboardInterrupt
    return fails(events)


def test_an_interrupt_keeps_the_datasets_that_are_done_and_says_that_the_current_one_is_lost(
    file: str, custom: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        ran(fileset(file, "first", "second", "third"), custom, interrupted, outputdir=out)
    assert sorted(path.name for path in out.glob("*.coffea")) == ["output_all.partial.coffea", "output_first.coffea"]
    assert load(out / "output_all.partial.coffea")["datasets"] == {"first"}
    assert (
        "interrupted in dataset 'second', of which nothing is kept: IterativeExecutor gives no sum before a dataset is "
        "done; 1 of 3 datasets are done"
    ) in caplog.text
    record = json.loads((out / "run.json").read_text())
    assert record["status"]["code"] == 130
    assert [row["events_done"] for row in record["datasets"]] == [100, 0, 0]


SWALLOWS = """\
import os
import time
from pathlib import Path

from coffea.nanoevents import BaseSchema


def process(events):
    dataset = events.metadata["dataset"]
    if dataset == "second":
        try:
            Path("in it").touch()
            time.sleep(60)
        except:
            pass
    return {"datasets": {dataset}}


schema = BaseSchema
processor = process
"""


def test_a_signal_that_the_processor_swallows_stops_the_run_after_its_dataset(
    file: str, custom: Path, tmp_path: Path
) -> None:
    (tmp_path / "cfg.py").write_text(cfg_of(fileset(file, "first", "second", "third"), text=SWALLOWS))
    command = [sys.executable, "-c", "from pocket_exec.cli import runner; runner()", "--cfg", "cfg.py", "-o", "out"]
    with (tmp_path / "stderr").open("wb") as err:
        process = subprocess.Popen(
            [*command, "--executor-custom-setup", str(custom)],
            cwd=tmp_path,
            stderr=err,
            stdout=subprocess.DEVNULL,
            env=dict(os.environ),
        )
    end = time.monotonic() + 60
    while not (tmp_path / "in it").exists():
        assert process.poll() is None, (tmp_path / "stderr").read_text()
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(50) == 143, (tmp_path / "stderr").read_text()
    names = sorted(path.name for path in (tmp_path / "out").glob("*.coffea"))
    assert names == ["output_all.partial.coffea", "output_first.coffea", "output_second.coffea"]
    told = (tmp_path / "stderr").read_text()
    assert "interrupted after dataset 'second'; 2 of 3 datasets are done" in told
