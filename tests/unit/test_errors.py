"""Errors travel between processes as they are."""

from __future__ import annotations

import pickle

from pocket_exec.errors import Fault, OptionsError


def test_an_error_of_options_keeps_its_faults_and_its_title_through_a_pickle() -> None:
    error = OptionsError([Fault("--x", "unexpected")], "Bad command line")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) == "Bad command line:\n  --x: unexpected"
    assert again.faults == error.faults
