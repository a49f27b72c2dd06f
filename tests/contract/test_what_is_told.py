"""What the command line and the API tell: about failures, about what is there already, and in whose words."""

from __future__ import annotations

import contextlib
import functools
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pocket_exec as api
from pocket_exec.analysis import protocols
from pocket_exec.errors import CfgError, OptionsError, OutputDirectoryError, ProcessingError
from tests.contract.command_line import COUNT, Ended, cfg_of, pocket_exec, record, refused, runner

RUN = ("--cfg", "cfg.py", "-o", "out")
FAILING = COUNT.replace(
    "        meta = events.metadata\n",
    "        meta = events.metadata\n        if meta['dataset'] == 'TTTo2Mu2Nu':\n            self.select(events)\n",
).replace("schema =", "    def select(self, events):\n        raise KeyError('no such cut')\n\n\nschema =")

Fileset = dict[str, dict[str, Any]]


@pytest.fixture
def fileset(zmumu_files: dict[str, list[Path]]) -> Fileset:
    """Two datasets of a file each."""
    return {name: {"files": [str(zmumu_files[name][0])]} for name in ("SingleMuon", "TTTo2Mu2Nu")}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fileset: Fileset) -> None:
    """Work in an empty directory with a cfg.py, and a cache of file metadata of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Path("cfg.py").write_text(cfg_of(fileset))


def ran(*words: object, status: int = 0) -> Ended:
    ended = runner(*words)
    assert ended.status == status, ended.err
    return ended


# Failures


@pytest.mark.parametrize("quiet", [(), ("--quiet",)])
def test_the_users_traceback_is_on_the_screen_and_in_the_log(fileset: Fileset, quiet: tuple[str, ...]) -> None:
    Path("cfg.py").write_text(cfg_of(fileset, text=FAILING))
    ended = ran(*RUN, "-c", "100", *quiet, status=6)
    assert len(record("out")["failures"]) > 1
    for told in (ended.err, Path("out/log/runner.log").read_text()):
        assert told.count("chunk failed: TTTo2Mu2Nu, ") == 1
        assert told.count("Traceback (most recent call last):\n") == 1
        assert f'  File "{Path("cfg.py").absolute()}", line 9, in process\n    self.select(events)\n' in told
        assert "KeyError: 'no such cut'\n" in told


def test_the_traceback_of_an_error_that_leaves_nothing_is_told_once(fileset: Fileset) -> None:
    Path("cfg.py").write_text(cfg_of(fileset, text=FAILING))
    ended = ran(*RUN, "--filter-datasets", "TTTo2Mu2Nu", status=5)
    assert ended.err.count("Traceback (most recent call last):\n") == 1
    assert ended.err.count(f'  File "{Path("cfg.py").absolute()}", line 9, in process\n') == 1
    with pytest.raises(ProcessingError) as caught:
        api.run(fileset, lambda events: events.nonsense)
    assert "nonsense" in "".join(caught.value.__notes__)


def test_a_dataset_that_is_wholly_left_out_is_told_even_by_a_quiet_run(fileset: Fileset) -> None:
    Path("cfg.py").write_text(cfg_of({**fileset, "Gone": {"files": ["/nowhere/gone.root"]}}))
    ended = ran(*RUN, "--quiet", "--skip-bad-files", "--retries", "0")
    assert "warning: Gone is in no result: skip-bad-files has left out all of its files\n" in ended.err
    assert "output_Gone" not in ended.out
    ended = ran("--cfg", "cfg.py", "-o", "other", "--skip-bad-files", "--retries", "0")
    (row,) = (line for line in ended.out.splitlines() if line.startswith("Gone "))
    assert " 0 % " in row


def test_files_of_xrootd_are_refused_before_a_run_that_cannot_read_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocols, "find_spec", lambda name: None)
    Path("cfg.py").write_text(cfg_of({"DY": {"files": ["root://host.example//store/a.root"]}}))
    message = refused(*RUN)
    assert message.startswith("root://host.example//store/a.root: XRootD, which reads this, is not installed here;")
    assert message.endswith("pip install 'pocket-exec[xrootd]'\n")


def test_a_certificate_that_is_not_there_is_a_fault_of_the_options() -> None:
    files = ("--tls-ca-file", "ca.pem", "--tls-client-cert", "cert.pem", "--tls-client-key", "key.pem")
    message = refused(*RUN, "-e", "dask@tls://127.0.0.1:1", *files)
    assert message.splitlines() == [
        "Bad run options:",
        "  tls-ca-file (--tls-ca-file): no such file: ca.pem",
        "  tls-client-cert (--tls-client-cert): no such file: cert.pem",
        "  tls-client-key (--tls-client-key): no such file: key.pem",
    ]
    assert not Path("out").exists()
    with (
        pytest.raises(OptionsError, match=r"tls-ca-file \(the call, tls_ca_file=\): no such file: ca.pem"),
        api.open_executor("dask@tls://127.0.0.1:1", tls_ca_file="ca.pem"),
    ):
        pass


# What is there already


def foreseen(*words: object) -> list[str]:
    """Return what a dry run says of the output directory; it leaves it as it is."""
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("out/*")}
    lines = ran(*RUN, "--dry-run", *words).out.splitlines()
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("out/*")} == before
    assert lines[1] == "output     out"
    end = next(n for n, line in enumerate(lines) if line.startswith("results "))
    return [line.strip() for line in lines[2:end]]


def test_a_dry_run_says_what_would_become_of_earlier_results(monkeypatch: pytest.MonkeyPatch) -> None:
    assert foreseen() == ["holds no results yet"]
    ran(*RUN)
    files = "output_SingleMuon.coffea, output_TTTo2Mu2Nu.coffea, output_all.coffea"
    assert foreseen() == [f"holds all of it, made from the same content, and is left as it is: {files}"]
    first, second, *lines = foreseen("-c", "1000")
    assert (first, second.endswith("which are not overwritten:")) == ("is refused:", True)
    assert "chunksize: 100000 then, 1000 now" in lines
    assert foreseen("-c", "1000", "--force")[:2] == [
        f"holds results of another content, which --force overwrites: {files}",
        "chunksize: 100000 then, 1000 now",
    ]
    Path("out/output_all.coffea").unlink()
    assert foreseen() == [
        "holds results of an earlier run, which are completed or made anew",
        "output_all.coffea is no longer there",
        "left as they are: output_SingleMuon.coffea, output_TTTo2Mu2Nu.coffea",
    ]
    monkeypatch.setenv("XDG_CACHE_HOME", "/nowhere")
    (line,) = foreseen()
    assert line.endswith("; whether that is what this run would make shows when its files have been opened")


# In whose words


def test_messages_name_flags_to_the_command_line_and_arguments_to_python(fileset: Fileset) -> None:
    def count(events: Any) -> dict[str, int]:
        return {"events": len(events)}

    api.run(fileset, count, outputdir="python")
    with pytest.raises(OutputDirectoryError) as caught:
        api.run(fileset, count, outputdir="python", chunksize=1000)
    told = str(caught.value).splitlines()
    assert told[-1] == "Use another output directory (outputdir=), or force=True to overwrite them."
    ran(*RUN)
    message = refused(*RUN, "-c", "1000")
    assert message.endswith("Use another output directory (-o), or --force to overwrite them.\n")


@pytest.mark.parametrize("open_only", [False, True])
def test_a_misspelt_argument_is_named_as_it_was_written(fileset: Fileset, open_only: bool) -> None:
    call: Callable[..., Any] = api.open_executor if open_only else functools.partial(api.run, fileset, len)
    with pytest.raises(OptionsError) as caught, contextlib.ExitStack() as stack:
        stack.enter_context(call(executor="futures", scaleuot=2))
    assert str(caught.value).splitlines()[1:] == [
        "  scaleuot (the call, scaleuot=): no such option; did you mean 'scaleout'?"
    ]


def test_the_result_of_a_call_is_shown_in_a_line(fileset: Fileset) -> None:
    result = api.run(fileset, lambda events: {"n": len(events)}, outputdir="out")
    events = f"{result.output['n']:,}"
    assert repr(result) == f"<RunResult: whole, {events} events of 2 datasets, outputdir='{Path('out').absolute()}'>"


def test_a_filter_that_nothing_looks_like_is_answered_with_what_there_is() -> None:
    message = refused(*RUN, "--filter-datasets", "QCD")
    assert message.endswith("--filter-datasets: no dataset has 'QCD'; there are SingleMuon, TTTo2Mu2Nu\n")


def test_a_path_that_looks_like_a_flag_is_left_alone(fileset: Fileset) -> None:
    with pytest.raises(CfgError, match=r"/a/--force/-o\.json"):
        api.run("/a/--force/-o.json", len)


@pytest.mark.parametrize(
    ("executor", "said"),
    [
        (
            "dask@lxpus",
            "No executor named 'dask@lxpus'. Did you mean 'dask@lxplus'? `pocket-exec sites` lists them all.\n",
        ),
        ("dask@myfarm", "is dask@htcondor or dask@slurm, with your values in a YAML file.\n"),
        ("dask@lsf", "'dask@lsf' has its defaults in this version, but no factory of its own. "),
        (
            "dask@oscra",
            "Did you mean 'dask@oscar'? 'dask@oscar' has its defaults in this version, but no factory of its ",
        ),
    ],
)
def test_an_executor_that_cannot_be_used_is_answered_with_one_that_can(executor: str, said: str) -> None:
    assert said in refused(*RUN, "-e", executor)


def test_only_the_likest_names_are_asked_for() -> None:
    Path("ro.yaml").write_text("dask@myfarm:\n  queue: long\ndask@lxpus:\n  queue: long\n")
    _, unknown, misspelt, flag = refused(
        *RUN, "-e", "dask@lxplus", "--mem-per-wrker", "4GB", "-ro", "ro.yaml"
    ).splitlines()
    assert unknown.startswith(
        "  dask@myfarm (ro.yaml, line 1): no such executor; a section is named as an executor of "
    )
    assert unknown.endswith(": for a farm without a name there, dask@htcondor or dask@slurm")
    assert misspelt == "  dask@lxpus (ro.yaml, line 3): no such executor; did you mean 'dask@lxplus'?"
    assert flag == "  --mem-per-wrker: no such option; did you mean '--mem-per-worker'?"


# Listings


@pytest.mark.parametrize("executor", ["iterative", "dask@lxplus"])
def test_options_in_a_pipe_have_lines_that_can_be_read(executor: str) -> None:
    lines = pocket_exec("options", executor).out.splitlines()
    assert 100 <= max(map(len, lines)) <= 120
    words = " ".join(line[lines[0].index("meaning") :].strip() for line in lines)
    assert "about: a file is cut into equal parts of nearly this length." in words


def test_options_asked_for_by_name_are_printed_alone_and_the_usual_ones_first() -> None:
    lines = pocket_exec("options", "dask@lxplus", "queue", "mem-per-worker").out.splitlines()
    assert [line.split()[0] for line in lines if line[0] != " "] == ["option", "queue", "mem-per-worker"]
    lines = pocket_exec("options", "dask@lxplus").out.splitlines()
    assert [line.split()[0] for line in lines if line[0] != " "][1:4] == ["scaleout", "queue", "walltime"]
    assert not any(line.endswith(" ") for line in lines)
    ended = pocket_exec("options", "futures", "scaleuot", "queue")
    assert (ended.status, ended.err.splitlines()[1:]) == (
        3,
        ["  scaleuot: no such option; did you mean 'scaleout'?", "  queue: no such option"],
    )


def test_each_executor_is_on_a_line_of_its_own_in_a_pipe() -> None:
    names = [line.split()[0] for line in pocket_exec("sites").out.splitlines()[1:]]
    assert len(names) == len(set(names))
    assert names == sorted(names)


# What a run costs


def test_what_was_imported_is_out_of_the_way_of_garbage_collections(fileset: Fileset) -> None:
    counting = COUNT.replace('"events": len(events)', '"frozen": gc.get_freeze_count()')
    Path("cfg.py").write_text(f"import gc\n{cfg_of(fileset, text=counting)}")
    before = gc.get_freeze_count()
    ran(*RUN, "-f", "--filter-datasets", "SingleMuon")
    from coffea.util import load

    assert load("out/output_all.coffea")["frozen"] > max(before, 10_000)
    assert gc.isenabled()
