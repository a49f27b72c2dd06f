"""Executors that users bring: a module of their own, in every shape that there is, and packages with an entry point."""

from __future__ import annotations

from pathlib import Path

import pytest
from coffea.util import load

from tests.contract.command_line import COUNT, Ended, cfg_of, pocket_exec, record, refused, results, runner

OUT = Path("out")
RUN = ("--cfg", "cfg.py", "-o", "out", "-e", "dask", "--executor-custom-setup", "my_factory.py")

HEAD = """\
from coffea import processor as coffea_processor
from pocket_exec.executors import ExecutorFactoryABC, FuturesExecutorFactory, IterativeExecutorFactory


def did(*words):
    with open("steps", "a") as file:
        print(*words, file=file)
"""
CLASS = """\


class ExecutorFactoryCustom(ExecutorFactoryABC):
    def get(self):
        did("get")
        return coffea_processor.IterativeExecutor

    def setup(self):
        did("setup")

    def customize_args(self, args):
        did("customize_args")
        return args

    def close(self):
        did("close")
"""
FUNCTION = """\


def get_executor_factory(executor_name, **kwargs):
    if executor_name == "iterative":
        return IterativeExecutorFactory(**kwargs)
    elif executor_name == "futures":
        return FuturesExecutorFactory(**kwargs)
    elif executor_name == "dask":
        return ExecutorFactoryCustom(**kwargs)
"""
SEED = HEAD + CLASS + FUNCTION
"""The shape of the module in the published documentation."""


@pytest.fixture
def files(zmumu_files: dict[str, list[Path]]) -> list[str]:
    """Files of one dataset."""
    return [str(path) for path in zmumu_files["DYToMuMu_M50"][:2]]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: list[str]) -> None:
    """Work in an empty directory with a cfg.py."""
    monkeypatch.chdir(tmp_path)
    Path("cfg.py").write_text(cfg_of({"DY": files}))


def module(text: str) -> Path:
    path = Path("my_factory.py").absolute()
    path.write_text(text)
    return path


def method(text: str) -> str:
    """Return the module in the seed's shape with one more method, which takes the place of one of that name."""
    return HEAD + CLASS + "\n" + text + FUNCTION


def steps() -> list[str]:
    """Return what the module did, in order."""
    path = Path("steps")
    return path.read_text().splitlines() if path.exists() else []


def ran(*words: object) -> Ended:
    """Run with the module, which must work."""
    ended = runner(*RUN, *words)
    assert ended.status == 0, ended.err
    assert results("out") == ["output_DY.coffea", "output_all.coffea"]
    return ended


# Shapes that work


def test_the_shape_of_the_published_documentation() -> None:
    module(SEED)
    ended = ran()
    assert steps() == ["setup", "get", "customize_args", "close"]
    assert record("out")["engine"] == "IterativeExecutor"
    assert "IterativeExecutor is not this project's executor: a failure costs a whole dataset" in ended.err


@pytest.mark.parametrize("executor", ["iterative", "futures"])
def test_the_module_is_asked_by_the_kind_of_the_executor(executor: str) -> None:
    module(SEED)
    ran("-e", executor)
    assert record("out")["engine"] == "pocket-exec"
    assert record("out")["executor"] == executor


@pytest.mark.parametrize("executor", ["dask@anything", "dask@lxplus"])
def test_the_module_is_asked_for_what_stands_before_the_at_sign(executor: str) -> None:
    module(SEED)
    ran("-e", executor)
    assert steps()[0] == "setup"


