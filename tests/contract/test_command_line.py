"""The command line that works: each flag with its meaning, what a second run does, listings and completion."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from coffea.util import load

from tests.contract.command_line import COUNT, Ended, cfg_of, pocket_exec, record, refused, results, runner

ROOT = Path(__file__).parents[2]
OUT = Path("out")
RUN = ("--cfg", "cfg.py", "-o", "out")

Fileset = dict[str, dict[str, Any]]


@pytest.fixture
def fileset(zmumu_files: dict[str, list[Path]]) -> Fileset:
    """Three datasets, of two samples and two years."""
    said = {
        "DYToMuMu_M50": ("DY", "2016"),
        "TTTo2Mu2Nu": ("TT", "2016"),
        "SingleMuon": ("Data", "2017"),
    }
    return {
        name: {"files": [str(path) for path in zmumu_files[name]], "metadata": {"sample": sample, "year": year}}
        for name, (sample, year) in said.items()
    }


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fileset: Fileset) -> None:
    """Work in an empty directory with a cfg.py."""
    monkeypatch.chdir(tmp_path)
    write_cfg(fileset)


def write_cfg(fileset: Fileset, extra: str = "", text: str = COUNT) -> None:
    Path("cfg.py").write_text(cfg_of(fileset, extra, text))


def ran(*words: object, status: int = 0) -> Ended:
    ended = runner(*words)
    assert ended.status == status, ended.err
    return ended


def option(name: str, directory: str = "out") -> Any:
    """Return the value of an option in run.json."""
    return record(directory)["options"][name]["value"]


def datasets(directory: str = "out") -> dict[str, tuple[int, int]]:
    """Return files and chunks of each dataset that the last run worked on."""
    return {row["name"]: (row["files"], row["chunks_done"]) for row in record(directory)["datasets"]}


def options_of(*words: object) -> dict[str, Any]:
    """Return the options of a run as ``--show-options=yaml`` prints them."""
    options: dict[str, Any] = yaml.safe_load(ran(*RUN, "--show-options=yaml", *words).out)
    return options


# What runs


def test_without_flags_all_of_it_runs_here_one_chunk_after_the_other() -> None:
    ended = ran(*RUN)
    assert record("out")["executor"] == "iterative"
    assert datasets() == {"DYToMuMu_M50": (3, 3), "TTTo2Mu2Nu": (2, 2), "SingleMuon": (2, 2)}
    names = [*sorted(datasets()), "all"]
    assert results("out") == [f"output_{name}.coffea" for name in names]
    assert f"written to {OUT}\n" in ended.out
    for name in names:
        assert f"  output_{name}.coffea\n" in ended.out
    total = load(OUT / "output_all.coffea")
    assert total["events"] == sum(load(OUT / f"output_{name}.coffea")["events"] for name in datasets())
    assert f"Done: {total['events']:,} events of 3 datasets" in ended.out
    assert (OUT / "log" / "runner.log").stat().st_size > 0


def test_pocket_exec_run_is_the_same_command() -> None:
    ended = pocket_exec("run", *RUN, "-lf", "1")
    assert ended.status == 0, ended.err
    ran("--cfg", "cfg.py", "-o", "other", "-lf", "1")
    assert load(OUT / "output_all.coffea") == load(Path("other/output_all.coffea"))


def test_test_is_one_file_of_each_dataset_and_the_iterative_executor(fileset: Fileset) -> None:
    write_cfg(fileset, "executor = 'futures'\nrun_options = {'scaleout': 3}\n")
    ran(*RUN, "--test")
    assert record("out")["executor"] == "iterative"
    assert {files for files, _ in datasets().values()} == {1}
    assert record("out")["options"]["limit-files"] == {"value": 1, "origin": "--test"}


def test_test_needs_no_output_directory_and_says_which_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(Path("temporary").absolute()))
    ended = ran("--cfg", "cfg.py", "-t")
    (made,) = Path("temporary").absolute().iterdir()
    assert f"written to {made.relative_to(Path.cwd())}\n" in ended.out


def test_flags_that_are_given_win_over_what_test_implies() -> None:
    words = ("--test", "-e", "futures", "-s", "4", "--limit-files", "10", "--limit-chunks", "10")
    shown = options_of(*words)
    assert (shown["scaleout"], shown["limit-files"], shown["limit-chunks"]) == (4, 10, 10)
    ran(*RUN, *words, "-s", "2", "--filter-datasets", "TTTo2Mu2Nu")
    assert record("out")["executor"] == "futures"
    assert datasets() == {"TTTo2Mu2Nu": (2, 2)}


def test_a_yaml_does_not_win_over_test_but_a_flag_does() -> None:
    Path("ro.yaml").write_text("limit-files: 2\n")
    assert options_of("-ro", "ro.yaml", "--test")["limit-files"] == 1
    assert options_of("-ro", "ro.yaml", "--test", "-O", "limit-files=2")["limit-files"] == 2


def test_limits_of_files_and_chunks_and_the_size_of_chunks() -> None:
    ran(*RUN, "-lf", "2", "-c", "100", "-lc", "3")
    assert {chunks for _, chunks in datasets().values()} == {3}
    assert (option("limit-files"), option("chunksize"), option("limit-chunks")) == (2, 100, 3)


@pytest.mark.parametrize("flag", ["-f", "--full"])
def test_full_is_one_result_of_all(flag: str) -> None:
    ran(*RUN, flag, "-lf", "1")
    assert results("out") == ["output_all.coffea"]


@pytest.mark.parametrize("flag", ["-ps", "--process-separately"])
def test_separately_is_one_result_of_each(flag: str) -> None:
    ran(*RUN, flag, "-lf", "1")
    assert results("out") == [f"output_{name}.coffea" for name in sorted(datasets())]
    assert len(results("out")) == 3


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (("--filter-datasets", "SingleMuon, TTTo2Mu2Nu"), ["SingleMuon", "TTTo2Mu2Nu"]),
        (("--filter-samples", "DY"), ["DYToMuMu_M50"]),
        (("--filter-years=2016",), ["DYToMuMu_M50", "TTTo2Mu2Nu"]),
        (("--filter-years", "2016", "--filter-samples", "TT,Data"), ["TTTo2Mu2Nu"]),
    ],
)
def test_filters_choose_datasets(words: tuple[str, ...], left: list[str]) -> None:
    ran(*RUN, "-lf", "1", *words)
    assert sorted(datasets()) == left


def test_the_executor_of_the_flag_wins_over_that_of_cfg(fileset: Fileset) -> None:
    write_cfg(fileset, "executor = 'dask'\n")
    assert ran(*RUN, "--dry-run").out.splitlines()[0].split() == ["executor", "dask"]
    assert ran(*RUN, "--dry-run", "-e", "futures").out.splitlines()[0].split() == ["executor", "futures"]


def test_a_cfg_object_of_pocket_coffeas_shape_runs(fileset: Fileset) -> None:
    extra = "class cfg:\n    filesets = fileset\n    processor_instance = processor\n    run_options = {'retries': 2}\n"
    write_cfg(fileset, extra + "del fileset, processor\n")
    ran(*RUN, "-lf", "1")
    assert option("retries") == 2


def test_modules_beside_the_cfg_can_be_imported_from_anywhere(
    fileset: Fileset, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cfg(fileset, text="from counting import processor, schema\n")
    Path("counting.py").write_text(COUNT)
    here = Path.cwd()
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    ran("--cfg", here / "cfg.py", "-o", here / "out", "-lf", "1")
    assert len(results(here / "out")) == 4


# Options


def test_layers_of_options_in_their_order(fileset: Fileset) -> None:
    write_cfg(fileset, "run_options = {'chunksize': 1, 'retries': 1, 'max-failures': 1, 'scaleout': 1}\n")
    Path("one.yaml").write_text("chunksize: 2\nretries: 2\nmax-failures: 2\ngeneral:\n  max-failures: 3\n")
    Path("two.yaml").write_text("retries: 4\n")
    shown = options_of("-ro", "one.yaml", "-ro", "two.yaml", "-c", "500")
    assert [shown[key] for key in ("scaleout", "max-failures", "retries", "chunksize")] == [1, 3, 4, 500]


def test_an_assignment_is_the_same_as_a_flag() -> None:
    shown = options_of("-O", "retries=3", "-O", "uproot-options.timeout=30", "-O", "xrootd-timeout=1h30m")
    assert (shown["retries"], shown["uproot-options"], str(shown["xrootd-timeout"])) == (3, {"timeout": 30}, "5400")
    assert shown == options_of("--retries", "3", "--uproot-options={timeout: 30}", "--xrootd-timeout=01:30:00")


def test_the_table_of_options_says_where_each_value_is_from() -> None:
    Path("ro.yaml").write_text("\nretries: 3\n")
    ended = ran(*RUN, "--show-options", "-ro", "ro.yaml", "-s", "2", "-O", "max-failures=5")
    rows = {line.split()[0]: line.rstrip().split(maxsplit=2)[1:] for line in ended.out.splitlines()[1:]}
    assert rows["retries"] == ["3", "ro.yaml, line 2"]
    assert rows["scaleout"] == ["2", "--scaleout"]
    assert rows["max-failures"] == ["5", "-O max-failures"]
    assert rows["chunksize"][1].startswith("executor_defaults/general.yaml, line ")
    assert not OUT.exists()


@pytest.mark.parametrize(
    "words",
    [
        ("-e", "iterative", "-lf", "2"),
        ("-e", "futures", "-s", "3", "--starting-time", "22:30", "-O", "uproot-options={a: null, b: 'yes', c: '010'}"),
        ("-e", "dask", "--mem-per-worker", "3.5GiB", "--dashboard-address", "null", "--adaptive"),
        ("-e", "dask@tls://host:8786", "--death-timeout", "1h"),
        ("-O", "group-samples.EWK=[DY, TT]", "--voms-proxy", "a b'c"),
    ],
)
def test_options_that_are_shown_as_yaml_give_the_same_when_fed_back(words: tuple[str, ...]) -> None:
    first = ran(*RUN, "--show-options=yaml", *words)
    Path("ro.yaml").write_text(first.out)
    executor = words[:2] if words[0] == "-e" else ()
    again = ran(*RUN, "--show-options=yaml", "-ro", "ro.yaml", *executor)
    assert again.out == first.out


def test_options_can_be_shown_without_an_output_directory() -> None:
    assert "chunksize" in ran("--cfg", "cfg.py", "--show-options").out


def test_a_dry_run_starts_and_writes_nothing() -> None:
    Path("my_factory.py").write_text(
        "def get_executor_factory(*args, **kwargs):\n    raise RuntimeError('this starts a cluster')\n"
    )
    before = sorted(Path.cwd().iterdir())
    ended = ran(*RUN, "--dry-run", "-e", "dask", "--executor-custom-setup", "my_factory.py", "-lf", "2", "-ps")
    assert [path for path in sorted(Path.cwd().iterdir()) if path.name != "__pycache__"] == before
    lines = [line.rstrip().split(maxsplit=1) for line in ended.out.splitlines()]
    assert lines[:2] == [["executor", "dask"], ["output", "out"]]
    assert ["results", "DYToMuMu_M50, TTTo2Mu2Nu, SingleMuon"] in lines
    assert any(line[0] == "TTTo2Mu2Nu" and line[1].startswith("2 ") for line in lines if len(line) == 2)
    assert any(line[0] == "limit-files" and line[1].endswith("--limit-files") for line in lines if len(line) == 2)


def test_a_dry_run_finds_the_faults_of_a_run() -> None:
    assert "no such option" in refused(*RUN, "--dry-run", "--retires", "5")


@pytest.mark.parametrize("flag", ["-ps", "-f", None])
def test_groups_of_samples_are_saved_together(flag: str | None) -> None:
    Path("ro.yaml").write_text("group-samples:\n  MC: [DY, TT]\n")
    ran(*RUN, "-ro", "ro.yaml", "-lf", "1", *([flag] if flag else []))
    separate = ["output_MC.coffea", "output_SingleMuon.coffea"]
    all_of_them = ["output_all.coffea"]
    assert results("out") == {"-ps": separate, "-f": all_of_them, None: separate + all_of_them}[flag]
    if flag == "-ps":
        events = {row["name"]: row["events_done"] for row in record("out")["datasets"]}
        assert load(OUT / "output_MC.coffea")["events"] == events["DYToMuMu_M50"] + events["TTTo2Mu2Nu"]


def test_a_group_of_which_a_filter_leaves_a_part() -> None:
    Path("ro.yaml").write_text("group-samples:\n  MC: [DY, TT]\n")
    ran(*RUN, "-ro", "ro.yaml", "-lf", "1", "-ps", "--filter-samples", "DY")
    assert results("out") == ["output_MC.coffea"]


def test_a_starting_time_is_waited_for() -> None:
    start = datetime.now().astimezone() + timedelta(seconds=5)
    before = time.monotonic()
    ended = ran(*RUN, "--starting-time", f"{start:%H:%M:%S}", "-lf", "1")
    assert time.monotonic() - before > 1
    assert f"starting at {start:%Y-%m-%d %H:%M:%S} (starting-time)" in ended.err


def test_bad_files_are_left_out_by_the_users_word(fileset: Fileset) -> None:
    fileset["SingleMuon"]["files"].append(str(Path("missing.root").absolute()))
    write_cfg(fileset)
    words = ("--filter-datasets", "SingleMuon", "--retries", "0")
    ran(*RUN, *words, status=6)
    assert results("out") == ["output_SingleMuon.partial.coffea", "output_all.partial.coffea"]
    ran("--cfg", "cfg.py", "-o", "other", *words, "--skip-bad-files")
    assert results("other") == ["output_SingleMuon.coffea", "output_all.coffea"]
    assert [Path(row["file"]).name for row in record("other")["skipped"]] == ["missing.root"]


# What is said


def test_quiet_prints_the_paths_of_the_results_only() -> None:
    ended = ran(*RUN, "--quiet", "-lf", "1", "-f")
    assert ended.err == ""
    assert ended.out.splitlines() == [str(OUT.absolute() / "output_all.coffea")]
    again = ran(*RUN, "--quiet", "-lf", "1", "-f")
    assert again.err == ""
    assert [Path(line).absolute() for line in again.out.splitlines()] == [OUT.absolute() / "output_all.coffea"]


def test_the_level_of_the_log_is_the_users() -> None:
    assert "wrote " in ran(*RUN, "-lf", "1").err
    assert "wrote " not in ran("--cfg", "cfg.py", "-o", "b", "-lf", "1", "-ll", "WARNING").err


def test_the_version() -> None:
    for ended in (runner("--version"), pocket_exec("--version"), pocket_exec("run", "--version")):
        assert (ended.status, ended.err) == (0, "")
        assert ended.out.startswith("pocket-exec ")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_the_help_names_each_flag_of_the_published_documentation(flag: str) -> None:
    ended = ran(flag)
    assert ended.out.startswith("Usage: runner.py [OPTIONS]\n")
    for name in (
        *("--cfg", "-ro, --run-options", "-o, --outputdir", "-t, --test", "-lf, --limit-files", "-lc, --limit-chunks"),
        *("-e, --executor", "-s, --scaleout", "-ll, --loglevel", "-f, --full", "--executor-custom-setup"),
        *("--custom-run-options", "-ps, --process-separately", "-c, --chunksize", "-q, --queue", "--skip-bad-files"),
        *("--filter-datasets", "--filter-samples", "--filter-years", "--show-options", "--dry-run", "--force"),
    ):
        assert name in ended.out, name


# A second run in the same directory


def stamps() -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in OUT.iterdir() if path.is_file()}


def test_a_second_run_finds_its_results_done() -> None:
    ran(*RUN)
    before = stamps()
    again = ran(*RUN, "-e", "futures", "-s", "2", "--retries", "1")
    assert again.out.startswith("All results are there already, made from the same content:\n")
    assert stamps() == before


def test_separately_with_one_more_dataset_runs_the_new_one_only(fileset: Fileset) -> None:
    whole = dict(fileset)
    del fileset["TTTo2Mu2Nu"]
    write_cfg(fileset)
    ran(*RUN, "-ps")
    before = stamps()
    write_cfg(whole)
    ran(*RUN, "-ps")
    assert list(datasets()) == ["TTTo2Mu2Nu"]
    assert results("out") == ["output_DYToMuMu_M50.coffea", "output_SingleMuon.coffea", "output_TTTo2Mu2Nu.coffea"]
    for name in ("output_DYToMuMu_M50.coffea", "output_SingleMuon.coffea"):
        assert stamps()[name] == before[name]
    assert sorted(row["file"] for row in record("out")["outputs"]) == results("out")
    assert ran(*RUN, "-ps").out.startswith("All results are there already")


def test_a_changed_processor_is_named(fileset: Fileset) -> None:
    ran(*RUN, "-lf", "1")
    before = stamps()
    write_cfg(fileset, text=COUNT.replace('"events": len(events)', '"events": 2 * len(events)'))
    message = refused(*RUN, "-lf", "1")
    differs = message.partition("What differs:\n")[2]
    assert "cfg.py" in differs or "Count" in differs or "processor" in differs
    assert stamps() == before
    ran(*RUN, "-lf", "1", "--force")
    assert stamps() != before


def test_a_changed_attribute_of_the_processor_is_named(fileset: Fileset) -> None:
    write_cfg(fileset, "processor.cut = 20\n")
    ran(*RUN, "-lf", "1")
    write_cfg(fileset, "processor.cut = 25\n")
    assert "cut" in refused(*RUN, "-lf", "1").partition("What differs:\n")[2]


def test_a_changed_file_that_the_result_depends_on_is_named(fileset: Fileset, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cfg(fileset, "run_options = {'depends-on': ['weights.json']}\n")
    Path("weights.json").write_text("[1]")
    here = Path.cwd()
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    run = ("--cfg", here / "cfg.py", "-o", here / "out", "-lf", "1")
    ran(*run)
    assert ran(*run).out.startswith("All results are there already")
    (here / "weights.json").write_text("[2]")
    assert "weights.json" in refused(*run).partition("What differs:\n")[2]
    ran(*run, "--force")


def test_a_partial_result_is_completed_by_the_same_command(fileset: Fileset) -> None:
    good = list(fileset["SingleMuon"]["files"])
    late = Path("late.root").absolute()
    fileset["SingleMuon"]["files"].append(str(late))
    write_cfg(fileset)
    words = (*RUN, "--retries", "0", "-ps")
    ran(*words, status=6)
    before = stamps()
    assert "output_SingleMuon.partial.coffea" in before
    late.write_bytes(Path(good[0]).read_bytes())
    ended = ran(*words)
    assert "output_SingleMuon.coffea" in results("out")
    assert "output_SingleMuon.partial.coffea" not in results("out")
    assert stamps()["output_TTTo2Mu2Nu.coffea"] == before["output_TTTo2Mu2Nu.coffea"]
    assert "output_SingleMuon.partial.coffea is partial" in ended.err


# Listings


def test_sites_lists_executors_with_whether_they_can_be_used_and_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = tmp_path / "condor_submit"
    submit.write_text("#!/bin/sh\n")
    submit.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    ended = pocket_exec("sites")
    assert (ended.status, ended.err) == (0, "")
    head, *lines = ended.out.splitlines()
    assert head.split() == ["executor", "usable", "workers", "by", "where"]
    rows = {line.split()[0]: line for line in lines}
    assert {"iterative", "futures", "dask", "dask@local", "dask@tls", "dask@lxplus"} <= set(rows)
    assert rows["dask@lxplus"].split() == ["dask@lxplus", "yes", "htcondor", "CERN", "lxplus"]
    assert rows["dask@slurm"].split()[1:3] == ["elsewhere", "slurm"]
    assert rows["dask@tls"].split()[1:3] == ["yes", "scheduler"]
    assert rows["dask@lpc"].split() == ["dask@lpc", "no", "htcondor", "Fermilab", "LPC"]
    assert not any(line.endswith(" ") for line in lines)


@pytest.mark.parametrize("executor", ["iterative", "dask", "dask@lxplus", "dask@tls://host:8786"])
def test_options_prints_each_option_with_type_default_unit_and_meaning(executor: str) -> None:
    ended = pocket_exec("options", executor)
    assert (ended.status, ended.err) == (0, "")
    head, *lines = ended.out.splitlines()
    assert head.split() == ["option", "type", "default", "unit", "meaning"]
    row = next(line for line in lines if line.startswith("chunksize "))
    assert "whole number" in row
    assert "events" in row
    assert "Events in a chunk" in row


def test_options_of_an_unknown_executor() -> None:
    ended = pocket_exec("options", "dask@lxpls")
    assert ended.status == 3
    assert ended.err.startswith("No executor named 'dask@lxpls'. Did you mean 'dask@lxplus'")


def test_the_schema_for_editors_names_each_option() -> None:
    schema = json.loads(pocket_exec("options", "dask", "--json-schema").out)
    assert {"chunksize", "mem-per-worker", "group-samples", "dask", "custom"} <= set(schema["properties"])
    assert schema["additionalProperties"] is False
    assert schema["properties"]["retries"]["description"]


# Completion


COMPLETE = """\
eval "$(pocket-exec completion bash)"
COMP_WORDS=({words}) COMP_CWORD={last}
_{function}_completion {program}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def completed(program: str, *words: str) -> list[str]:
    """Return what bash offers for the last of ``words``, as Tab would."""
    for name, function in (("runner.py", "runner"), ("pocket-exec", "main")):
        script = Path("bin") / name
        script.parent.mkdir(exist_ok=True)
        python = shlex.quote(sys.executable)
        script.write_text(
            f"#!/bin/sh\nexec {python} -c 'from pocket_exec.cli import {function}; {function}()' \"$@\"\n"
        )
        script.chmod(0o755)
    text = COMPLETE.format(
        words=" ".join(map(shlex.quote, (program, *words))),
        last=len(words),
        function=program.replace("-", "_").replace(".", ""),
        program=program,
    )
    path = f"{Path('bin').absolute()}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "--norc", "-c", text], capture_output=True, text=True, timeout=60, check=True, env=environment
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("runner.py", "--limit-f"), ["--limit-files"]),
        (("runner.py", "-e", "dask@t"), ["dask@tcp", "dask@tls"]),
        (("runner.py", "-e", "dask", "--mem-per"), ["--mem-per-worker"]),
        (("pocket-exec", "opt"), ["options"]),
        (("pocket-exec", "options", "itera"), ["iterative"]),
        (("pocket-exec", "run", "-e", "futures", "--xrootd"), ["--xrootd-timeout"]),
    ],
)
def test_bash_completes_flags_executors_and_options(words: tuple[str, ...], offered: list[str]) -> None:
    assert completed(*words) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell: str) -> None:
    ended = pocket_exec("completion", shell)
    assert (ended.status, ended.err) == (0, "")
    assert f"_RUNNER_PY_COMPLETE={shell}_complete" in ended.out
    assert f"_POCKET_EXEC_COMPLETE={shell}_complete" in ended.out


