"""What a user may get wrong: one clear message, the right exit status, nothing lost and nothing left behind."""

from __future__ import annotations

import os
import pickle
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pocket_exec.runs.directory import OutputDirectory
from tests.contract.command_line import cfg_of, record, refused, results, runner

ROOT = Path(__file__).parents[2]
OUT = Path("out")
RUN = ("--cfg", "cfg.py", "-o", "out")


@pytest.fixture
def files(zmumu_files: dict[str, list[Path]]) -> list[str]:
    """Files of one dataset."""
    return [str(path) for path in zmumu_files["DYToMuMu_M50"]]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: list[str]) -> None:
    """Work in an empty directory with a cfg.py that is right."""
    monkeypatch.chdir(tmp_path)
    write("cfg.py", cfg_of({"DY": {"files": files, "metadata": {"sample": "DY", "year": "2016"}}}))


def write(name: str, text: str) -> Path:
    path = Path(name).absolute()
    path.write_text(text)
    return path


def never_begun(*words: object, status: int = 3) -> str:
    """Run what cannot begin, and return its one message: it leaves no output directory behind."""
    message = refused(*words, status=status)
    assert not OUT.exists()
    return message.rstrip("\n")


# cfg.py


def test_a_cfg_that_is_missing() -> None:
    path = Path("nowhere.py").absolute()
    assert never_begun("--cfg", "nowhere.py", "-o", "out") == f"--cfg {path}: no such file"


def test_a_cfg_that_is_a_directory() -> None:
    Path("there.py").mkdir()
    path = Path("there.py").absolute()
    assert never_begun("--cfg", "there.py", "-o", "out") == f"--cfg {path}: it is a directory"


def test_a_cfg_with_a_syntax_error_is_shown_at_its_line() -> None:
    path = write("bad.py", "x = 1\ny = = 2\n")
    assert never_begun("--cfg", "bad.py", "-o", "out").splitlines() == [
        f"--cfg {path} failed:",
        f'  File "{path}", line 2',
        "    y = = 2",
        "        ^",
        "SyntaxError: invalid syntax",
    ]


def test_a_cfg_that_raises_shows_its_own_traceback_which_ends_at_the_users_line() -> None:
    cfg = write("bad.py", "import beside\n\nbeside.read()\n")
    beside = write("beside.py", "import json\n\n\ndef read():\n    return json.loads('{')\n")
    lines = never_begun("--cfg", "bad.py", "-o", "out").splitlines()
    assert [line for line in lines if "^" not in line] == [
        f"--cfg {cfg} failed:",
        "Traceback (most recent call last):",
        f'  File "{cfg}", line 3, in <module>',
        "    beside.read()",
        f'  File "{beside}", line 5, in read',
        "    return json.loads('{')",
        "json.decoder.JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    ]


def test_a_cfg_that_imports_what_is_not_installed() -> None:
    write("bad.py", "import no_such_package\n")
    message = never_begun("--cfg", "bad.py", "-o", "out")
    assert message.endswith("    import no_such_package\nModuleNotFoundError: No module named 'no_such_package'")


def test_a_cfg_that_leaves_the_program_does_not_take_this_one_along() -> None:
    write("bad.py", "import sys\nsys.exit('no data here')\n")
    assert never_begun("--cfg", "bad.py", "-o", "out").endswith("SystemExit: no data here")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "defines no 'fileset' and no 'processor'"),
        ("fileset = {}\n", "defines no 'processor'"),
        ("def processor(events): ...\n", "defines no 'fileset'"),
        (
            "filesets = {}\nprocesor = print\n",
            "defines no 'fileset' (but 'filesets') and no 'processor' (but 'procesor')",
        ),
        ("class cfg:\n    filesets = {}\n", "defines no 'processor'"),
    ],
)
def test_a_cfg_without_fileset_or_processor(text: str, what: str) -> None:
    path = write("bad.py", text)
    assert never_begun("--cfg", "bad.py", "-o", "out") == f"--cfg {path} {what}"