@pytest.mark.parametrize(
    "function",
    [
        "def get_executor_factory(name, run_options):\n    return ExecutorFactoryCustom(run_options)\n",
        "def get_executor_factory(name, options, where):\n    return ExecutorFactoryCustom(options, where)\n",
        "def get_executor_factory(name, *, run_options):\n    return ExecutorFactoryCustom(run_options)\n",
        (
            "def get_executor_factory(name, outputdir=None, run_options=None):\n"
            "    return ExecutorFactoryCustom(run_options, outputdir)\n"
        ),
        "def get_executor_factory(name, run_options):\n    return ExecutorFactoryCustom\n",
        "def get_executor_factory(name):\n    return ExecutorFactoryCustom\n",
        "get_executor_factory = lambda *args, **kwargs: ExecutorFactoryCustom(**kwargs)\n",
    ],
    ids=["no outputdir", "other names", "keyword only", "other order", "a class", "name only", "lambda"],
)
def test_shapes_of_the_function(function: str) -> None:
    module(HEAD + CLASS + "\n\n" + function)
    ran()
    assert steps() == ["setup", "get", "customize_args", "close"]


def test_a_constructor_that_sets_up_itself_is_not_set_up_twice() -> None:
    module(
        method("""\
    def __init__(self, run_options, outputdir, **kwargs):
        super().__init__(run_options, outputdir)
        self.setup()
""")
    )
    ran()
    assert steps() == ["setup", "get", "customize_args", "close"]


def test_get_may_return_an_instance() -> None:
    module(method("    def get(self):\n        return coffea_processor.IterativeExecutor(desc='mine')\n"))
    ran()
    assert steps() == ["setup", "close"]
    assert record("out")["engine"] == "IterativeExecutor"


def test_the_hook_may_be_spelt_as_pocket_coffea_does() -> None:
    module(
        method("""\
    def customized_args(self):
        did("customized_args")
        return {"desc": "mine", "retries": self.run_options["retries"]}
""")
    )
    ran()
    assert steps() == ["setup", "get", "customized_args", "close"]


def test_a_factory_of_pocket_coffeas_shape_runs() -> None:
    module(
        HEAD
        + """\


class ExecutorFactoryCustom(ExecutorFactoryABC):
    def __init__(self, run_options, outputdir, **kwargs):
        self.outputdir = outputdir
        super().__init__(run_options)

    def setup(self):
        self.setup_proxyfile()
        self.set_env()
        did("setup", self.outputdir.name, self.x509_path, self.handles_submission)

    def customized_args(self):
        args = super().customized_args()
        args["desc"] = "mine"
        args["retries"] = self.run_options["retries"]
        return args

    def get(self):
        did("get")
        return coffea_processor.IterativeExecutor(**self.customized_args())

    def close(self):
        did("close")
"""
        + FUNCTION
    )
    ran("--ignore-grid-certificate", "--voms-proxy", "/proxy")
    assert steps() == ["setup out /proxy False", "get", "close"]


def test_options_are_read_as_a_mapping_with_kebab_case_keys() -> None:
    module(
        method("""\
    def setup(self):
        options = self.run_options
        did(options["mem-per-worker"], options.get("death-timeout", 5), options.get("nothing", 5))
        did("retries" in options, "nothing" in options, options.retries)
""")
    )
    ran("--mem-per-worker", "3GB", "--retries", "4")
    assert steps()[:2] == ["3GB 3600 5", "True False 4"]


def test_writing_into_the_options_changes_the_factorys_copy_only() -> None:
    module(
        method("""\
    def setup(self):
        self.run_options["chunksize"] = 1
        self.run_options["my-own"] = "x"
        did(self.run_options["chunksize"], self.run_options["my-own"])
""")
    )
    ran()
    assert steps()[0] == "1 x"
    assert record("out")["options"]["chunksize"]["value"] == 100_000
    assert record("out")["datasets"][0]["chunks"] == 2


@pytest.mark.parametrize(
    "constructor",
    [
        "    def __init__(self, run_options, outputdir):\n        self.run_options = dict(run_options)\n",
        "    def __init__(self, run_options, outputdir):\n        self.mine = run_options\n",
    ],
    ids=["a dictionary", "not kept"],
)
def test_a_constructor_that_does_not_call_the_base_class(constructor: str) -> None:
    module(method(constructor))
    ran("--retries", "4")
    assert steps() == ["setup", "get", "customize_args", "close"]


