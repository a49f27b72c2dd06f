"""A ledger that cannot be trusted: named, never used, and the run computes what it held, to the same bits."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
from coffea.util import load

from tests.contract.command_line import Ended, cfg_of, runner

CFG = """
import os
import numpy as np
from coffea.nanoevents import BaseSchema
from coffea.processor import ProcessorABC

class Sums(ProcessorABC):
    def process(self, events):
        with open("seen", "a") as seen:
            seen.write(f"{events.metadata['entrystart']}\\n")
        return {"x": np.array([float(sum(events.x))]), "starts": [events.metadata["entrystart"]]}

schema = BaseSchema
processor = Sums()
run_options = {"chunksize": 100}
"""


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The ledger of a finished run, whose results are gone: all of it is needed again."""
    monkeypatch.chdir(tmp_path)
    with uproot.recreate("a.root") as out:
        out.mktree("Events", {"x": "float64"})
        out["Events"].extend({"x": np.arange(400.0) / 7})
    Path("cfg.py").write_text(cfg_of({"DY": [str(tmp_path / "a.root")]}, text=CFG))
    assert run().status == 0
    shutil.copy("out/output_all.coffea", "expected.coffea")
    for result in Path("out").glob("*.coffea"):
        result.unlink()
    (segment,) = Path("out/ledger").iterdir()
    return segment


def run() -> Ended:
    Path("seen").write_text("")
    return runner("--cfg", "cfg.py", "-o", "out")


def chunks_computed() -> int:
    return len(Path("seen").read_text().splitlines())


def exact(path: str) -> Any:
    content = load(path)
    return content["x"].tobytes(), content["starts"]


def computed_again(segment: Path, why: str) -> None:
    """Run, and see that the file is named with the reason, and that the result is what it was."""
    ended = run()
    assert ended.status == 0
    assert chunks_computed() == 4
    assert f"warning: {segment.absolute()} is not used: {why}; what it held is computed again" in ended.err
    assert "bug in pocket-exec" not in ended.err
    assert exact("out/output_all.coffea") == exact("expected.coffea")


def test_a_ledger_that_is_whole_is_all_that_a_run_needs(ledger: Path) -> None:
    assert ledger.exists()
    assert run().status == 0
    assert chunks_computed() == 0
    assert exact("out/output_all.coffea") == exact("expected.coffea")


def other_version(content: bytes) -> bytes:
    return content.replace(b"pocket-exec ledger 1\n", b"pocket-exec ledger 2\n", 1)


def flipped_in_the_header(content: bytes) -> bytes:
    at = content.index(b"DY, ")
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (other_version, "it is of another version, or no part of a ledger"),
        (flipped_in_the_header, "its header is damaged"),
        (lambda content: content[: len(content) // 2], "its header is damaged"),
        (lambda content: content[:-1], "it is cut short"),
        (lambda content: content + b"x", "it is longer than it says"),
        (lambda content: content[:10], "it is of another version, or no part of a ledger"),
        (lambda content: b"", "it is of another version, or no part of a ledger"),
    ],
    ids=["version", "bit in the header", "half", "last byte", "one byte more", "first bytes", "empty"],
)
def test_a_damaged_file_is_named_and_computed_again(damage: Callable[[bytes], bytes], why: str, ledger: Path) -> None:
    ledger.write_bytes(damage(ledger.read_bytes()))
    computed_again(ledger, why)


def test_a_flipped_bit_in_a_sum_is_found_when_it_is_read(ledger: Path) -> None:
    content = ledger.read_bytes()
    ledger.write_bytes(content[:-9] + bytes([content[-9] ^ 8]) + content[-8:])
    ended = run()
    assert ended.status == 0
    assert chunks_computed() == 4
    assert "its checksum is wrong; it is computed again" in ended.err
    assert exact("out/output_all.coffea") == exact("expected.coffea")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_users_file_is_named_and_not_unpickled(ledger: Path) -> None:
    os.chown(ledger, 12345, -1)
    computed_again(ledger, "it belongs to another user")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_another_users_directory_is_named_and_not_looked_into(ledger: Path) -> None:
    os.chown(ledger.parent, 12345, -1)
    ended = run()
    assert ended.status == 0
    assert chunks_computed() == 4
    assert f"the ledger {ledger.parent.absolute()} is not used: it belongs to another user" in ended.err
    assert exact("out/output_all.coffea") == exact("expected.coffea")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_named(ledger: Path) -> None:
    ledger.chmod(0)
    computed_again(ledger, "Permission denied")


def test_a_directory_in_the_place_of_a_file_is_named(ledger: Path) -> None:
    ledger.unlink()
    ledger.mkdir()
    computed_again(ledger, "Is a directory")


def test_a_file_in_the_place_of_the_ledger_costs_the_ledger_only(ledger: Path) -> None:
    shutil.rmtree(ledger.parent)
    ledger.parent.write_text("my notes")
    ended = run()
    assert ended.status == 0
    assert chunks_computed() == 4
    assert "the ledger cannot be written" in ended.err
    assert ledger.parent.read_text() == "my notes"