@pytest.mark.parametrize(
    ("extra", "what"),
    [
        ("processor = Count", "processor is the class Count; write processor = Count()"),
        ("processor = 5", "processor is a int; an instance of a class derived from coffea.processor.ProcessorABC"),
        ("schema = 'NanoAOD'", "schema is 'NanoAOD'; a class derived from coffea.nanoevents.BaseSchema was expected"),
        ("run_options = ['a']", "run_options is a list, not a dictionary"),
        ("executor = 5", "executor is a int, not text"),
        ("treename = ['Events']", "treename is a list, not text"),
    ],
)
def test_a_cfg_whose_names_are_of_another_kind(extra: str, what: str, files: list[str]) -> None:
    path = write("bad.py", cfg_of({"DY": files}, extra))
    assert never_begun("--cfg", "bad.py", "-o", "out").startswith(f"{path}: {what}")


def test_a_pickled_configuration_is_named_as_what_it_is() -> None:
    path = Path("config.pkl").absolute()
    path.write_bytes(pickle.dumps({"fileset": {}}))
    assert never_begun("--cfg", "config.pkl", "-o", "out") == (
        f"--cfg {path}: not a Python file (a pickled configuration cannot be read; give the .py that makes it)"
    )


def test_a_processor_that_cannot_be_pickled_is_told_by_its_attribute(files: list[str]) -> None:
    extra = "import threading\nprocessor.tools = {'locks': [1, threading.Lock()]}\n"
    write("bad.py", cfg_of({"DY": files}, extra))
    assert never_begun("--cfg", "bad.py", "-o", "out") == (
        "the processor cannot be sent to workers: processor.tools['locks'][1] cannot be pickled "
        "(TypeError: cannot pickle '_thread.lock' object); make it inside process(), or leave it out in __getstate__"
    )


# The fileset


@pytest.mark.parametrize(
    ("fileset", "what"), [({}, "it is empty"), ({"DY": []}, "it has no files"), ([], "it is empty")]
)
def test_an_empty_fileset(fileset: object, what: str) -> None:
    path = write("bad.py", cfg_of(fileset))
    assert never_begun("--cfg", "bad.py", "-o", "out") == f"{path}: Bad fileset:\n  fileset: {what}"


def test_all_faults_of_a_fileset_are_told_at_once(files: list[str]) -> None:
    fileset = {
        "A": {"metadata": {}},
        "B": 5,
        "C": [f"{files[0]}/*.root"],
        "D": {"files": files, "metadata": {"uuid": 1}},
    }
    path = write("bad.py", cfg_of(fileset))
    assert never_begun("--cfg", "bad.py", "-o", "out").splitlines() == [
        f"{path}: Bad fileset:",
        "  dataset 'A': it has no 'files'",
        "  dataset 'B': its files are a int; a list or a mapping was expected",
        f"  dataset 'C': no file matches {files[0]}/*.root",
        "  dataset 'D': coffea keeps these names of 'metadata' for itself: uuid",
    ]


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        (5, "its files are a int; a list or a mapping was expected"),
        ([""], "'' is no file: write a path, an address, or a list of replicas"),
        ([["a.root", 5]], "['a.root', 5] is no file: write a path, an address, or a list of replicas"),
        ({"files": ["a.root"], "treename": 5}, "its 'treename' is 5, not text"),
        ({"files": ["a.root"], "preload": "Muon_pt"}, "its 'preload' is 'Muon_pt', not a list of branches"),
        ({"files": ["a.root"], "metadata": "DY"}, "its 'metadata' is a str, not a mapping"),
        ({"files": {"a.root": 5}}, "a.root: 5 is not the name of a tree"),
        ({"files": {"a.root": {"object_path": 5}}}, "'object_path' of a.root is 5, not the name of a tree"),
        ({"files": {"a.root": {"steps": [5]}}}, "'steps' of a.root is not a list of [start, stop]"),
        ({"files": {"a.root": {"steps": [[9, 5]]}}}, "'steps' of a.root is not a list of [start, stop]: [9, 5] is"),
    ],
)
def test_a_dataset_of_a_form_that_is_not_known(entry: object, what: str) -> None:
    path = write("bad.py", cfg_of({"DY": entry}))
    message = never_begun("--cfg", "bad.py", "-o", "out")
    assert message.startswith(f"{path}: Bad fileset:\n  dataset 'DY': {what}")
    assert len(message.splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (None, "No such file or directory"),
        ("{", "not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("[1]", "the JSON is not a mapping of datasets"),
    ],
)
def test_a_fileset_in_json_that_cannot_be_used(text: str | None, what: str) -> None:
    if text is not None:
        write("fileset.json", text)
    path = write("bad.py", cfg_of("fileset.json"))
    said = f"{path}: Bad fileset:\n  fileset ({Path('fileset.json').absolute()}): {what}"
    assert never_begun("--cfg", "bad.py", "-o", "out") == said