OPTIONS = """\
from pydantic import Field
from pocket_exec.options.model import DaskOptions


class Options(DaskOptions):
    spanet_model: str | None = None
    \"\"\"Path of the network.\"\"\"
    niceness: int = Field(default=10, ge=0, le=19)
    \"\"\"How far the workers stand back.\"\"\"


"""
SHOWS_OWN = "    def setup(self):\n        did(self.run_options['spanet-model'], self.options.niceness)\n"


def test_a_class_of_options_brings_keys_and_flags_that_are_checked() -> None:
    module(OPTIONS + method(SHOWS_OWN))
    Path("ro.yaml").write_text("spanet-model: nets/a.onnx\n")
    ran("-ro", "ro.yaml", "--niceness", "15")
    assert steps()[0] == "nets/a.onnx 15"
    rows = record("out")["options"]
    assert rows["spanet-model"] == {"value": "nets/a.onnx", "origin": "ro.yaml, line 1"}
    assert rows["niceness"] == {"value": 15, "origin": "--niceness"}


def test_faults_of_own_options_are_told_like_those_of_others() -> None:
    module(OPTIONS + SEED)
    Path("ro.yaml").write_text("spanet_model: a\nniceness: 20\n")
    message = refused(*RUN, "-ro", "ro.yaml", "--nicenes=3")
    assert message.splitlines() == [
        "Bad run options:",
        "  spanet_model (ro.yaml, line 1): no such option; did you mean 'spanet-model'?",
        "  --nicenes: no such option; did you mean '--niceness'?",
        "  niceness (ro.yaml, line 2): must be 19 or less, not 20",
    ]
    assert not OUT.exists()


def test_own_options_are_explained_by_the_listing() -> None:
    module(OPTIONS + SEED)
    ended = pocket_exec("options", "dask", "--executor-custom-setup", "my_factory.py")
    assert ended.status == 0
    row = next(line for line in ended.out.splitlines() if line.startswith("niceness"))
    assert row.split(maxsplit=2)[0] == "niceness"
    assert "How far the workers stand back." in row


def test_a_module_with_options_of_dask_says_itself_that_it_is_for_nothing_else() -> None:
    module(OPTIONS + "def get_executor_factory(name, run_options):\n    raise ValueError(f'none for {name}')\n")
    message = refused("--cfg", "cfg.py", "-o", "out", "-e", "futures", "--executor-custom-setup", "my_factory.py")
    assert message.endswith("ValueError: none for futures\n")


def test_a_table_of_custom_keys_reaches_the_factory() -> None:
    module(method("    def setup(self):\n        did(self.run_options['spanet_model'], self.run_options['deep'])\n"))
    Path("ro.yaml").write_text("custom:\n  spanet_model: a.onnx\n  deep: {x: 1}\n")
    ran("-ro", "ro.yaml", "-O", "custom.spanet_model=b.onnx")
    assert steps()[0] == "b.onnx {'x': 1}"
    assert record("out")["options"]["spanet_model"]["value"] == "b.onnx"


def test_a_key_of_ones_own_outside_of_that_table_is_told_where_to_go() -> None:
    module(SEED)
    Path("ro.yaml").write_text("spanet_model: a.onnx\n")
    assert refused(*RUN, "-ro", "ro.yaml") == (
        "Bad run options:\n"
        "  spanet_model (ro.yaml, line 1): no such option; a key of your own factory goes into a table 'custom:'\n"
    )


def test_options_of_sites_are_handed_to_a_module_without_a_class_of_options() -> None:
    module(method("    def setup(self):\n        did(self.run_options['queue'], self.run_options['walltime'])\n"))
    Path("ro.yaml").write_text("queue: espresso\nwalltime: '12:00:00'\n")
    ran("-ro", "ro.yaml")
    assert steps()[0] == "espresso 12:00:00"


# Plain executors of coffea


DASK = """\


class ExecutorFactoryCustom(ExecutorFactoryABC):
    def setup(self):
        from distributed import Client, LocalCluster

        self.dask_cluster = LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0")
        self.dask_client = Client(self.dask_cluster)

    def get(self):
        return coffea_processor.DaskExecutor

    def customize_args(self, args):
        args["client"] = self.dask_client
        args["retries"] = self.run_options["retries"]
        args["treereduction"] = self.run_options["tree-reduction"]
        return args

    def close(self):
        self.dask_client.close()
        self.dask_cluster.close()
        did("close")
"""