def test_a_shell_that_is_not_known() -> None:
    assert pocket_exec("completion", "csh").status == 2


OPTIONS = """\
from pocket_exec.options.model import IterativeOptions


class Options(IterativeOptions):
    token: str


"""


@pytest.mark.parametrize(
    ("options", "words", "told"),
    [
        (OPTIONS, ["-O", "token=hunter2"], "-O 'token=***'"),
        (OPTIONS, ["--token", "hunter2"], "--token '***'"),
        ("", ["--custom.token", "hunter2"], "--custom.token '***'"),
        ("", ["-O", "custom.token=hunter2"], "-O 'custom.token=***'"),
        ("", ["-O", "custom={token: hunter2}"], "-O 'custom=***'"),
    ],
)
def test_no_file_of_a_run_names_a_secret_of_its_command_line(
    options: str, words: list[str], told: str, fileset: Fileset
) -> None:
    text = COUNT.replace(
        "        meta = events.metadata\n",
        "        meta = events.metadata\n"
        "        import pathlib\n"
        "        pathlib.Path('lock seen').write_bytes(pathlib.Path('out/run.lock').read_bytes())\n",
    )
    write_cfg(fileset, text=text)
    Path("mine.py").write_text(
        f"from pocket_exec.executors import IterativeExecutorFactory\n{options}\n\n"
        "def get_executor_factory(name, run_options, outputdir):\n"
        "    assert run_options['token'] == 'hunter2'\n"
        "    return IterativeExecutorFactory(run_options, outputdir)\n"
    )
    ended = runner(*RUN, *words, "--executor-custom-setup", "mine.py")
    assert ended.status == 0, ended.err
    seen = Path("lock seen")
    assert f"runner.py --cfg cfg.py -o out {told} --executor-custom-setup mine.py" in seen.read_text()
    written = [path for path in Path("out").rglob("*") if path.is_file()]
    assert [path for path in (seen, *written) if b"hunter2" in path.read_bytes()] == []
