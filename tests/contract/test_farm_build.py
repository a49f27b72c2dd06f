"""A farm that cannot be built says which step failed, which package vanished, and what to try."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.farm_build.layout import FarmFailedError
from tests.farm_build.steps import Steps


@pytest.mark.parametrize(
    ("line", "package"),
    [
        ("E: Unable to locate package condor", "condor"),
        ("E: Package 'apptainer' has no installation candidate", "apptainer"),
        ("E: Couldn't find these debs: iproute2", "iproute2"),
    ],
)
def test_a_vanished_package_is_named_with_what_to_try(tmp_path: Path, line: str, package: str) -> None:
    steps = Steps(tmp_path / "log")
    with pytest.raises(FarmFailedError) as error:
        steps.run(["sh", "-c", 'echo "$1" >&2; exit 100', "sh", line])
    assert f"the archive has no package {package} (any more)" in f"{error.value}"
    assert "PACKAGES in tests/farm_build/tree.py" in f"{error.value}"
    assert f"{tmp_path / 'log'}" in f"{error.value}"


def test_a_failed_step_shows_its_command_its_status_and_its_last_words(tmp_path: Path) -> None:
    steps = Steps(tmp_path / "log")
    with pytest.raises(FarmFailedError, match=r"`sh -c echo no route; exit 7` ended with status 7:\n  no route\n"):
        steps.run(["sh", "-c", "echo no route; exit 7"])