def test_coffeas_dask_executor_runs_as_it_is(files: list[str]) -> None:
    module(HEAD + DASK + FUNCTION)
    ran()
    assert record("out")["engine"] == "DaskExecutor"
    assert steps() == ["close"]
    output = load(OUT / "output_all.coffea")
    assert output["files"] == set(files)
    assert output["events"] == record("out")["datasets"][0]["events_done"] > 0


def test_coffeas_futures_executor_runs_as_it_is(files: list[str]) -> None:
    get = """\
    def get(self):
        return coffea_processor.FuturesExecutor

    def customize_args(self, args):
        # Threads: the processor of this cfg.py is known in this process only.
        from concurrent.futures import ThreadPoolExecutor

        return {**args, "pool": ThreadPoolExecutor, "workers": 2}
"""
    module(method(get))
    ran()
    assert record("out")["engine"] == "FuturesExecutor"
    assert load(OUT / "output_DY.coffea")["files"] == set(files)


def test_a_plain_executor_gives_what_this_projects_own_gives() -> None:
    module(SEED)
    ran()
    assert runner("--cfg", "cfg.py", "-o", "own").status == 0
    theirs, own = load(OUT / "output_all.coffea"), load(Path("own/output_all.coffea"))
    assert theirs == own


def test_a_second_run_with_a_plain_executor_finds_its_results_done() -> None:
    module(SEED)
    ran()
    assert ran().out.startswith("All results are there already")
    assert refused("--cfg", "cfg.py", "-o", "out").count("engine: IterativeExecutor then, pocket-exec now") == 1


FAILS_ON_ONE = COUNT.replace(
    "        meta = events.metadata\n",
    "        meta = events.metadata\n"
    "        if meta['dataset'] == 'bad':\n"
    "            raise ValueError('this dataset is bad')\n",
)


def test_a_dataset_that_fails_under_a_plain_executor_does_not_lose_the_others(files: list[str]) -> None:
    Path("cfg.py").write_text(cfg_of({"good": files[:1], "bad": files[1:], "better": files[:1]}, text=FAILS_ON_ONE))
    module(SEED)
    ended = runner(*RUN)
    assert ended.status == 6
    assert results("out") == ["output_all.partial.coffea", "output_better.coffea", "output_good.coffea"]
    assert [failure["dataset"] for failure in record("out")["failures"]] == ["bad"]
    assert record("out")["failures"][0]["error"] == "ValueError"
    assert load(OUT / "output_all.partial.coffea")["events"] == 2 * load(OUT / "output_good.coffea")["events"]
    assert steps()[-1] == "close"


# Faults


def test_a_module_that_is_missing() -> None:
    path = Path("my_factory.py").absolute()
    assert refused(*RUN) == f"--executor-custom-setup {path}: no such file\n"
    assert not OUT.exists()


def test_a_module_without_the_function() -> None:
    module(HEAD + CLASS)
    assert refused(*RUN) == (
        "--executor-custom-setup my_factory.py has no function 'get_executor_factory'; "
        "write one, (name, run_options, outputdir), that returns your factory\n"
    )
    module(SEED.replace("get_executor_factory", "get_executor_factry"))
    assert refused(*RUN).endswith("has no function 'get_executor_factory'; did you mean 'get_executor_factry'?\n")
    assert not OUT.exists()


def test_a_kind_that_no_module_is_asked_for() -> None:
    module(SEED)
    assert refused(*RUN, "-e", "parsl") == (
        "'parsl': a custom executor is called iterative, futures, dask, or dask@ANYTHING\n"
    )


