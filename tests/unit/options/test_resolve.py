"""Options are resolved: sections, keys of others, custom keys, choices, and all faults at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from pocket_exec.errors import OptionsError
from pocket_exec.options.defaults import built_in_executors, defaults_layers, model_for
from pocket_exec.options.layers import Layer
from pocket_exec.options.model import BatchOptions, DaskOptions, GeneralOptions
from pocket_exec.options.resolve import Choice, Resolved, resolve
from pocket_exec.options.source import FlagValue, from_flags, from_keywords, yaml_document

KNOWN = (*built_in_executors(), "dask@theirs")


def _yaml(text: str, name: str = "my.yaml") -> Layer:
    return yaml_document(text, name)


def _flags(*given: str) -> Layer:
    """Return the layer of flags written ``--queue=x``, ``--adaptive``, ``-O key=value``."""
    values = []
    for word in given:
        flag, key = ("-O", word.removeprefix("-O ")) if word.startswith("-O ") else ("", word.removeprefix("--"))
        name, equals, text = key.partition("=")
        values.append(FlagValue(name, text if equals else None, flag or f"--{name}"))
    return from_flags(values)


def _resolve(executor: str, *user: Layer, model: Any = None, **settings: Any) -> Resolved[Any]:
    model = model or model_for(executor)
    return resolve(executor, model, defaults_layers(executor), user, known_executors=KNOWN, **settings)


def _faults(executor: str, *user: Layer, **settings: Any) -> list[str]:
    with pytest.raises(OptionsError) as refused:
        _resolve(executor, *user, **settings)
    return [str(fault) for fault in refused.value.faults]


def test_later_words_of_the_user_win_and_each_value_knows_its_origin() -> None:
    resolved = _resolve(
        "dask@lxplus",
        _yaml("queue: longlunch\nmem-per-worker: 4GB"),
        _yaml("queue: workday", "b.yaml"),
        _flags("--queue=espresso"),
    )
    assert resolved.options.queue == "espresso"
    assert resolved.options.mem_per_worker == 4 * 10**9
    assert resolved.origin("queue") == "--queue"
    assert resolved.origin("mem-per-worker") == "my.yaml, line 2"
    assert resolved.origin("spool") == "executor_defaults/sites/lxplus.yaml, line 45"
    assert resolved.from_user == {"queue", "mem-per-worker"}


def test_all_faults_are_told_at_once_with_origin_and_nearest_right_answer() -> None:
    text = "quue: x\nretries: -3\nchunksize: abc\nmem_per_worker: 1GB\nsecurity: tsl\npartition: x\nadaptive: maybe\n"
    assert _faults("dask@slurm", _yaml(text), _flags("--mem-per-worker=2 GiBB", "--limit-files=0")) == [
        "quue (my.yaml, line 1): no such option; did you mean 'queue'?",
        "mem_per_worker (my.yaml, line 4): no such option; did you mean 'mem-per-worker'?",
        "partition (my.yaml, line 6): no such option; did you mean 'queue'?",
        "chunksize (my.yaml, line 3): 'abc' is neither a whole number nor 'auto'",
        "limit-files (--limit-files): must be 1 or more, not 0",
        "retries (my.yaml, line 2): must be 0 or more, not -3",
        "mem-per-worker (--mem-per-worker): '2 GiBB' is not a size; write '2GB' or '2GiB'",
        "adaptive (my.yaml, line 7): 'maybe' is not a flag; write true or false",
        "security (my.yaml, line 5): 'tsl' is not one of tls, none; did you mean 'tls'?",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("scaleout: 0", "scaleout (my.yaml, line 1): must be 1 or more, not 0"),
        ("scaleout: 1.5", "scaleout (my.yaml, line 1): 1.5 is not a whole number"),
        ("scaleout: true", "scaleout (my.yaml, line 1): true is not a whole number"),
        ("scaleout:", "scaleout (my.yaml, line 1): null is not a whole number"),
        ("scaleout: [1]", "scaleout (my.yaml, line 1): [1] is not a whole number"),
        ("limit-files: None", "limit-files (my.yaml, line 1): 'None' is not a whole number; write null for none"),
        ("memory-target: .nan", "memory-target (my.yaml, line 1): nan is not a number"),
        ("memory-target: 80", "memory-target (my.yaml, line 1): must be 1 or less, not 80"),
        ("queue: 1.10", "queue (my.yaml, line 1): 1.1 is a number, not text; put what you mean in quotes"),
        ("queue: [a]", "queue (my.yaml, line 1): ['a'] is not text"),
        ('queue: "a\\nb"', "queue (my.yaml, line 1): 'a\\nb' holds a line break; write it in one line"),
        ("env: {A: true}", "env.A (my.yaml, line 1): true is a flag, not text; put what you mean in quotes"),
        ("env: 3", "env (my.yaml, line 1): 3 is not a table; write {key: value}"),
        ("depends-on: 3", "depends-on (my.yaml, line 1): 3 is not a list; write [3]"),
        (
            "custom-setup-commands:\n- echo a\n- echo b: c",
            (
                "custom-setup-commands, item 2 (my.yaml, line 1): {echo b: 'c'} is not text; "
                "a line with ': ' in it goes in quotes"
            ),
        ),
        (
            "sched-url: host:8786",
            "sched-url (my.yaml, line 1): 'host:8786' is not an address; write it as 'tls://host:8786'",
        ),
        (
            "queue-limits: {a: x}",
            "queue-limits.a (my.yaml, line 1): 'x' is not a duration; write '1h30m', '01:30:00' or seconds",
        ),
        ("dask-scheduler-port: 99999", "dask-scheduler-port (my.yaml, line 1): must be 65535 or less, not 99999"),
        ("mem-per-worker: 4", "mem-per-worker (my.yaml, line 1): 4 is 4 bytes; write '4GB'"),
        ("tokenpassword: 1234", "tokenpassword (my.yaml, line 1): is not text; put it in quotes"),
    ],
)
def test_a_value_is_refused_in_the_words_of_the_field(text: str, fault: str) -> None:
    assert _faults("dask@slurm", _yaml(text)) == [fault]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "conda-env: true\nlocal-virtualenv: true",
            "local-virtualenv (my.yaml, line 2): conda-env is on as well; choose one of them",
        ),
        (
            "conda-env: true\nshared-filesystem: false",
            "conda-env (my.yaml, line 1): needs a shared file system, and shared-filesystem is false; use worker-image",
        ),
        ("memory-spill: 0.5", "memory-spill (my.yaml, line 1): 0.5 is less than memory-target (0.8)"),
        ("adaptive: true\nadaptive-minimum: 50", "adaptive-minimum (my.yaml, line 2): 50 is more than scaleout (10)"),
        (
            "max-workers: 5",
            "scaleout (executor_defaults/batch.yaml, line 3): 10 workers are more than this place allows (5)",
        ),
        ("tokenuser: me", "tokenuser (my.yaml, line 1): needs tokenpassword as well"),
        (
            "queue: s\nwalltime: 2h\nqueue-limits: {s: 1h, l: 3h}",
            "walltime (my.yaml, line 2): '02:00:00' is longer than queue 's' lets a job run ('01:00:00'); 'l' lets it",
        ),
    ],
)
def test_options_that_contradict_each_other_are_refused(text: str, fault: str) -> None:
    assert _faults("dask@slurm", _yaml(text)) == [fault]


def test_at_lxplus_a_walltime_stands_in_place_of_the_job_flavour() -> None:
    assert _resolve("dask@lxplus", _flags("--walltime=12:00:00")).options.walltime == 43200


def test_a_files_sections_beat_its_top_level_and_the_next_file_beats_them() -> None:
    text = """