def test_a_file_that_is_listed_twice_in_a_dataset(files: list[str]) -> None:
    path = write("bad.py", cfg_of({"DY": [*files, files[1]]}))
    assert never_begun("--cfg", "bad.py", "-o", "out") == (
        f"{path}: Bad fileset:\n  dataset 'DY': {files[1]} is listed twice; its events would count twice"
    )


def test_a_file_in_two_datasets_is_only_a_warning(files: list[str]) -> None:
    write("cfg.py", cfg_of({"DY": files[:1], "again": files[:1]}))
    ended = runner(*RUN)
    assert ended.status == 0
    assert f"warning: {files[0]} is in two datasets: 'DY' and 'again'" in ended.err
    assert results("out") == ["output_DY.coffea", "output_again.coffea", "output_all.coffea"]


def test_a_dataset_without_files_is_left_out_with_a_warning(files: list[str]) -> None:
    write("cfg.py", cfg_of({"DY": files[:1], "nothing": []}))
    ended = runner(*RUN)
    assert ended.status == 0
    assert "warning: dataset 'nothing' has no files; it is left out" in ended.err
    assert results("out") == ["output_DY.coffea", "output_all.coffea"]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--filter-datasets", "DX"), "--filter-datasets: no dataset has 'DX'; there are DY"),
        (("--filter-samples", "DY,TTbar"), "--filter-samples: no dataset has 'TTbar'; there are DY"),
        (("--filter-years", "2O16"), "--filter-years: no dataset has '2O16'; did you mean '2016'?"),
    ],
)
def test_a_filter_that_matches_nothing(words: tuple[str, ...], what: str) -> None:
    assert never_begun(*RUN, *words) == f"Nothing to run:\n  {what}"


# The executor


@pytest.mark.parametrize(
    ("executor", "message"),
    [
        ("futuers", "No executor named 'futuers'. Did you mean 'futures'? `pocket-exec sites` lists them all."),
        ("parsl@x", "No executor named 'parsl@x'. `pocket-exec sites` lists them all."),
        ("", "No executor named ''. `pocket-exec sites` lists them all."),
        ("dask@tls", "'dask@tls' has no address; write dask@tls://host:port"),
    ],
)
def test_an_unknown_executor(executor: str, message: str) -> None:
    assert never_begun(*RUN, "-e", executor) == message


def test_an_unknown_executor_in_the_cfg(files: list[str]) -> None:
    write("cfg.py", cfg_of({"DY": files}, "executor = 'dask@lxpls'\n"))
    message = never_begun(*RUN)
    assert message.startswith("No executor named 'dask@lxpls'. Did you mean 'dask@lxplus'")


# Options