@pytest.mark.parametrize("returned", ["None", "5", "coffea_processor.IterativeExecutor", "{}"])
def test_a_function_that_returns_the_wrong_thing(returned: str) -> None:
    path = module(HEAD + f"\n\ndef get_executor_factory(name, **kwargs):\n    return {returned}\n")
    message = refused(*RUN)
    assert message.startswith(f"{path}: get_executor_factory('dask') returned ")
    assert message.endswith("an instance of a class derived from pocket_exec.executors.ExecutorFactory was expected\n")
    assert results("out") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "    def get(self):\n        return 5\n",
            "ExecutorFactoryCustom.get() returned 5; a class of coffea's executors",
        ),
        (
            "    def customize_args(self, args):\n        pass\n",
            "ExecutorFactoryCustom.customize_args() returned None; a",
        ),
        ("    def customized_args(self):\n        pass\n", "ExecutorFactoryCustom.customized_args() returned None; a"),
        (
            "    def customize_args(self, args):\n        return {'nonsense': 1}\n",
            "ExecutorFactoryCustom: IterativeExecutor does not take these arguments: ",
        ),
    ],
    ids=["get", "customize_args", "customized_args", "arguments"],
)
def test_a_step_that_returns_the_wrong_thing(text: str, message: str) -> None:
    module(method(text))
    assert refused(*RUN).startswith(message)
    assert steps()[-1] == "close"
    assert results("out") == []


@pytest.mark.parametrize(
    ("step", "done"),
    [
        ("setup", ["close"]),
        ("get", ["setup", "close"]),
        ("customize_args", ["setup", "get", "close"]),
        ("customized_args", ["setup", "get", "close"]),
    ],
)
@pytest.mark.parametrize("error", ["RuntimeError", "SystemExit"])
def test_a_step_that_raises_is_told_with_its_own_traceback_and_all_is_released(
    step: str, done: list[str], error: str
) -> None:
    path = module(method(f"    def {step}(self, *args):\n        raise {error}('bang')\n"))
    line = path.read_text().splitlines().index(f"        raise {error}('bang')") + 1
    assert refused(*RUN).splitlines() == [
        f"{path}: ExecutorFactoryCustom.{step}() failed:",
        "Traceback (most recent call last):",
        f'  File "{path}", line {line}, in {step}',
        f"    raise {error}('bang')",
        f"{error}: bang",
    ]
    assert steps() == done
    assert results("out") == []


@pytest.mark.parametrize("where", ["function", "constructor"])
def test_a_factory_that_cannot_be_made_is_told_with_its_own_traceback(where: str) -> None:
    text = HEAD + CLASS + "\n\ndef get_executor_factory(name, **kwargs):\n    raise RuntimeError('bang')\n"
    if where == "constructor":
        text = method("    def __init__(self, *args, **kwargs):\n        raise RuntimeError('bang')\n")
    path = module(text)
    lines = refused(*RUN).splitlines()
    assert lines[:2] == [f"{path}: get_executor_factory('dask') failed:", "Traceback (most recent call last):"]
    assert lines[-1] == "RuntimeError: bang"
    assert all(str(path) in line for line in lines if line.startswith("  File"))
    assert results("out") == []


def test_a_function_that_takes_nothing() -> None:
    path = module(HEAD + "\n\ndef get_executor_factory():\n    return None\n")
    message = refused(*RUN)
    assert message.startswith(
        f"{path}: get_executor_factory('dask') failed:\nTypeError: get_executor_factory() takes 0"
    )


def test_a_close_that_raises_is_told_and_the_results_are_there() -> None:
    path = module(method("    def close(self):\n        raise RuntimeError('bang')\n"))
    ended = runner(*RUN)
    assert ended.status == 3
    assert f"{path}: ExecutorFactoryCustom.close() failed:\nTraceback (most recent call last):\n" in ended.err
    assert ended.err.endswith("RuntimeError: bang\n")
    assert "pocket_exec/" not in ended.err
    assert results("out") == ["output_DY.coffea", "output_all.coffea"]
    assert record("out")["status"]["code"] == 3
    module(SEED)
    assert runner(*RUN).out.startswith("All results are there already")


