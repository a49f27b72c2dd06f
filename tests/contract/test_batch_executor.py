"""Workers as jobs: what is looked at first, what is written where, what is left; over commands that are no farm's."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from coffea.processor.executor import WorkItem
from coffea.util import load

import pocket_exec
from pocket_exec.batch.jobs_file import JobsFile
from pocket_exec.errors import ExecutorError, FarmError, OptionsError, OutputDirectoryError
from tests.contract import fake_farm
from tests.contract.command_line import COUNT, Ended, cfg_of, record, refused, runner
from tests.contract.conftest import IN_FAKE_FARM
from tests.unit.executors.test_proxy import proxy

FLAGS = [f"--{key}={value}" for key, value in IN_FAKE_FARM.items()]
ITEMS = [WorkItem("DY", "f.root", "Events", 10 * c, 10 * c + 10, b"") for c in range(3)]


@pytest.fixture
def farm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fake farm whose commands are on PATH; the current directory is the user's."""
    directory = tmp_path / "farm"
    monkeypatch.setenv("PATH", f"{fake_farm.install(directory)}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    return directory


@pytest.fixture
def cfg(zmumu_files: dict[str, list[Path]], tmp_path: Path) -> Path:
    """A cfg.py that counts the events of two files."""
    return written(tmp_path / "analysis", cfg_of({"DY": [str(path) for path in next(iter(zmumu_files.values()))[:2]]}))


def written(directory: Path, text: str) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "cfg.py").write_text(text)
    return directory / "cfg.py"


def options(**given: Any) -> dict[str, Any]:
    return {"run_options": {**IN_FAKE_FARM, "worker-timeout": 60, **given}}


def called(farm: Path) -> list[str]:
    """Return the names of the commands that were called."""
    path = farm / "called"
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []


def private_of(out: Path) -> list[Path]:
    return list(out.rglob("private"))


def double(item: WorkItem) -> dict[str, Any]:
    return {"out": {"n": len(item)}, "processed": {item}}