def test_all_faults_of_yaml_and_command_line_are_told_at_once_with_their_place() -> None:
    write("ro.yaml", "chunksise: 5\nscaleout: -3\nretries: lots\nskip-bad-files: perhaps\n\nlimit-chunks: [1]\n")
    message = never_begun(*RUN, "-ro", "ro.yaml", "-c", "-5", "--retires", "3", "-O", "max-failures=-1", "-lf", "0")
    assert message.splitlines() == [
        "Bad run options:",
        "  chunksise (ro.yaml, line 1): no such option; did you mean 'chunksize'?",
        "  --retires: no such option; did you mean '--retries'?",
        "  scaleout (ro.yaml, line 2): must be 1 or more, not -3",
        "  chunksize (--chunksize): must be 1 or more, not -5",
        "  limit-files (--limit-files): must be 1 or more, not 0",
        "  limit-chunks (ro.yaml, line 6): [1] is not a whole number",
        "  retries (ro.yaml, line 3): 'lots' is not a whole number",
        "  max-failures (-O max-failures): must be 0 or more, not -1",
        "  skip-bad-files (ro.yaml, line 4): 'perhaps' is not a flag; write true or false",
    ]


def test_an_option_with_a_bad_value_of_the_running_executor() -> None:
    write("ro.yaml", "dask:\n  mem-per-worker: 2 GiBB\n")
    message = never_begun(*RUN, "-e", "dask", "-ro", "ro.yaml", "--death-timeout", "soon", "--adaptive=maybe")
    assert message.splitlines() == [
        "Bad run options:",
        "  mem-per-worker (ro.yaml, line 2): '2 GiBB' is not a size; write '2GB' or '2GiB'",
        "  adaptive (--adaptive): 'maybe' is not a flag; write true or false",
        "  death-timeout (--death-timeout): 'soon' is not a duration; write '1h30m', '01:30:00' or seconds",
    ]


def test_a_bare_number_for_memory_is_told_its_unit() -> None:
    write("ro.yaml", "mem-per-worker: 4\n")
    assert never_begun(*RUN, "-e", "dask", "-ro", "ro.yaml") == (
        "Bad run options:\n  mem-per-worker (ro.yaml, line 1): 4 is 4 bytes; write '4GB'"
    )


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("- scaleout: 2\n", "ro.yaml, line 1: is a list, not options; write 'key: value' in each line"),
        ("scaleout\n", "ro.yaml, line 1: is the text 'scaleout', not options; write 'key: value' in each line"),
        ("retries: 1\n\nretries: 2\n", "retries (ro.yaml, line 3): is given twice; the first is on line 1"),
        ("dask:\n\tscaleout: 2\n", "ro.yaml, line 2: a tab; YAML is indented with spaces"),
        ("retries: 1\nchunksize: [1\nscaleout: 2\n", "ro.yaml, line 3: not YAML: "),
        ("retries: 1\nformat: a: b\n", "ro.yaml, line 2: not YAML: a second ': ' in one line"),
        ("dask@lxpls:\n  queue: x\n", "dask@lxpls (ro.yaml, line 1): no such executor; did you mean 'dask@lxplus'"),
        ("align-clusters: 5\n", "align-clusters (ro.yaml, line 1): 5 is not a flag; write true or false"),
        ("limit_files: 5\n", "limit_files (ro.yaml, line 1): no such option; did you mean 'limit-files'?"),
        ("dask: 5\n", "dask (ro.yaml, line 1): is a section; its options stand below it"),
        ("depends-on: [weights.json]\n", "depends-on (ro.yaml, line 1): no such file: {here}/weights.json"),
        ("group-samples: {EWK: [DYY]}\n", "group-samples.EWK (ro.yaml, line 1): no dataset has metadata.sample 'DYY'"),
        ("starting-time: 25:00\n", "starting-time (ro.yaml, line 1): '25:00' is not a time of day; write '22:30'"),
    ],
)
def test_a_yaml_that_cannot_be_used(text: str, what: str) -> None:
    write("ro.yaml", text)
    message = never_begun(*RUN, "-ro", "ro.yaml")
    assert message.startswith(f"Bad run options:\n  {what.format(here=Path.cwd())}")
    assert len(message.splitlines()) == 2