def test_a_close_that_raises_does_not_hide_what_ended_the_run(files: list[str]) -> None:
    Path("cfg.py").write_text(cfg_of({"bad": files}, text=FAILS_ON_ONE))
    module(method("    def close(self):\n        raise RuntimeError('bang')\n"))
    ended = runner(*RUN)
    assert ended.status == 5
    assert "this dataset is bad" in ended.err
    assert "ExecutorFactoryCustom.close() failed:" in ended.err


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        (
            "from pocket_coffea.executors.executors_base import ExecutorFactoryABC",
            "from pocket_exec.executors import ExecutorFactoryABC, IterativeExecutorFactory, FuturesExecutorFactory",
        ),
        (
            "from .executors_base import IterativeExecutorFactory, FuturesExecutorFactory",
            "from pocket_exec.executors import ExecutorFactoryABC, IterativeExecutorFactory, FuturesExecutorFactory",
        ),
        (
            "from pocket_exec.executors import ExecutorFactoryABD",
            "from pocket_exec.executors import ExecutorFactoryABC",
        ),
        ("class Mine(ExecutorFactorABC): ...", "from pocket_exec.executors import ExecutorFactoryABC"),
        ("from coffea.processor import dask_executor", "from coffea.processor import DaskExecutor"),
        ("from coffea.processor import futures_executor", "from coffea.processor import FuturesExecutor"),
        ("import coffea.processor\ncoffea.processor.iterative_executor", "return coffea.processor.IterativeExecutor"),
    ],
)
def test_what_is_not_there_any_more_is_shown_with_the_line_to_write_instead(line: str, instead: str) -> None:
    path = module(f"{line}\n")
    message = refused(*RUN)
    assert message.startswith(f"--executor-custom-setup {path} failed:\nTraceback (most recent call last):\n")
    assert message.endswith(f"\nThat is not there any more. Write instead:\n    {instead}\n")
    assert not OUT.exists()


def test_what_is_not_there_any_more_is_shown_when_a_step_asks_for_it() -> None:
    module(method("    def get(self):\n        return coffea_processor.dask_executor\n"))
    message = refused(*RUN)
    assert "module 'coffea.processor' has no attribute 'dask_executor'" in message
    assert message.endswith("\nThat is not there any more. Write instead:\n    return coffea.processor.DaskExecutor\n")
    assert steps()[-1] == "close"


def test_an_error_that_only_mentions_such_a_name_gets_no_such_line() -> None:
    module(method("    def get(self):\n        raise ValueError('dask_executor')\n"))
    assert "not there any more" not in refused(*RUN)


@pytest.mark.parametrize("text", ["class Options: ...", "Options = 5"])
def test_a_class_of_options_that_is_none(text: str) -> None:
    module(f"{text}\n" + SEED)
    message = refused(*RUN)
    assert message.startswith("--executor-custom-setup my_factory.py: Options is ")
    assert message.endswith("(DaskOptions, GeneralOptions) was expected\n")


# Packages that bring an executor


PACKAGE = """\
from pathlib import Path

from pocket_exec.executors import IterativeExecutorFactory
from pocket_exec.options.model import IterativeOptions


class MineOptions(IterativeOptions):
    patience: int
    \"\"\"How long to wait.\"\"\"


class Mine(IterativeExecutorFactory):
    name = "dask@mine"
    options_model = MineOptions
    defaults = Path(__file__).parent / "mine.yaml"
"""


def package(name: str, executor: str, text: str, monkeypatch: pytest.MonkeyPatch, version: str = "1.2") -> None:
    """Install a distribution with a module and an entry point, for this test."""
    place = Path(f"site of {name}").absolute()
    info = place / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[pocket_exec.executors]\n{executor} = {name}.factories:Mine\n")
    (place / name).mkdir()
    (place / name / "__init__.py").touch()
    (place / name / "factories.py").write_text(text)
    (place / name / "mine.yaml").write_text("patience: 7\nchunksize: 321\n")
    monkeypatch.syspath_prepend(place)