@pytest.mark.parametrize("executor", ["dask@htcondor", "dask@slurm"])
def test_a_run_leaves_results_logs_and_the_jobs_tag_and_no_key(
    executor: str, farm: Path, cfg: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ended = runner("--cfg", cfg, "-o", out, "-e", executor, *FLAGS)
    assert ended.status == 0, ended
    written = record(out)
    assert written["jobs_tag"].startswith("pocket-exec-")
    assert written["image"] is None
    logs = sorted(path.name for path in (out / "log" / written["jobs_tag"]).iterdir())
    prefix = written["jobs_tag"].removeprefix("pocket-exec-")[:8]
    assert {f"{prefix}-{n}.{end}" for n in (0, 1) for end in ("out", "err")} <= set(logs)
    assert private_of(out) == []
    assert list(out.rglob("jobs.json")) == []
    assert fake_farm.jobs_of(farm) == {}
    assert called(farm).count("condor_submit" if executor == "dask@htcondor" else "sbatch") == 1
    told = (out / "log" / "runner.log").read_text()
    for part in (
        "from your own machine: ssh -N -L ",
        "waiting for the first worker",
        "the first worker is there after",
    ):
        assert part in told
    assert "PRIVATE KEY" not in told


def test_a_run_writes_nothing_into_the_home_directory(farm: Path, cfg: Path, tmp_path: Path) -> None:
    home = tmp_path / "of-the-user"
    home.mkdir()
    places = {"HOME": str(home), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    env = {**{key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "DASK_"))}, **places}
    program = "import sys; from pocket_exec.cli import runner; sys.exit(runner())"
    words: list[str | Path] = ["--cfg", cfg, "-o", tmp_path / "out", "-e", "dask@htcondor", *FLAGS]
    done = subprocess.run(
        [sys.executable, "-c", program, *words], env=env, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list(home.rglob("*")) == []


def test_what_workers_read_is_for_the_user_alone_while_the_run_lasts(farm: Path) -> None:
    with pocket_exec.open_executor("dask@htcondor", **options()) as executor:
        [private] = private_of(Path.cwd())
        assert private.parent.parent == Path.cwd() / "pocket-exec-logs"
        assert private.stat().st_mode & 0o777 == 0o700
        modes = {path.name.partition("-")[0]: path.stat().st_mode & 0o777 for path in private.iterdir()}
        for name in ("ca.pem", "cert.pem", "key.pem", "worker.json", "code"):
            assert modes[name] == 0o600
        assert modes["worker.sh"] == 0o700
        assert "PRIVATE KEY" not in (private / "worker.sh").read_text() + (private / "worker.json").read_text()
        total, _ = executor(ITEMS, double, None)
    assert total["out"]["n"] == 30
    assert private_of(Path.cwd()) == []


def test_two_executors_in_one_output_directory_at_once_are_refused_and_the_firsts_ids_stay(
    farm: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pocket_exec.open_executor("dask@htcondor", outputdir=out, **options()):
        [file] = (out / "log").glob("*/jobs.json")
        jobs = file.read_text()
        with (
            pytest.raises(OutputDirectoryError, match=r"out is in use by another run \(this very process\)"),
            pocket_exec.open_executor("dask@htcondor", outputdir=out, **options()),
        ):
            pass
        assert file.read_text() == jobs
    assert called(farm).count("condor_submit") == 1
    assert not (out / "run.lock").exists()


def test_jobs_that_an_earlier_run_may_have_left_are_told_with_what_cancels_them_and_its_file_stays(
    farm: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    earlier = out / "log" / "pocket-exec-0123" / "jobs.json"
    commands = [["condor_rm", "7.0"], ["condor_rm", "-constraint", 'PocketExecRun == "pocket-exec-0123"']]
    JobsFile(earlier).write(
        system="htcondor", tag="pocket-exec-0123", jobs={"w-0": "7.0"}, commands=commands, environment={}
    )
    with pocket_exec.open_executor("dask@htcondor", outputdir=out, **options()):
        pass
    [told] = [text for text in caplog.messages if "earlier run" in text]
    assert f"(run pocket-exec-0123, process {os.getpid()} on {socket.gethostname()}, 2" in told
    assert f"unless {earlier} goes by itself" in told
    assert told.endswith("""remove it\n  condor_rm -constraint 'PocketExecRun == "pocket-exec-0123"'""")
    assert [*out.rglob("jobs.json")] == [earlier]
    assert "condor_rm 7.0" not in (farm / "called").read_text()


def test_the_first_worker_is_waited_for_once_while_the_jobs_are_looked_after(
    farm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupervised(*_: object) -> None:
        pytest.fail("a wait that does not look at the jobs")

    monkeypatch.setattr("pocket_exec.executors.dask.wait_for_workers", unsupervised)
    with pocket_exec.open_executor("dask@htcondor", **options()) as executor:
        assert executor(ITEMS, double, None)[0]["out"]["n"] == 30


def test_an_adaptive_run_begins_with_its_fewest_workers(farm: Path) -> None:
    given = options(**{"adaptive": True, "adaptive-minimum": 1, "scaleout": 2})
    with pocket_exec.open_executor("dask@htcondor", **given) as executor:
        assert len(fake_farm.jobs_of(farm)) == 1
        assert executor(ITEMS, double, None)[0]["out"]["n"] == 30
        assert len(fake_farm.jobs_of(farm)) in (1, 2)
    assert fake_farm.jobs_of(farm) == {}


def test_without_encryption_there_is_a_warning_and_no_certificate(farm: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pocket_exec.open_executor("dask@htcondor", **options(security="none")) as executor:
        [private] = private_of(Path.cwd())
        assert list(private.glob("*.pem")) == []
        assert executor(ITEMS, double, None)[0]["out"]["n"] == 30
    assert "security: none; whoever reaches the scheduler's port can run code in your name" in caplog.text


def test_a_client_that_is_killed_leaves_neither_job_nor_key(farm: Path, cfg: Path, tmp_path: Path) -> None:
    code = (
        "import time, pocket_exec\n"
        f"with pocket_exec.open_executor('dask@htcondor', run_options={options()['run_options']!r}):\n"
        "    print('here', flush=True)\n    time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    assert len(fake_farm.jobs_of(farm)) == 2
    assert len(private_of(Path.cwd())) == 1
    process.send_signal(signal.SIGKILL)
    process.communicate()
    end = time.monotonic() + 30
    while (fake_farm.jobs_of(farm) or private_of(Path.cwd())) and time.monotonic() < end:
        time.sleep(0.2)
    assert fake_farm.jobs_of(farm) == {}
    assert private_of(Path.cwd()) == []


@pytest.mark.parametrize("executor", ["dask@htcondor", "dask@slurm", "dask@lxplus", "dask@T3_CH_PSI"])
def test_a_dry_run_prints_all_that_would_be_submitted_and_does_nothing(
    executor: str, farm: Path, cfg: Path, tmp_path: Path
) -> None:
    flags = ["--submit-host=null", "--worker-image=null"] if executor == "dask@lxplus" else []
    ended = runner("--cfg", cfg, "-o", tmp_path / "out", "-e", executor, "--dry-run", *flags)
    assert ended.status == 0, ended
    submit = "sbatch --parsable" if executor in ("dask@slurm", "dask@T3_CH_PSI") else "condor_submit -terse"
    assert f"\n### 10 jobs submitted by\n{submit}" in ended.out
    for part in ("### what is submitted\n", "/worker.sh\n#!/bin/bash\n", "/worker.json\n{", '"scheduler": "tls://'):
        assert part in ended.out
    assert not (tmp_path / "out").exists()
    assert list(Path.cwd().iterdir()) == []
    assert called(farm) == []


@pytest.mark.parametrize(
    ("executor", "flags"),
    [
        ("dask@htcondor", []),
        ("dask@htcondor", ["--shared-filesystem=false", "--transfer-files=cfg.py", "--security=none"]),
        ("dask@slurm", ["--scheduler-ports=31000:31900", "--scheduler-host=fqdn", "--walltime=1h"]),
    ],
)
def test_a_dry_run_prints_what_the_run_then_submits_and_writes(
    executor: str, flags: list[str], farm: Path, cfg: Path, tmp_path: Path
) -> None:
    submitted = kept_at_submission(farm, tmp_path / "kept")
    words = ["--cfg", cfg, "-o", tmp_path / "out", "-e", executor, *FLAGS, *flags]
    printed = sections(runner(*words, "--dry-run").out)
    ended = runner(*words)
    assert ended.status == 0, ended
    tag = record(tmp_path / "out")["jobs_tag"]
    private = tmp_path / "out" / "log" / tag / "private"
    written = {str(private / path.name): path.read_bytes() for path in submitted.iterdir()}
    [description] = (name for name in written if name.endswith((".sub", ".sbatch")))
    listed = [str(cfg)] if "--transfer-files=cfg.py" in flags else []
    command = next(line for line in (farm / "called").read_text().splitlines() if line.startswith(("condor_s", "sb")))
    jobs = {
        "2 jobs submitted by": command,
        "what is submitted": written.pop(description).decode(),
        "files that the workers read": "\n".join(sorted([*written, *listed])),
        "logs": str(private.parent),
        **{name: written[name].decode() for name in map(str, (private / "worker.sh", private / "worker.json"))},
    }
    assert masked(printed) == masked({heading: text.rstrip() for heading, text in jobs.items()})


def kept_at_submission(farm: Path, copy: Path) -> Path:
    """Let the commands that submit copy the directory that they are called in, which goes at the end of a run."""
    for name in ("condor_submit", "sbatch"):
        command = farm / "bin" / name
        command.rename(farm / f"real_{name}")
        command.write_text(f'#!/bin/sh\ncp -R . "{copy}"\nexec "{farm}/real_{name}" "$@"\n')
        command.chmod(0o755)
    return copy


def sections(printed: str) -> dict[str, str]:
    """Return the parts of what a dry run prints by their headings."""
    parts = [part.partition("\n") for part in re.split(r"^### ", printed, flags=re.MULTILINE)[1:]]
    return {heading: text.rstrip() for heading, _, text in parts}


def masked(parts: Mapping[str, str]) -> dict[str, str]:
    """Put names in the place of what no two runs have in common: the tag, with the jobs' names, and a free port."""
    tag = re.search(r"pocket-exec-([0-9a-f]{8})[0-9a-f]{4}", parts["logs"])
    assert tag is not None

    def mask(text: str) -> str:
        text = text.replace(tag[0], "<tag>").replace(f"{tag[1]}-", "<worker>-")
        return re.sub(r'("scheduler": "\w+://[^"]+):\d+"', r'\1:<port>"', text)

    return {mask(heading): mask(text) for heading, text in parts.items()}


def test_a_dry_run_works_on_a_laptop_which_has_neither_commands_nor_images(
    cfg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ended = runner("--cfg", cfg, "-o", tmp_path / "out", "-e", "dask@lxplus", "--dry-run")
    assert ended.status == 0, ended
    for warning in (
        "warning: submit-host: this machine is '",
        "warning: batch-system htcondor: condor_submit, condor_q, condor_rm, condor_transfer_data not found in PATH",
        "warning: worker-image auto: the public image of coffea ",
    ):
        assert warning in ended.err
    assert "MY.SingularityImage = " in ended.out
    assert 'MY.JobFlavour = "microcentury"' in ended.out


def test_all_that_is_wrong_is_told_at_once(cfg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "eos").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    flags = [f"--no-submit-from=[{tmp_path / 'eos'}]", "--submit-host=lxplus", "--worker-image=/no/such/image"]
    flags += ["--transfer-files=[missing.txt]"]
    told = refused("--cfg", cfg, "-o", tmp_path / "eos" / "out", "-e", "dask@htcondor", *FLAGS, *flags)
    assert "dask@htcondor cannot start:" in told
    for part in (
        "submit-host: this machine is '",
        f"log-directory: {tmp_path / 'eos' / 'out' / 'log'}/pocket-exec-",
        "from where the batch system takes no submission (no-submit-from); set `log-directory`",
        "batch-system htcondor: condor_submit, condor_q, condor_rm not found in PATH",
        "worker-image /no/such/image: no such file or directory",
        f"transfer-files: no file {cfg.parent / 'missing.txt'}",
    ):
        assert part in told, told


def test_a_missing_command_alone_is_the_farms_fault(cfg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    told = refused("--cfg", cfg, "-o", tmp_path / "out", "-e", "dask@slurm", *FLAGS, status=4)
    assert "batch-system slurm: sbatch, squeue, scancel not found in PATH" in told
    assert not private_of(tmp_path)


def test_a_log_directory_elsewhere_is_what_the_message_asks_for(farm: Path, cfg: Path, tmp_path: Path) -> None:
    (tmp_path / "eos").mkdir()
    flags = [f"--no-submit-from=[{tmp_path / 'eos'}]", f"--log-directory={tmp_path / 'afs'}"]
    out = tmp_path / "eos" / "out"
    ended = runner("--cfg", cfg, "-o", out, "-e", "dask@htcondor", *FLAGS, *flags)
    assert ended.status == 0, ended
    assert [path.name for path in (tmp_path / "afs").iterdir()] == [record(out)["jobs_tag"]]
    assert private_of(tmp_path) == []
    assert sorted(path.name for path in (out / "log").iterdir()) == ["runner.log"]


def test_a_submission_that_fails_shows_the_commands_words_and_leaves_nothing(
    farm: Path, cfg: Path, tmp_path: Path
) -> None:
    (farm / "bin" / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: no such account' >&2\nexit 1\n")
    out = tmp_path / "out"
    told = refused_with_log(farm, "--cfg", cfg, "-o", out, "-e", "dask@slurm", *FLAGS)
    assert "no job could be submitted: `sbatch --parsable" in told
    assert "sbatch: error: no such account" in told
    assert "waiting for the first worker" not in told
    assert sorted(path.name for path in out.rglob("*") if path.is_file()) == ["run.json", "runner.log"]
    assert record(out)["status"]["code"] == 4


def refused_with_log(farm: Path, *words: object) -> str:
    """Run what must end with status 4, with no job left."""
    ended: Ended = runner(*words)
    assert ended.status == 4, ended
    assert "Traceback" not in ended.err
    assert fake_farm.jobs_of(farm) == {}
    return ended.err


def test_workers_that_cannot_start_end_the_run_with_the_line_of_their_log(
    farm: Path, cfg: Path, tmp_path: Path
) -> None:
    flags = ["--custom-setup-commands=[echo nothing here >&2; exit 3]"]
    told = refused_with_log(farm, "--cfg", cfg, "-o", tmp_path / "out", "-e", "dask@htcondor", *FLAGS, *flags)
    assert re.search(r"no worker can start: \d jobs? failed alike", told)
    assert "exit status 70" in told
    assert "failed with status 3: echo nothing here >&2; exit 3" in told
    assert list((tmp_path / "out" / "log").rglob("*.err"))


@pytest.mark.parametrize(
    ("elsewhere", "names"),
    [
        ([], {"{name}"}),
        (["--working-dir=/"], {"{scratch}/1/0/{name}", "{scratch}/1/1/{name}"}),
        (["--custom-setup-commands=[cd /]"], {"{scratch}/1/0/{name}", "{scratch}/1/1/{name}"}),
    ],
    ids=["in the job's directory", "working-dir", "a setup command"],
)
def test_files_travel_where_no_file_system_is_shared_and_the_numbers_are_the_same(
    elsewhere: list[str], names: set[str], farm: Path, zmumu_files: dict[str, list[Path]], tmp_path: Path
) -> None:
    (tmp_path / "analysis").mkdir()
    for path in next(iter(zmumu_files.values()))[:2]:
        shutil.copy(path, tmp_path / "analysis" / path.name)
    files = sorted(str(path) for path in (tmp_path / "analysis").glob("*.root"))
    (tmp_path / "analysis" / "beside.py").write_text("WEIGHT = 3\n")
    beside = COUNT.replace("len(events)", "WEIGHT * len(events)").replace(
        "\n\n\nclass", "\nfrom beside import WEIGHT\n\n\nclass"
    )
    path = written(tmp_path / "analysis", cfg_of({"DY": files}, text=beside))
    here = runner("--cfg", path, "-o", tmp_path / "here")
    assert here.status == 0, here
    flags = ["--shared-filesystem=false", "--transfer-files=*.root"]
    # Its own cache: the files' metadata are read on the workers, too.
    there = runner("--cfg", path, "-o", tmp_path / "there", "-e", "dask@htcondor", *FLAGS, *flags, *elsewhere)
    assert there.status == 0, there
    one, other = (load(tmp_path / name / "output_all.coffea") for name in ("here", "there"))
    assert one["events"] == other["events"]
    assert {Path(name).name for name in one["files"]} == {Path(name).name for name in other["files"]}
    there_named = {name.format(scratch=farm / "scratch", name=Path(file).name) for name in names for file in files}
    assert other["files"] <= there_named
    copies = {path.name for path in (farm / "scratch").rglob("*") if path.is_file()}
    assert {Path(name).name for name in files} <= copies


def test_the_proxy_is_copied_for_the_workers_and_removed(
    farm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = proxy(tmp_path / "x509", timedelta(days=2))
    monkeypatch.setenv("X509_USER_PROXY", str(path))
    given = options(**{"proxy-directory": str(tmp_path / "proxies")})
    with pocket_exec.open_executor("dask@htcondor", **given) as executor:
        [copy] = (tmp_path / "proxies").iterdir()
        assert copy.stat().st_mode & 0o777 == 0o600
        assert copy.read_bytes() == path.read_bytes()
        total, _ = executor(ITEMS[:1], _proxy_of_worker, None)
        assert total["out"] == {"proxy": {str(copy)}}
    assert list((tmp_path / "proxies").iterdir()) == []
    assert path.exists()


def _proxy_of_worker(item: WorkItem) -> dict[str, Any]:
    return {"out": {"proxy": {os.environ.get("X509_USER_PROXY")}}, "processed": {item}}


def test_an_expired_proxy_is_refused_before_anything_is_submitted(
    farm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("X509_USER_PROXY", str(proxy(tmp_path / "x509", -timedelta(days=1))))
    with (
        pytest.raises(ExecutorError, match="it has expired; renew it with `voms-proxy-init"),
        pocket_exec.open_executor("dask@htcondor", **options()),
    ):
        pass
    assert called(farm) == []


def test_all_that_is_wrong_here_is_told_in_one_message(farm: Path, cfg: Path, tmp_path: Path) -> None:
    old = proxy(tmp_path / "x509", -timedelta(days=1))
    flags = [f"--voms-proxy={old}", "--worker-image=/no/image", "--htcondor-settings={queue: 3}", "--submit-host=cern"]
    told = refused("--cfg", cfg, "-o", tmp_path / "out", "-e", "dask@htcondor", *FLAGS, *flags)
    for part in (
        f"voms-proxy {old}: it has expired",
        "worker-image /no/image: no such file or directory",
        "htcondor-settings.queue: cannot be set here",
        "submit-host: this machine is",
    ):
        assert part in told
    assert called(farm) == []


def test_an_interface_that_a_worker_has_not_is_told(farm: Path) -> None:
    given = options(**{"worker-interface": "nosuch0"})
    told = r"no network interface nosuch0 on .*, which has .*lo.* \(worker-interface\)"
    with pytest.raises(FarmError, match=told), pocket_exec.open_executor("dask@htcondor", **given):
        pass
    given = options(**{"worker-interface": "lo"})
    with pocket_exec.open_executor("dask@htcondor", **given) as executor:
        total, _ = executor(ITEMS, double, None)
    assert total["out"]["n"] == 30


def test_a_walltime_that_no_queue_allows_is_refused(farm: Path) -> None:
    given: Mapping[str, Any] = {"queue-limits": {"short": "1h", "long": "1d"}, "walltime": "3d"}
    with (
        pytest.raises(OptionsError, match="is longer than any queue lets a job run; the longest is 'long'"),
        pocket_exec.open_executor("dask@htcondor", **options(**given)),
    ):
        pass
    assert called(farm) == []


def test_a_batch_system_is_found_by_its_commands(farm: Path, cfg: Path, tmp_path: Path) -> None:
    for name in ("condor_submit", "condor_q", "condor_rm"):
        (farm / "bin" / name).unlink()
    ended = runner("--cfg", cfg, "-o", tmp_path / "out", "-e", "dask@htcondor", "--batch-system=auto", "--dry-run")
    assert ended.status == 0, ended
    assert "sbatch --parsable" in ended.out
    assert "auto: sbatch is here" in ended.out


def test_the_users_dask_configuration_travels(farm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dask

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "77s"}),
        pocket_exec.open_executor("dask@slurm", **options(**{"memory-target": 0.31, "memory-spill": 0.5})) as executor,
    ):
        total, _ = executor(ITEMS[:1], _config_of_worker, None)
    assert total["out"] == {"config": {("77s", 0.31, False)}}


def _config_of_worker(item: WorkItem) -> dict[str, Any]:
    import dask

    keys = ("comm.timeouts.connect", "worker.memory.target", "worker.memory.terminate")
    return {"out": {"config": {tuple(dask.config.get(f"distributed.{key}") for key in keys)}}, "processed": {item}}


def test_workers_that_are_lost_for_good_in_the_midst_of_a_run_end_it(farm: Path) -> None:
    given = options(**{"custom-setup-commands": [f"test ! -e {farm / 'no-more'}"]})
    with pocket_exec.open_executor("dask@htcondor", **given) as executor:
        (farm / "no-more").touch()
        for job in fake_farm.jobs_of(farm).values():
            os.killpg(job["pid"], signal.SIGTERM)
        while executor.pool._client.nthreads():
            time.sleep(0.05)
        with pytest.raises(FarmError, match=r"no worker can start: .* failed alike"):
            executor(ITEMS, double, None)
