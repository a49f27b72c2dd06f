"""Files that this Python environment cannot read are named before a run."""

from __future__ import annotations

from importlib.machinery import ModuleSpec

import pytest

from pocket_exec.analysis import protocols
from pocket_exec.analysis.fileset import DataFile, Dataset
from pocket_exec.analysis.protocols import check_protocols
from pocket_exec.errors import CfgError

A, B = "root://host//store/a.root", "root://host//store/b.root"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The packages that there are, to be filled."""
    names: set[str] = set()
    monkeypatch.setattr(protocols, "find_spec", lambda name: ModuleSpec(name, None) if name in names else None)
    return names


@pytest.mark.parametrize("there", [set(), {"XRootD"}, {"fsspec_xrootd"}])
def test_without_xrootd_the_message_says_what_to_install(installed: set[str], there: set[str]) -> None:
    installed |= there
    with pytest.raises(CfgError) as caught:
        check_protocols((Dataset("DY", (DataFile("/data/c.root", "Events"), DataFile(A, "Events"))),))
    assert str(caught.value) == (
        f"{A}: XRootD, which reads this, is not installed here; install it with: pip install 'pocket-exec[xrootd]'"
    )
    with pytest.raises(CfgError, match=r"b\.root and 1 more: "):
        check_protocols((Dataset("DY", (DataFile(B, "Events"), DataFile(A, "Events"))),))


def test_with_xrootd_or_another_address_there_is_nothing_to_say(installed: set[str]) -> None:
    check_protocols((Dataset("DY", (DataFile("/data/c.root", "Events", (A,)), DataFile(A, "Events", ("/a.root",)))),))
    installed |= {"XRootD", "fsspec_xrootd"}
    check_protocols((Dataset("DY", (DataFile(A, "Events", (B,)),)),))