def test_an_executor_of_a_package_is_listed_explained_and_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    package("my_package", "dask@mine", PACKAGE, monkeypatch)
    row = next(line for line in pocket_exec("sites").out.splitlines() if line.startswith("dask@mine"))
    assert "my_package 1.2" in row
    assert "my_package.factories:Mine" in row
    options = pocket_exec("options", "dask@mine")
    assert any(line.split()[:1] == ["patience"] and "How long to wait." in line for line in options.out.splitlines())
    ended = runner("--cfg", "cfg.py", "-o", "out", "-e", "dask@mine", "--patience", "9")
    assert ended.status == 0, ended.err
    rows = record("out")["options"]
    assert rows["patience"] == {"value": 9, "origin": "--patience"}
    assert rows["chunksize"]["value"] == 321
    assert rows["chunksize"]["origin"].endswith("my_package/mine.yaml, line 2")


def test_a_section_may_be_named_by_an_executor_of_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    package("my_package", "dask@mine", PACKAGE, monkeypatch)
    Path("ro.yaml").write_text("retries: 1\ndask@mine:\n  retries: 2\n")
    for executor, retries in (("iterative", 1), ("dask@mine", 2)):
        assert runner("--cfg", "cfg.py", "-o", executor, "-e", executor, "-ro", "ro.yaml").status == 0
        assert record(executor)["options"]["retries"]["value"] == retries


def test_a_broken_package_is_named_and_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    package("my_package", "dask@mine", PACKAGE, monkeypatch)
    package("broken_package", "dask@broken", "import no_such_module\n", monkeypatch)
    listed = pocket_exec("sites")
    assert listed.status == 0
    assert "broken_package 1.2" in listed.out
    assert runner("--cfg", "cfg.py", "-o", "out", "-e", "dask@mine").status == 0
    assert refused("--cfg", "cfg.py", "-o", "other", "-e", "dask@broken") == (
        "executor 'dask@broken' of broken_package 1.2 (broken_package.factories:Mine) cannot be imported: "
        "ModuleNotFoundError: No module named 'no_such_module'\n"
    )
    assert not Path("other").exists()


def test_a_package_whose_entry_is_no_factory(monkeypatch: pytest.MonkeyPatch) -> None:
    package("my_package", "dask@mine", "Mine = 5\n", monkeypatch)
    assert refused("--cfg", "cfg.py", "-o", "out", "-e", "dask@mine") == (
        "executor 'dask@mine' of my_package 1.2: my_package.factories:Mine is 5, "
        "not a class derived from pocket_exec.executors.ExecutorFactory\n"
    )


def test_a_step_of_a_packages_factory_that_raises_is_told_with_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    text = PACKAGE + "\n    def setup(self):\n        raise RuntimeError('bang')\n"
    package("my_package", "dask@mine", text, monkeypatch)
    message = refused("--cfg", "cfg.py", "-o", "out", "-e", "dask@mine")
    assert message.startswith("executor 'dask@mine' of my_package 1.2: Mine.setup() failed:\nTraceback ")
    assert message.endswith("    raise RuntimeError('bang')\nRuntimeError: bang\n")


@pytest.mark.parametrize("name", ["dask@mine", "iterative"])
def test_two_packages_that_claim_one_name_are_both_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package("my_package", name, PACKAGE, monkeypatch)
    package("your_package", name, PACKAGE, monkeypatch)
    message = refused("--cfg", "cfg.py", "-o", "out", "-e", name)
    assert message.startswith(f"Two packages bring an executor '{name}': ")
    assert "my_package 1.2 (my_package.factories:Mine) and " in message
    assert "your_package 1.2 (your_package.factories:Mine)" in message
    assert ("pocket-exec " in message) == (name == "iterative")
    assert message.endswith(". Uninstall one of them.\n")
    assert runner("--cfg", "cfg.py", "-o", "out", "-e", "futures").status == 0


def test_a_distribution_without_metadata_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    package("my_package", "dask@mine", PACKAGE, monkeypatch)
    next(Path("site of my_package").glob("*.dist-info/METADATA")).unlink()
    assert pocket_exec("sites").status == 0
    assert runner("--cfg", "cfg.py", "-o", "out").status == 0