def test_faults_of_several_files_are_told_at_once() -> None:
    write("one.yaml", "a: [\n")
    write("two.yaml", "a: 1\na: 2\n")
    message = never_begun(*RUN, "-ro", "one.yaml", "-ro", "two.yaml", "-ro", "three.yaml")
    assert [line.partition(":")[0] for line in message.splitlines()] == [
        "Bad run options",
        "  one.yaml, line 2",
        "  a (two.yaml, line 2)",
        "  three.yaml",
    ]
    assert message.endswith("three.yaml: no such file or directory")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("run_options = [1]\n", "run_options (ro.py, run_options): is list, not a dictionary of options"),
        ("options = {}\n", "ro.py: defines no 'run_options'; "),
        (
            "run_options = {'scaleoutt': 1}\n",
            "scaleoutt (ro.py, run_options): no such option; did you mean 'scaleout'?",
        ),
        ("run_options = {5: 1}\n", "5 (ro.py, run_options): a key is text"),
        ("run_options = {\n", 'ro.py: failed:\n  File "{here}/ro.py", line 1\n'),
        (
            "import json\njson.loads('{{')\n",
            'ro.py: failed:\nTraceback (most recent call last):\n  File "{here}/ro.py", line 2, in <module>\n',
        ),
    ],
)
def test_run_options_in_python_that_cannot_be_used(text: str, what: str) -> None:
    write("ro.py", text)
    message = never_begun(*RUN, "-ro", "ro.py")
    assert message.startswith(f"Bad run options:\n  {what.format(here=Path.cwd())}")
    assert message.count("  File ") <= 1


def test_run_options_that_are_missing() -> None:
    assert never_begun(*RUN, "-ro", "ro.py") == "Bad run options:\n  ro.py: no such file or directory"


# The output directory


def test_an_output_directory_that_is_a_file() -> None:
    write("out", "my thesis\n")
    assert refused(*RUN).startswith("cannot use the output directory out: ")
    assert OUT.read_text() == "my thesis\n"


def test_an_output_directory_below_a_file() -> None:
    write("file", "my thesis\n")
    message = refused("--cfg", "cfg.py", "-o", "file/out")
    assert message.startswith("cannot use the output directory file/out: ")


def test_an_output_directory_that_another_run_holds() -> None:
    with OutputDirectory.open(OUT, command="runner.py --cfg other.py"):
        message = refused(*RUN)
    assert "runner.py --cfg other.py" in message
    assert f"process {os.getpid()}" in message
    assert list(OUT.iterdir()) == []


def test_an_output_directory_that_may_not_be_written_to() -> None:
    OUT.mkdir(mode=0o555)
    Path.cwd().chmod(0o755)
    done = as_nobody(*RUN)
    assert done.returncode == 3, done.stderr
    assert done.stderr.startswith("cannot use the output directory out: you may not write to ")
    assert done.stderr.endswith("; give another one (-o), or see 'ls -ld' and your tickets\n")
    assert done.stdout == ""
    assert stat.S_IMODE(OUT.stat().st_mode) == 0o555


def as_nobody(*words: str) -> subprocess.CompletedProcess[str]:
    """Run ``runner.py`` in a process of its own that may not write everywhere, even where the tests are root's."""
    command = [sys.executable, "-c", "from pocket_exec.cli import runner; runner()", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    if os.geteuid() == 0:
        # Root without its capability to write everywhere; another user might not reach pytest's directory.
        drop = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--inh-caps", "-all"]
        if subprocess.run([*drop, "true"], capture_output=True, check=False).returncode:
            pytest.skip("needs setpriv to give up root's rights")
        command = [*drop, *command]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)