dask@htcondor: {queue: c}
dask: {queue: b, chunksize: 2}
general: {queue: a, chunksize: 1, retries: 1}
queue: top
retries: 7
"""
    resolved = _resolve("dask@htcondor", _yaml(text))
    assert (resolved.options.queue, resolved.options.chunksize, resolved.options.retries) == ("c", 2, 1)
    assert resolved.origin("queue") == "my.yaml, line 2"
    assert _resolve("dask@htcondor", _yaml(text), _yaml("queue: z")).options.queue == "z"


@pytest.mark.parametrize(
    ("executor", "section"),
    [
        ("dask@T3_CH_PSI", "dask@T3"),
        ("dask@T3", "dask@T3_CH_PSI"),
        ("dask", "dask@local"),
        ("dask@local", "dask"),
        ("dask@tls://h:1", "dask@tls"),
        ("dask@tls://h:1", "dask@tls://h:1"),
        ("dask@mine", "dask@mine"),
    ],
)
def test_a_section_fits_by_every_name_of_the_executor(executor: str, section: str) -> None:
    assert _resolve(executor, _yaml(f"'{section}': {{chunksize: 7}}")).options.chunksize == 7


def test_sections_of_other_known_executors_are_ignored_and_unknown_ones_are_faults() -> None:
    _resolve("dask", _yaml("futures: {nonsense: 1}\ndask@theirs: {x: 1}\ndask@tcp://h:1: {y: 1}\ndask@lxplus:\n"))
    assert _faults("iterative", _yaml("dask@lxpls: {}\ngenral: {a: 1}\nfutures: 3")) == [
        "dask@lxpls (my.yaml, line 1): no such executor; did you mean 'dask@lxplus'?",
        "futures (my.yaml, line 3): is a section; its options stand below it, as 'futures:' and then '  queue: long'",
        "genral (my.yaml, line 2): no such option; did you mean 'general'?",
    ]


def test_scalout_is_taken_for_scaleout_with_a_warning() -> None:
    resolved = _resolve("futures", _yaml("scalout: 4"))
    assert resolved.options.scaleout == 4
    assert resolved.origin("scaleout") == "my.yaml, line 1"
    assert resolved.notes == ("scalout (my.yaml, line 1): taken for 'scaleout'; please write it so",)
    assert _faults("futures", _yaml("scalout: 4\nscaleout: 5"))


def test_options_of_other_executors_in_files_are_set_aside_with_one_note() -> None:
    resolved = _resolve("iterative", _yaml("mem-per-worker: 4GB\nqueue: x"), _yaml("queue: y", "b.yaml"))
    assert resolved.notes == ("options of other executors, not used by iterative: mem-per-worker, queue",)
    assert resolved.from_user == frozenset()


def test_options_of_other_executors_as_flags_are_faults_that_name_those() -> None:
    assert _faults("iterative", _flags("--mem-per-worker=4GB", "-O spool=1")) == [
        "--mem-per-worker: not an option of iterative; dask and every dask@... have it",
        "spool (-O spool): not an option of iterative; dask@htcondor and the sites that run on them have it",
    ]


def test_lenient_flags_are_set_aside_too() -> None:
    resolved = _resolve("iterative", _flags("--mem-per-worker=4GB"), lenient_flags=True)
    assert resolved.notes == ("options of other executors, not used by iterative: mem-per-worker",)
    assert _faults("iterative", _flags("--mem-per-wrker=4GB"), lenient_flags=True)


def test_an_option_without_effect_is_said_to_be_so_where_the_user_set_it() -> None:
    assert _resolve("futures").notes == ()
    (note,) = _resolve("futures", _yaml("tree-reduction: 4")).notes
    assert note.startswith("tree-reduction (my.yaml, line 1) has no effect: ")
    assert _resolve("futures", _yaml("tree-reduction: 4"), custom_module=True).notes == ()


@pytest.mark.parametrize(
    ("flag", "key", "value"),
    [
        ("--adaptive", "adaptive", True),
        ("--adaptive=no", "adaptive", False),
        ("--adaptive=ON", "adaptive", True),
        ("--chunksize=1e5", "chunksize", 100000),
        ("--chunksize=100_000", "chunksize", 100000),
        ("--limit-files=null", "limit-files", None),
        ("--queue=None", "queue", None),
        ("--queue=010", "queue", "010"),
        ("--queue=a=b", "queue", "a=b"),
        ("--walltime=12:00:00", "walltime", 43200),
        ("--depends-on=a b.pt", "depends-on", ("a b.pt",)),
        ("--depends-on=[a, b]", "depends-on", ("a", "b")),
        ("--uproot-options={timeout: 30}", "uproot-options", {"timeout": 30}),
        ("-O uproot-options.timeout=30", "uproot-options", {"timeout": 30}),
        ("-O slurm-settings.qos=1.10", "slurm-settings", {"qos": "1.10"}),
        ("-O group-samples.g=[a, b]", "group-samples", {"g": ("a", "b")}),
        ("-O env.MALLOC_TRIM_THRESHOLD_=null", "env", {"XRD_RUNFORKHANDLER": "1"}),
    ],
)
def test_a_flags_text_is_parsed_as_its_option_says(flag: str, key: str, value: Any) -> None:
    assert _resolve("dask@slurm", _flags(flag)).options.option_value(key) == value


@pytest.mark.parametrize(
    ("flag", "fault"),
    [
        ("--adaptve", "--adaptve: no such option; did you mean '--adaptive'?"),
        ("--no-adaptive", "--no-adaptive: no such option; write '--adaptive=false'"),
        ("--image=x", "--image: no such option; did you mean '--worker-image'?"),
        ("--queue", "queue (--queue): needs a value (text, or null), as --queue=..."),
        ("--env=x", "env (--env): 'x' is not a table; write '{key: value}', or -O env.key=value"),
        ("-O queue.x=1", "queue (-O queue.x): is no table, so there is no 'queue.x'"),
    ],
)
def test_a_wrong_flag_is_told_in_the_form_of_flags(flag: str, fault: str) -> None:
    assert _faults("dask@slurm", _flags(flag)) == [fault]


def test_a_users_word_reaches_the_options_as_it_is(hostile: str) -> None:
    resolved = _resolve("dask@htcondor", _flags(f"--queue={hostile}", f"-O env.A={hostile}"))
    assert resolved.options.queue == hostile
    assert resolved.options.env["A"] == hostile


def test_a_null_takes_an_entry_of_a_default_away() -> None:
    settings = _resolve("dask@lxplus", _yaml("htcondor-settings: {MY.WantOS: null, x: 1}")).options.htcondor_settings
    assert settings["MY.WantOS"] is None
    assert settings["MY.SendCredential"] is True
    assert settings["x"] == "1"
    assert _resolve("dask@lxplus", _yaml("htcondor-settings: null")).options.htcondor_settings == {}


def test_keyword_arguments_are_options_like_others() -> None:
    assert _resolve("dask", from_keywords({"mem_per_worker": "3GB"}, "run()")).options.mem_per_worker == 3 * 10**9
    assert _faults("dask", from_keywords({"scaleuot": 3}, "run()")) == [
        "scaleuot (run(), scaleuot=): no such option; did you mean 'scaleout'?"
    ]


def test_a_custom_module_without_options_takes_its_keys_from_the_custom_table() -> None:
    resolved = _resolve(
        "dask@mine",
        _yaml("custom: {spanet_model: m.onnx, cut: {a: 1}}\nqueue: long\nwalltime: 1h"),
        _flags("-O custom.n=7", "--disk-per-worker=3GB"),
        custom_module=True,
    )
    assert resolved.custom == {
        "spanet_model": "m.onnx",
        "cut": {"a": 1},
        "queue": "long",
        "walltime": 3600,
        "n": 7,
        "disk-per-worker": 3 * 10**9,
    }
    assert resolved.origin("n") == "-O custom.n"
    assert resolved.notes == ()


def test_unknown_keys_beside_the_custom_table_are_faults_that_name_it() -> None:
    assert _faults(
        "dask", _yaml("spanet_model: m\nscaleuot: 1\nqueue: [1]\ncustom: {retries: 1}"), custom_module=True
    ) == [
        "spanet_model (my.yaml, line 1): no such option; a key of your own factory goes into a table 'custom:'",
        (
            "scaleuot (my.yaml, line 2): no such option; did you mean 'scaleout'? "
            "A key of your own factory goes into a table 'custom:'"
        ),
        "queue (my.yaml, line 3): [1] is not text",
        "custom.retries (my.yaml, line 4): is an option of every such executor; write it outside 'custom:'",
    ]


def test_a_custom_table_without_a_custom_module_is_not_used() -> None:
    assert _resolve("dask", _yaml("custom: {a: 1}")).notes == (
        "custom (my.yaml, line 1): not used; it is for a factory of --executor-custom-setup",
    )


class Mine(DaskOptions):
    spanet_model: str
    """Path of the network."""
    cut: float = 0.5
    """Cut on its output."""


def test_a_custom_modules_own_options_are_checked_like_others() -> None:
    resolved = _resolve("dask", _yaml("spanet-model: m.onnx"), model=Mine, custom_module=True)
    assert (resolved.options.spanet_model, resolved.options.cut) == ("m.onnx", 0.5)
    assert Mine.option_help()["spanet-model"] == "Path of the network."
    assert _faults("dask", _yaml("spanet_model: m\ncut: x\ncustom: {a: 1}"), model=Mine, custom_module=True) == [
        "spanet_model (my.yaml, line 1): no such option; did you mean 'spanet-model'?",
        (
            "custom (my.yaml, line 3): the custom module declares its options in a class Options; "
            "write its keys beside the others"
        ),
        "spanet-model: must be set; there is no default",
        "cut (my.yaml, line 2): 'x' is not a number",
    ]


class Few(GeneralOptions):
    """A model that does not have what the kind's defaults set."""


