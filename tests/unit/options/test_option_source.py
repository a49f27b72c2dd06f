"""Options come from YAML and Python files, dictionaries and flags, each with its origin."""

from __future__ import annotations

from pathlib import Path

import pytest

from pocket_exec.errors import OptionsError
from pocket_exec.options.source import (
    FlagValue,
    from_flags,
    from_keywords,
    from_mapping,
    parse_assignment,
    read_run_options,
)


def _refused(path: Path) -> str:
    with pytest.raises(OptionsError) as refused:
        read_run_options(path)
    return str(refused.value)


def _file(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_yaml_file_gives_values_with_file_and_line(tmp_path: Path, hostile: str) -> None:
    path = _file(tmp_path / f"{hostile.replace('/', '_')}.yaml", "\nqueue: long\n")
    document = read_run_options(path)
    assert document.values == {"queue": "long"}
    assert document.origin("queue") == f"{path}, line 2"


def test_a_python_file_gives_its_run_options(tmp_path: Path) -> None:
    _file(tmp_path / "beside_run_options.py", "N = 3\n")
    path = _file(tmp_path / "opts.py", "from beside_run_options import N\nrun_options = {'scaleout': N}\n")
    document = read_run_options(path)
    assert document.values == {"scaleout": 3}
    assert document.origin("scaleout") == f"{path}, run_options"


def test_a_python_file_that_raises_shows_its_own_traceback_from_its_line_on(tmp_path: Path) -> None:
    path = _file(tmp_path / "opts.py", "def f():\n    return 1 / 0\nrun_options = {'scaleout': f()}\n")
    message = _refused(path)
    assert "opts.py" in message
    assert "line 3" in message
    assert "ZeroDivisionError" in message
    assert "importlib" not in message


def test_a_python_file_with_a_syntax_error_shows_the_line(tmp_path: Path) -> None:
    message = _refused(_file(tmp_path / "opts.py", "run_options = {\n'a' 1}\n"))
    assert "line 2" in message
    assert "SyntaxError" in message


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("run_option = {}\n", "defines no 'run_options'; did you mean 'run_option'?"),
        ("x = 1\n", "defines no 'run_options'; write run_options = {...}"),
        ("run_options = [1]\n", "is list, not a dictionary of options"),
        ("run_options = {1: 2}\n", "1 ("),
        ("raise SystemExit('stop')\n", "SystemExit: stop"),
    ],
)
def test_a_python_file_without_usable_run_options_is_refused(tmp_path: Path, text: str, what: str) -> None:
    assert what in _refused(_file(tmp_path / "opts.py", text))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert "missing.yaml: no such file or directory" in _refused(tmp_path / "missing.yaml")
    assert "missing.py: no such file or directory" in _refused(tmp_path / "missing.py")
    assert ": is a directory" in _refused(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"queue: \xe9\n")
    assert "latin.yaml: is not text in UTF-8" in _refused(tmp_path / "latin.yaml")


def test_cfgs_dictionary_has_one_origin() -> None:
    assert from_mapping({"queue": "x"}, "cfg.py, run_options").origin("queue") == "cfg.py, run_options"


def test_keyword_arguments_become_keys() -> None:
    layer = from_keywords({"mem_per_worker": "2GB"}, "run()")
    assert layer.values == {"mem-per-worker": "2GB"}
    assert layer.origin("mem-per-worker") == "run(), mem_per_worker="


def test_a_flag_alone_stays_without_text_and_the_last_of_a_name_counts() -> None:
    layer = from_flags(
        [FlagValue("queue", "a", "--queue"), FlagValue("adaptive", None, "--adaptive"), FlagValue("queue", "b", "-q")]
    )
    assert layer.values == {"queue": "b", "adaptive": None}
    assert layer.origin("queue") == "-q"


def test_an_assignment_is_split_at_its_first_equals_sign() -> None:
    assert parse_assignment("env.A=b=c") == FlagValue("env.A", "b=c", "-O")


@pytest.mark.parametrize(("text", "what"), [("queue", "write -O queue=value"), ("=x", "write -O x=value")])
def test_an_assignment_without_key_or_value_is_refused(text: str, what: str) -> None:
    with pytest.raises(OptionsError, match=what):
        parse_assignment(text)


def test_a_dotted_key_leads_into_a_table_at_its_first_dot() -> None:
    layer = from_flags([FlagValue("htcondor-settings.MY.WantOS", '"el9"', "-O"), FlagValue("env", "{B: 1}", "--env")])
    assert layer.values["htcondor-settings"] == {"MY.WantOS": '"el9"'}
    assert layer.origin("htcondor-settings.MY.WantOS") == "-O htcondor-settings.MY.WantOS"


@pytest.mark.parametrize("order", [1, -1])
def test_a_tables_flag_and_its_entries_flags_add_up(order: int) -> None:
    flags = [FlagValue("env", "{A: x}", "--env"), FlagValue("env.B", "y", "-O")]
    assert from_flags(flags[::order]).values == {"env": {"A": "x", "B": "y"}}
