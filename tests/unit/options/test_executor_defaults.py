"""The YAML files of defaults are complete, valid, commented, and hold what the field knows of its sites."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest

from pocket_exec.options.base import Options
from pocket_exec.options.defaults import (
    BATCH_SYSTEMS,
    SiteInfo,
    built_in_executors,
    defaults_layers,
    known_sites,
    model_for,
    same_executor,
    site_of,
)
from pocket_exec.options.layers import stack
from pocket_exec.options.model import BatchOptions, GeneralOptions
from pocket_exec.options.resolve import resolve
from pocket_exec.options.show import flow_text
from pocket_exec.options.yaml_text import parse_yaml

FOLDER = Path(str(files("executor_defaults")))
FILES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.yaml"))
MODELS = sorted({model_for(executor) for executor in built_in_executors()}, key=lambda model: model.__name__)


@pytest.mark.parametrize("executor", built_in_executors())
def test_every_option_of_an_executor_has_a_default_and_no_default_is_of_no_use(executor: str) -> None:
    assert set(stack(defaults_layers(executor)).values) == set(model_for(executor).option_fields())


@pytest.mark.parametrize("executor", built_in_executors())
def test_the_defaults_of_an_executor_are_valid_together(executor: str) -> None:
    resolved = resolve(executor, model_for(executor), defaults_layers(executor), [], known_executors=())
    assert resolved.notes == ()


@pytest.mark.parametrize("system", BATCH_SYSTEMS)
@pytest.mark.parametrize("site", known_sites())
def test_a_site_resolves_on_another_batch_system_too(site: str, system: str) -> None:
    resolve(site, model_for(site, system), defaults_layers(site, system), [], known_executors=())


@pytest.mark.parametrize("model", [*MODELS, GeneralOptions, BatchOptions], ids=lambda model: model.__name__)
def test_no_field_has_a_default_in_code_and_each_has_a_help(model: type[Options]) -> None:
    assert [name for name, field in model.model_fields.items() if not field.is_required()] == []
    assert [key for key, text in model.option_help().items() if not text.endswith(".")] == []


def test_no_option_is_known_by_the_name_of_another() -> None:
    fields = {key: field for model in MODELS for key, field in model.option_fields().items()}
    assert {name for field in fields.values() for name in field.known_as} & set(fields) == set()


@pytest.mark.parametrize("file", FILES)
def test_a_file_of_defaults_is_used_by_an_executor(file: str) -> None:
    used = {layer.name for executor in built_in_executors() for layer in defaults_layers(executor)}
    assert f"executor_defaults/{file}" in used


@pytest.mark.parametrize("file", FILES)
def test_a_file_of_defaults_names_its_sources(file: str) -> None:
    text = (FOLDER / file).read_text(encoding="utf-8")
    assert text.startswith(("#", "site:"))
    if file.startswith("sites/"):
        assert re.search(r"^# Sources?: ", text, re.MULTILINE)


@pytest.mark.parametrize("file", FILES)
def test_a_number_or_a_size_has_its_unit_in_a_comment(file: str) -> None:
    units = {key: field.unit for model in MODELS for key, field in model.option_fields().items() if field.unit}
    for line in (FOLDER / file).read_text(encoding="utf-8").splitlines():
        key, colon, value = line.partition(":")
        if colon and key in units:
            assert "# " in value, f"{file}: {line}"


@pytest.mark.parametrize("site", known_sites().values(), ids=lambda site: site.name)
def test_a_sites_header_is_read_as_the_whole_file_would_be(site: SiteInfo) -> None:
    header = parse_yaml(Path(site.path).read_text(encoding="utf-8"), "site").values["site"]
    known = known_sites()[header["executor"]]
    assert (known.batch_system, known.description) == (header["batch-system"], header["description"])
    assert list(known.aliases) == header["aliases"]
    assert known.executor == f"dask@{known.name}"


def test_the_field_s_executor_strings_are_known() -> None:
    places = "lxplus T3_CH_PSI DESY RWTH CLAIX brux oscar rubin lpc infn-af swan casa purdue-af"
    assert set(known_sites()) == {f"dask@{place}" for place in places.split()}
    assert (site_of("dask@T3") or known_sites()["dask@lpc"]).name == "T3_CH_PSI"
    assert same_executor("dask@T3") == "dask@T3_CH_PSI"
    assert same_executor("dask") == "dask@local"
    assert same_executor("futures") == "futures"


GENERAL = """scaleout chunksize limit-files limit-chunks retries max-failures tree-reduction skip-bad-files voms-proxy
ignore-grid-certificate group-samples starting-time format uproot-options xrootd-timeout align-clusters depends-on"""
OURS = "kept-files read-block read-ahead cpu-baseline"
BATCH = """cores-per-worker mem-per-worker disk-per-worker worker-image death-timeout queue walltime adaptive
performance-report custom-setup-commands conda-env local-virtualenv sched-url dask-scheduler-port"""


def test_every_published_option_exists() -> None:
    assert {*GENERAL.split(), *OURS.split()} == set(GeneralOptions.option_fields())
    assert set(BATCH.split()) <= set(BatchOptions.option_fields())


@pytest.mark.parametrize(
    ("executor", "known"),
    [
        ("iterative", "scaleout: 1, chunksize: 100000, retries: 20, tree-reduction: 20, skip-bad-files: false"),
        ("iterative", "limit-files: null, limit-chunks: null, voms-proxy: null, max-failures: null, format: root"),
        (
            "dask",
            "allowed-failures: 10, memory-target: 0.8, memory-spill: 0.9, memory-pause: 0.92, memory-terminate: 0.0",
        ),
        ("dask", "dask-scheduler-port: 8786, security: tls, profiling: false, adaptive-minimum: 1"),
        ("dask@htcondor", "env: {XRD_RUNFORKHANDLER: '1', MALLOC_TRIM_THRESHOLD_: '0'}, worker-image: null"),
        (
            "dask@lxplus",
            "scaleout: 10, cores-per-worker: 1, mem-per-worker: 2GB, disk-per-worker: 2GB, queue: microcentury",
        ),
        (
            "dask@lxplus",
            "death-timeout: '3600', adaptive: false, performance-report: true, worker-image: auto, spool: true",
        ),
        (
            "dask@lxplus",
            "worker-ports: 10000:10100, nanny-ports: 10000:10100, submit-host: lxplus, no-submit-from: [/eos]",
        ),
        ("dask@lxplus", "jobs-per-submission: 100, jobs-per-owner: 500, local-directory: /tmp, scheduler-host: fqdn"),
        ("dask@lxplus", "conda-env: false, local-virtualenv: false, custom-setup-commands: []"),
        ("dask@T3", "mem-per-worker: 4GB, queue: standard, walltime: 06:00:00, cores-per-worker: 1"),
        ("dask@T3", "local-directory: /scratch/$USER/slurm_localdir"),
        ("dask@DESY", "walltime: 03:00:00, mem-per-worker: 1.5GB, walltime-attribute: RequestRuntime"),
        (
            "dask@RWTH",
            "mem-per-worker: 4GB, tree-reduction: 4, conda-env: true, custom-setup-commands: [ulimit -s unlimited]",
        ),
        ("dask@CLAIX", "mem-per-worker: 2GB, queue: c23ms, walltime: 06:00:00, slurm-settings: {constraint: zen4}"),
        ("dask@brux", "scaleout: 336, chunksize: 100000, mem-per-worker: 4GB, retries: 3, skip-bad-files: true"),
        ("dask@rubin", "scaleout: 336, chunksize: 80000, mem-per-worker: 4GB, disk-per-worker: 3GB, retries: 1"),
        ("dask@oscar", "scaleout: 64, mem-per-worker: 7.5GB, disk-per-worker: 4GB, queue: batch, retries: 3"),
        ("dask@lpc", "shared-filesystem: false, scheduler-ports: 10000:10100, worker-ports: 10000:10070"),
        ("dask@lpc", "nanny-ports: 10070:10100, working-dir: /srv, worker-image: auto"),
        (
            "dask@infn-af",
            "shared-filesystem: false, site-names: [T2_LNL_PD], site-attribute: SiteName, proxy-directory: .",
        ),
        ("dask@swan", "kerberos-ticket: true, worker-lifetime: '24:00:00'"),
        ("dask@casa", "sched-url: tls://localhost:8786, tls-ca-file: /etc/cmsaf-secrets/ca.pem"),
        ("dask@purdue-af", "scaleout: 100, adaptive: true, mem-per-worker: 4GB, max-workers: 200"),
        (
            "dask@purdue-af",
            "gateway-address: http://dask-gateway-k8s.geddes.rcac.purdue.edu/, shared-paths: [/depot, /work]",
        ),
    ],
)
def test_an_executor_has_the_defaults_that_are_known_of_it(executor: str, known: str) -> None:
    options = resolve(executor, model_for(executor), defaults_layers(executor), [], known_executors=()).options
    wanted = parse_yaml(f"{{{known}}}", "known").values
    assert {key: flow_text(options.option_value(key)) for key in wanted} == {
        key: flow_text(value) for key, value in wanted.items()
    }


def test_job_flavours_of_lxplus_have_their_walltime() -> None:
    options = resolve(
        "dask@lxplus", model_for("dask@lxplus"), defaults_layers("dask@lxplus"), [], known_executors=()
    ).options
    limits = options.option_value("queue-limits")
    assert limits["espresso"] == 20 * 60
    assert limits["nextweek"] == 7 * 86400
    assert len(limits) == 7