def test_defaults_of_the_kind_that_a_custom_model_lacks_are_left_out() -> None:
    assert _resolve("dask", model=Few, custom_module=True).options.scaleout == 1


def _found_slurm(values: Mapping[str, Any]) -> Choice[BatchOptions] | None:
    if values.get("batch-system") != "auto":
        return None
    chosen = "dask@slurm"
    return Choice({"batch-system": "slurm"}, "auto: sbatch is here", model_for(chosen), defaults_layers(chosen))  # type: ignore[arg-type]


def test_a_value_that_chooses_a_layer_is_resolved_first() -> None:
    text = "batch-system: auto\nslurm-settings: {qos: high}\nqueue: x"
    layers: Sequence[Layer] = [_yaml(text)]
    defaults = defaults_layers("dask@htcondor")
    resolved = resolve("dask@any", BatchOptions, defaults, layers, known_executors=KNOWN, choose=_found_slurm)
    assert type(resolved.options).__name__ == "SlurmOptions"
    assert resolved.options.batch_system == "slurm"
    assert resolved.origin("batch-system") == "auto: sbatch is here"
    assert resolved.options.option_value("slurm-settings") == {"qos": "high"}
    assert resolved.options.walltime == 3600
    assert resolved.notes == ()


def test_a_chooser_that_has_nothing_to_choose_changes_nothing() -> None:
    defaults = defaults_layers("dask@slurm")
    resolved = resolve(
        "dask@slurm", model_for("dask@slurm"), defaults, [], known_executors=KNOWN, choose=lambda _: None
    )
    assert resolved.options == _resolve("dask@slurm").options


def test_a_scheduler_in_the_executor_string_is_its_address() -> None:
    resolved = _resolve("dask@tls://host:8786")
    assert resolved.options.sched_url == "tls://host:8786"
    assert resolved.origin("sched-url") == "executor dask@tls://host:8786"


def test_a_fault_in_the_defaults_of_another_package_names_its_file() -> None:
    theirs = yaml_document("nonsense: 1\nretries: x", "theirs.yaml")
    layer = Layer(theirs.name, theirs.values, theirs.origins)
    with pytest.raises(OptionsError) as refused:
        resolve("dask", DaskOptions, [*defaults_layers("dask"), layer], [], known_executors=KNOWN)
    assert [str(fault) for fault in refused.value.faults] == [
        "nonsense (theirs.yaml, line 1): no such option",
        "retries (theirs.yaml, line 2): 'x' is not a whole number",
    ]