def test_a_directory_with_a_result_of_other_options_keeps_it_until_forced(files: list[str]) -> None:
    assert runner(*RUN, "-c", "1000").status == 0
    before = {path.name: path.read_bytes() for path in OUT.iterdir() if path.is_file()}
    message = refused(*RUN, "-c", "500", "-lf", "2")
    assert message.startswith(f"{OUT.absolute()} holds finished results of another content, which are not overwritten:")
    assert "  output_DY.coffea\n  output_all.coffea\nWhat differs:\n" in message
    assert "chunksize" in message
    assert "limit-files" in message
    assert message.endswith("Use another output directory (-o), or --force to overwrite them.\n")
    assert {path.name: path.read_bytes() for path in OUT.iterdir() if path.is_file()} == before
    assert runner(*RUN, "-c", "500", "--force").status == 0
    assert record("out")["options"]["chunksize"] == {"value": 500, "origin": "--chunksize"}


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("--retires", "5"), 3),
        (("-e", "futuers"), 3),
        (("-s", "many"), 2),
        (("-ro", "nowhere.yaml"), 3),
        (("--filter-datasets", "DX"), 3),
        (("--executor-custom-setup", "nowhere.py"), 3),
    ],
)
def test_a_run_that_cannot_begin_leaves_earlier_results_as_they_are(words: tuple[str, ...], status: int) -> None:
    assert runner(*RUN, "-lf", "1").status == 0
    before = {path: path.read_bytes() for path in OUT.rglob("*") if path.is_file()}
    refused(*RUN, *words, status=status)
    assert {path: path.read_bytes() for path in OUT.rglob("*") if path.is_file()} == before


# Usage: what the parser itself refuses


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (
            ("--cfg", "cfg.py", "-o", "out", "-s", "many"),
            "Invalid value for '-s' / '--scaleout': 'many' is not a valid",
        ),
        (("-o", "out"), "Missing option '--cfg'."),
        (("--cfg", "cfg.py"), "Missing option '-o'."),
        ((), "Missing options '--cfg' and '-o'."),
        ((*RUN, "--full", "--process-separately"), "--full and --process-separately exclude each other."),
        ((*RUN, "-ll", "loud"), "Invalid value for '-ll' / '--loglevel': 'loud' is not a log level"),
        ((*RUN, "--show-options=xml"), "Invalid value for '--show-options': 'xml' is not one of 'table', 'yaml'."),
        (("--cfg", "cfg.py", "-o", ""), "Invalid value for '-o' / '--outputdir': it is empty; is a variable not set?"),
        ((*RUN, "-o"), "Option '-o' requires an argument."),
    ],
)
def test_what_the_parser_refuses(words: tuple[str, ...], what: str) -> None:
    assert f"Error: {what}" in never_begun(*words, status=2)


@pytest.mark.parametrize("word", ["extra", "-z", "--"])
def test_a_word_that_is_no_flag(word: str) -> None:
    message = never_begun(*RUN, "--retries", "1", word, *(["more"] if word == "--" else []))
    assert message.startswith("Bad command line:\n  ")
    assert message.endswith("unexpected; flags are written --name value, or --name=value")


# Habits from PocketCoffea


@pytest.mark.parametrize(
    ("words", "instead"),
    [
        (("--resubmit-failed",), "run again with the same -o"),
        (("--use-redirector",), "write the redirector's address in the fileset"),
        (("--blocklist-sites", "T2_X", "T2_Y"), "leave the site's replicas out of the fileset"),
        (("--blocklist-sites=T2_X",), "leave the site's replicas out of the fileset"),
    ],
)
def test_a_flag_of_pocket_coffea_that_is_gone_gets_one_line(words: tuple[str, ...], instead: str) -> None:
    name = words[0].partition("=")[0]
    head, line = never_begun(*RUN, *words).splitlines()
    assert head == "Bad command line:"
    assert line.startswith(f"  {name}: not an option here; {instead}")


def test_all_faults_of_the_command_line_are_told_at_once() -> None:
    message = never_begun(*RUN, "--resubmit-failed", "extra", "-O", "retries", "-O", "=5", "--use-redirector")
    assert [line.partition(":")[0] for line in message.splitlines()] == [
        "Bad command line",
        "  --resubmit-failed",
        "  --use-redirector",
        "  -O retries",
        "  -O =5",
    ]


def test_options_of_another_executor_on_the_command_line() -> None:
    message = never_begun(*RUN, "--mem-per-worker=4GB", "--walltime", "12:00:00", "-q", "long")
    assert [line.partition(";")[0] for line in message.splitlines()] == [
        "Bad run options:",
        "  --queue: not an option of iterative",
        "  --mem-per-worker: not an option of iterative",
        "  --walltime: not an option of iterative",
    ]
    assert "; dask and every dask@... have it" in message


def test_options_of_the_running_executor_are_flags() -> None:
    words = ("-e", "dask", "--mem-per-worker=4GB", "--adaptive=false", "--death-timeout", "12:00:00")
    ended = runner(*RUN, "--show-options=yaml", *words)
    assert ended.status == 0, ended.err
    assert {"adaptive: false", "mem-per-worker: 4GB", "death-timeout: '43200'"} <= set(ended.out.splitlines())


def test_both_spellings_of_run_options_and_several_of_them() -> None:
    write("one.yaml", "chunksize: 300\nretries: 5\n")
    write("two.yaml", "chunksize: 400\nlimit-files: 2\n")
    write("three.py", "run_options = {'limit-chunks': 3}\n")
    words = ("-ro", "one.yaml", "--custom-run-options", "two.yaml", "--run-options=three.py")
    assert runner(*RUN, *words).status == 0
    rows = record("out")["options"]
    assert rows["chunksize"] == {"value": 400, "origin": "two.yaml, line 1"}
    assert rows["retries"] == {"value": 5, "origin": "one.yaml, line 2"}
    assert (rows["limit-files"]["value"], rows["limit-chunks"]["value"]) == (2, 3)
    assert record("out")["datasets"][0]["files"] == 2
    assert record("out")["datasets"][0]["chunks_done"] == 3


def test_limits_in_a_yaml_count() -> None:
    write("ro.yaml", "limit-files: 2\nlimit-chunks: 1\n")
    assert runner(*RUN, "-ro", "ro.yaml").status == 0
    assert record("out")["datasets"][0]["chunks_done"] == 1
    write("ro.yaml", "limit-files: 2\n")
    assert runner(*RUN, "-ro", "ro.yaml", "--force").status == 0
    assert record("out")["datasets"][0]["files"] == 2


def test_a_known_misspelling_is_accepted_with_a_warning() -> None:
    write("ro.yaml", "scalout: 2\n")
    ended = runner(*RUN, "-ro", "ro.yaml", "-lf", "1")
    assert ended.status == 0
    assert "warning: scalout (ro.yaml, line 1): taken for 'scaleout'; please write it so" in ended.err
    assert record("out")["options"]["scaleout"] == {"value": 2, "origin": "ro.yaml, line 1"}


def test_an_option_without_effect_and_one_of_another_executor_are_said_to_be_so() -> None:
    write("ro.yaml", "tree-reduction: 5\nqueue: long\n")
    ended = runner(*RUN, "-ro", "ro.yaml", "-lf", "1")
    assert ended.status == 0
    assert "warning: tree-reduction (ro.yaml, line 1) has no effect: " in ended.err
    assert "warning: options of other executors, not used by iterative: queue" in ended.err


# Where workers put their files


@pytest.mark.parametrize(
    ("directory", "reason"),
    [("nowhere", "No such file or directory"), ("a file", "Not a directory"), ("a file/in it", "Not a directory")],
)
def test_a_local_directory_that_cannot_be_used_is_named_and_no_worker_starts(directory: str, reason: str) -> None:
    write("a file", "")
    path = Path(directory).absolute()
    message = refused(*RUN, "-e", "dask", "--local-directory", path)
    assert message.strip() == f"local-directory {path}: {reason}"
    assert results("out") == []


# The same in a process of its own


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("--cfg", "cfg.py", "-o", "out", "-e", "futuers"), 3, "No executor named 'futuers'. Did you mean 'futures'?"),
        (("--cfg", "cfg.py", "-o", "out", "-s", "many"), 2, "Usage: runner.py [OPTIONS]"),
        (("--cfg", "nowhere.py", "-o", "out"), 3, "--cfg "),
    ],
)
def test_a_process_ends_with_the_same_message_and_status(words: tuple[str, ...], status: int, message: str) -> None:
    command = [sys.executable, "-c", "from pocket_exec.cli import runner; runner()", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith(message)
    assert "Traceback" not in done.stderr
    assert not OUT.exists()
