"""The supervised cluster, with real Dask workers on a fake batch system: what it submits, replaces, reports, leaves."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from distributed import Client, get_worker
from distributed.core import Status
from distributed.security import Security

from pocket_exec.batch import guardian_process
from pocket_exec.batch.cluster import SupervisedCluster
from pocket_exec.batch.ports import SchedulerPlace
from pocket_exec.batch.system import JobState, JobStatus, Limits, Submission
from pocket_exec.batch.watch import Watch
from pocket_exec.batch.worker_job import Loss
from pocket_exec.errors import FarmError
from pocket_exec.executors.certificates import write_certificates
from tests.contract.local_batch import LocalBatch
from tests.contract.supervised import Maker, local_system, supervised


def until(true: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def connected(cluster: SupervisedCluster) -> list[str]:
    return sorted(job.name for job in cluster.jobs() if job.connected)


def here(item: int) -> str:
    time.sleep(0.02)
    return str(get_worker().name)


def test_all_workers_are_one_submission_and_each_has_its_own_job(tmp_path: Path) -> None:
    system, make = local_system(tmp_path), Maker(tmp_path)
    with supervised(system, make, 3) as cluster, Client(cluster, set_as_default=False) as client:
        cluster.wait_for_first_worker(60)
        client.wait_for_workers(3, timeout=60)
        assert len(system.submissions) == 1
        names = list(system.submissions[0])
        assert names == [f"{make.tag.removeprefix('pocket-exec-')[:8]}-{number}" for number in range(3)]
        assert sorted({*client.gather(client.map(here, range(60)))}) == names
        assert {job.name: job.id for job in cluster.jobs()}.keys() == set(names)
        written = (tmp_path / "log" / "jobs.json").read_text()
        assert make.tag in written
        assert all(job.id in written for job in cluster.jobs())


def test_a_submission_holds_no_more_jobs_than_the_site_allows(tmp_path: Path) -> None:
    system = local_system(tmp_path)
    (system.queue / "nothing-starts").touch()
    limits = Limits(jobs_per_submission=2, jobs_per_owner=5)
    with supervised(system, Maker(tmp_path), 7, limits=limits) as cluster:
        until(lambda: len(cluster.jobs()) == 5)
        assert [len(names) for names in system.submissions] == [2, 2, 1]
    assert not system.pids()


def test_workers_that_are_killed_or_held_are_replaced_by_one_more_submission(tmp_path: Path) -> None:
    system = local_system(tmp_path)
    with supervised(system, Maker(tmp_path), 3) as cluster, Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(3, timeout=60)
        killed, held, stays = connected(cluster)
        work = client.map(here, range(200))
        # Both are seen at one look; the one that may be under way is over.
        system.unreadable = True
        looks = system.looks
        until(lambda: system.looks > looks)
        system.statuses[held] = JobStatus(JobState.HELD, "the disk is full")
        system.kill(killed)
        until(lambda: killed not in system.alive())
        system.unreadable = False
        until(lambda: len(connected(cluster)) == 3 and not {killed, held} & set(connected(cluster)))
        assert len(client.gather(work)) == 200
        assert stays in connected(cluster)
        assert len(system.submissions) == 2
        # A name is not used twice.
        assert not {killed, held} & set(system.submissions[1])
        until(lambda: held not in system.alive())
        assert cluster.trouble() is None


def test_what_takes_long_to_bring_home_holds_up_no_replacement_and_not_the_close(tmp_path: Path) -> None:
    goes_on = threading.Event()

    class Fetching(LocalBatch):
        def finish(self, ids: Sequence[str]) -> None:
            goes_on.wait(60)

    local_system(tmp_path)
    system = Fetching(tmp_path / "queue")
    with supervised(system, Maker(tmp_path), 1) as cluster:
        cluster.wait_for_first_worker(60)
        (first,) = connected(cluster)
        system.kill(first)
        until(lambda: len(connected(cluster)) == 1 and connected(cluster) != [first], 30)
        assert first in system.pids()
        start = time.monotonic()
        cluster.close()
        assert time.monotonic() - start < 30
    goes_on.set()
    assert not system.pids()


def test_scaling_down_moves_results_away_and_cancels_those_jobs_only(tmp_path: Path) -> None:
    system = local_system(tmp_path)
    with supervised(system, Maker(tmp_path), 3) as cluster, Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(3, timeout=60)
        kept = client.scatter(list(range(30)), hash=False, broadcast=False)
        cluster.scale(1)
        until(lambda: len(system.alive()) == 1)
        assert client.gather(kept) == list(range(30))
        assert all(future.status == "finished" for future in kept)
        first = connected(cluster)
        cluster.scale(2)
        until(lambda: len(connected(cluster)) == 2)
        assert first[0] in connected(cluster)
        names = [name for submission in system.submissions for name in submission]
        assert len(names) == len(set(names)) == 4


def test_the_number_of_workers_can_follow_the_work(tmp_path: Path) -> None:
    system = local_system(tmp_path)
    with supervised(system, Maker(tmp_path), 0) as cluster, Client(cluster, set_as_default=False) as client:
        # So little work is enough for both, until it is done.
        cluster.adapt(minimum=0, maximum=2, interval="100ms", wait_count=3, target_duration="100ms")
        assert set(client.gather(client.map(here, range(200)))) <= {*system.submissions[0]}
        assert len(system.submissions) == 1
        until(lambda: not system.alive())


def test_a_submission_that_fails_is_told_with_its_own_words_and_leaves_nothing(tmp_path: Path) -> None:
    system = local_system(tmp_path)
    (system.queue / "submit-fails").write_text("invalid account 'atlas'")
    with supervised(system, Maker(tmp_path), 2) as cluster:
        with pytest.raises(FarmError, match=r"no job could be submitted.*invalid account 'atlas'"):
            cluster.wait_for_first_worker(60)
        assert "invalid account" in str(cluster.trouble())
    assert not list((tmp_path / "log").iterdir())


def test_a_submission_that_hangs_is_given_up_after_its_timeout(tmp_path: Path) -> None:
    system = local_system(tmp_path, timeout_s=1.0)
    (system.queue / "submit-hangs").touch()
    with supervised(system, Maker(tmp_path), 2) as cluster:
        with pytest.raises(FarmError, match="no end after 1 s"):
            cluster.wait_for_first_worker(60)
        assert cluster.jobs() == []


def test_a_submission_that_fails_while_workers_live_is_tried_again(tmp_path: Path) -> None:
    system = local_system(tmp_path)
    with supervised(system, Maker(tmp_path), 1) as cluster:
        cluster.wait_for_first_worker(60)
        (system.queue / "submit-fails").write_text("the schedd is busy")
        cluster.scale(2)
        until(lambda: len(system.submissions) >= 3)
        assert cluster.trouble() is None
        (system.queue / "submit-fails").unlink()
        until(lambda: len(connected(cluster)) == 2)


@pytest.mark.parametrize("status", [75, 72])
def test_workers_that_all_end_alike_at_start_are_despaired_of_with_their_logs_line(tmp_path: Path, status: int) -> None:
    system = local_system(tmp_path)
    script = f'echo noise; echo "pocket-exec worker $1: coffea 2024.1 here, 2026.9 there" >&2; exit {status}'
    with supervised(system, Maker(tmp_path, script), 2) as cluster, pytest.raises(FarmError) as raised:
        cluster.wait_for_first_worker(60)
    lines = [line.strip() for line in str(raised.value).splitlines()]
    # What says that all would fail alike is believed at once; what may be a machine's fault, the second time.
    # One look may see the first of two that end at about one time.
    assert len(system.submissions) <= (3 if status == 75 else 5)
    assert re.fullmatch(rf"no worker can start: [2-5] jobs failed alike: ended with exit status {status}", lines[0])
    assert re.fullmatch(r"pocket-exec worker [0-9a-f]{8}-\d: coffea 2024.1 here, 2026.9 there", lines[1])
    log = Path(lines[-1].partition(": ")[2])
    assert "coffea 2024.1" in log.read_text()


def test_jobs_that_are_held_for_good_are_told_with_the_reason_and_cancelled(tmp_path: Path) -> None:
    system = local_system(tmp_path)
    (system.queue / "nothing-starts").touch()
    with supervised(system, Maker(tmp_path), 2) as cluster:
        until(lambda: len(cluster.jobs()) == 2)
        for name in system.pids():
            system.statuses[name] = JobStatus(JobState.HELD, "memory above the limit of 2 GB", permanent=True)
        with pytest.raises(FarmError, match=r"2 jobs failed alike: its job is held: memory above the limit of 2 GB"):
            cluster.wait_for_first_worker(60)
    assert not system.pids()


def test_jobs_that_are_started_again_and_again_are_despaired_of(tmp_path: Path) -> None:
    class Flipping(LocalBatch):
        def _status(self, job_id: str) -> JobStatus:
            return JobStatus(JobState.PENDING, "Singularity test failed", starts=self.looks)

    (local_system(tmp_path).queue / "nothing-starts").touch()
    message = r"was started \d+ times, and never for long: Singularity test failed"
    with (
        supervised(Flipping(tmp_path / "queue"), Maker(tmp_path), 1) as cluster,
        pytest.raises(FarmError, match=message),
    ):
        cluster.wait_for_first_worker(60)


def test_a_queue_that_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    system = local_system(tmp_path, unreadable=True)
    with supervised(system, Maker(tmp_path), 2, poll_interval_s=0.02) as cluster:
        until(lambda: len(connected(cluster)) == 2 and system.looks >= 3)
        assert len(system.submissions) == 1
        assert cluster.trouble() is None


def test_jobs_that_the_queue_does_not_list_live_as_long_as_their_workers(tmp_path: Path) -> None:
    system = local_system(tmp_path)
    with supervised(system, Maker(tmp_path), 1) as cluster:
        cluster.wait_for_first_worker(60)
        system.forgetful = True
        (name,) = connected(cluster)
        looks = system.looks
        until(lambda: system.looks > looks + 12)
        assert connected(cluster) == [name]
        system.kill(name)
        until(lambda: len(system.submissions) > 1)
        system.forgetful = False
        until(lambda: len(connected(cluster)) == 1 and connected(cluster) != [name])


def test_no_worker_in_time_is_told_with_where_the_jobs_stand(tmp_path: Path) -> None:
    system = local_system(tmp_path)
    (system.queue / "nothing-starts").touch()
    message = r"no worker after 00:00:02 \(worker-timeout\); jobs: 2 pending\n.*no machine is"
    with supervised(system, Maker(tmp_path), 2) as cluster:
        until(lambda: [job.status.state for job in cluster.jobs()] == [JobState.PENDING] * 2)
        with pytest.raises(FarmError, match=message):
            cluster.wait_for_first_worker(2)


def test_jobs_that_run_without_reaching_the_scheduler_are_told_with_its_address(tmp_path: Path) -> None:
    system = local_system(tmp_path)
    message = r"have not reached the scheduler at tcp://127.0.0.1:\d+"
    with supervised(system, Maker(tmp_path, "sleep 600"), 1) as cluster:
        until(lambda: [job.status.state for job in cluster.jobs()] == [JobState.RUNNING])
        with pytest.raises(FarmError, match=message):
            cluster.wait_for_first_worker(2)


def test_the_close_is_quiet_and_complete_and_harmless_the_second_time(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    system = local_system(tmp_path)
    with supervised(system, Maker(tmp_path), 3) as cluster:
        client = Client(cluster, set_as_default=False)
        client.wait_for_workers(3, timeout=60)
        busy = client.map(here, range(1000))
        capfd.readouterr()
        caplog.clear()
        client.close()
        start = time.monotonic()
        cluster.close()
        assert time.monotonic() - start < 30
        cluster.close()
        assert not system.pids()
        assert busy
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR", "CRITICAL")] == []
    assert {path.suffix for path in (tmp_path / "log").iterdir()} == {".out", ".err"}


def test_the_close_does_not_wait_for_a_cancel_command_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pocket_exec.batch.cluster.END_S", 0.5)
    monkeypatch.setattr("pocket_exec.batch.jobs.CANCEL_BY_TAG_S", 0.5)
    system = local_system(tmp_path)
    (system.queue / "nothing-starts").touch()
    with supervised(system, Maker(tmp_path), 2) as cluster:
        until(lambda: len(cluster.jobs()) == 2)
        system.timeout_s = 2.0
        (system.queue / "cancel-hangs").touch()
        start = time.monotonic()
        cluster.close()
        # The command hangs for ten minutes.
        assert time.monotonic() - start < 60
        assert len(system.pids()) == 2
        (system.queue / "cancel-hangs").unlink()
    # The guardian goes on by itself.
    until(lambda: not system.pids())
    end(guardians(psutil.Process()))


def test_a_guardian_that_cannot_be_started_anew_keeps_nothing_from_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = local_system(tmp_path)
    with supervised(system, Maker(tmp_path), 1, poll_interval_s=60.0) as cluster:
        cluster.wait_for_first_worker(60)
        monkeypatch.setattr(guardian_process, "READY", "said by none")
        end(guardians(psutil.Process()))
        cluster.close()
        assert cluster.status == Status.closed
        assert cluster.scheduler is not None
        assert cluster.scheduler.status == Status.closed
    assert not system.pids()
    assert not (tmp_path / "log" / "jobs.json").exists()


def guardians(client: psutil.Process) -> list[psutil.Process]:
    found = []
    for process in client.children():
        with suppress(psutil.Error):
            if any("guardian_process" in word for word in process.cmdline()):
                found.append(process)
    return found


def end(processes: list[psutil.Process]) -> None:
    """End what would go on for two minutes, in case a job is still to come."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
        process.wait(10)


def two_free_ports() -> int:
    """Return the first of two neighbours, below those that the system gives away by itself."""
    for port in range(18700, 19700, 2):
        with socket.socket() as one, socket.socket() as two, suppress(OSError):
            one.bind(("127.0.0.1", port))
            two.bind(("127.0.0.1", port + 1))
            return port
    raise AssertionError("no two neighbours are free")


def test_two_clusters_take_two_ports_of_the_range(tmp_path: Path) -> None:
    first = two_free_ports()
    place = SchedulerPlace(host="127.0.0.1", interface="lo", port=first + 1, ports=range(first, first + 2))
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with (
        supervised(local_system(tmp_path / "one"), Maker(tmp_path / "one"), 0, place=place) as one,
        supervised(local_system(tmp_path / "two"), Maker(tmp_path / "two"), 0, place=place) as two,
    ):
        assert one.contact_address == f"tcp://127.0.0.1:{first + 1}"
        assert two.contact_address == f"tcp://127.0.0.1:{first}"
        full = supervised(local_system(tmp_path), Maker(tmp_path), 0, place=place)
        with pytest.raises(FarmError, match=rf"does not start: .*no port from {first} to {first + 1} is free"), full:
            pass


def test_an_interface_that_is_not_there_is_told(tmp_path: Path) -> None:
    without = supervised(local_system(tmp_path), Maker(tmp_path), 0, place=SchedulerPlace(interface="ib7"))
    with pytest.raises(FarmError, match=r"does not start.*ib7"), without:
        pass


def test_workers_come_with_the_certificates_of_the_run_and_nobody_without(tmp_path: Path) -> None:
    security = Security.temporary()
    files = write_certificates(security, tmp_path)
    more = f"--tls-ca-file {files.ca} --tls-cert {files.cert} --tls-key {files.key}"
    system = local_system(tmp_path)
    with supervised(system, Maker(tmp_path, more=more), 1, security=security) as cluster:
        cluster.wait_for_first_worker(60)
        assert cluster.contact_address.startswith("tls://")
        with Client(cluster, set_as_default=False, security=security) as client:
            assert client.submit(here, 1).result() == connected(cluster)[0]
        with pytest.raises(OSError, match=r"(?i)tls|ssl|certificate|closed|timed out"):
            Client(cluster.contact_address.replace("tls", "tcp"), timeout=2, set_as_default=False)


def test_logs_on_a_disk_that_may_stall_are_looked_at_beside_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[str] = []
    is_file = Path.is_file

    def noted(path: Path) -> bool:
        if path.suffix == ".err":
            looked_at.append(threading.current_thread().name)
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", noted)
    with supervised(local_system(tmp_path), Maker(tmp_path, "echo no >&2; exit 3"), 1):
        until(lambda: bool(looked_at))
    assert all(name.startswith("pocket-exec ") for name in looked_at)


def test_what_makes_the_submission_may_fail_and_nothing_is_left(tmp_path: Path) -> None:
    class Refusing(Maker):
        def __call__(self, contact: str) -> Submission:
            raise FarmError(f"cannot write for {contact}")

    threads = threading.active_count()
    refused = supervised(local_system(tmp_path), Refusing(tmp_path), 1)
    with pytest.raises(FarmError, match=r"cannot write for tcp://127.0.0.1"), refused:
        pass
    until(lambda: threading.active_count() <= threads)


def test_a_worker_that_ends_with_its_walltime_is_replaced_and_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Loss] = []
    lost = Watch.lost

    def noted(watch: Watch, losses: Sequence[Loss], now: float) -> None:
        found.extend(losses)
        lost(watch, losses, now)

    monkeypatch.setattr(Watch, "lost", noted)
    system = local_system(tmp_path)
    make = Maker(tmp_path, more="--lifetime 6s", walltime_s=6)
    with supervised(system, make, 1) as cluster:
        cluster.wait_for_first_worker(60)
        (first,) = connected(cluster)
        until(lambda: len(connected(cluster)) == 1 and connected(cluster) != [first])
    assert found
    assert all(loss.expected for loss in found)


def test_a_cluster_works_where_a_loop_runs_already_as_in_a_notebook(tmp_path: Path) -> None:
    async def cell() -> str:
        with supervised(local_system(tmp_path), Maker(tmp_path), 1) as cluster:
            cluster.wait_for_first_worker(60)
            with Client(cluster, set_as_default=False) as client:
                return str(client.submit(here, 1).result())

    assert asyncio.run(cell()).endswith("-0")


def test_importing_it_in_a_thread_works_and_leaves_the_signal_handlers_alone() -> None:
    program = (
        "import signal, threading\n"
        "def load():\n"
        "    import pocket_exec.batch.cluster\n"
        "    loaded.append(True)\n"
        "loaded = []\n"
        "thread = threading.Thread(target=load)\n"
        "thread.start(); thread.join()\n"
        "import dask_jobqueue\n"
        "assert loaded and signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def started(directory: Path, way: str) -> subprocess.Popen[str]:
    (directory / "queue").mkdir()
    return subprocess.Popen(
        [sys.executable, "-m", "tests.contract.supervised", str(directory), way],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_client_that_is_killed_leaves_no_job(tmp_path: Path, number: signal.Signals) -> None:
    with started(tmp_path, "works") as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "here\n"
        system = local_system(tmp_path)
        assert len(system.alive()) == 2
        client.send_signal(number)
        client.wait(30)
    start = time.monotonic()
    until(lambda: not system.pids())
    assert time.monotonic() - start < 30
    until(lambda: not (tmp_path / "log" / "jobs.json").exists())


def test_a_client_that_is_killed_while_it_submits_leaves_no_job(tmp_path: Path) -> None:
    with started(tmp_path, "submitting") as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "here\n"
        guardian = guardians(psutil.Process(client.pid))
        client.kill()
        client.wait(30)
    system = local_system(tmp_path)
    # They may come and be cancelled between two looks.
    until(lambda: bool(system.pids()) or any(system.queue.glob("*.removed")))
    until(lambda: not system.pids())
    end(guardian)


def test_a_program_that_ends_without_a_close_leaves_no_job(tmp_path: Path) -> None:
    with started(tmp_path, "forgets") as client:
        client.wait(60)
    system = local_system(tmp_path)
    until(lambda: not system.pids())
    assert not (tmp_path / "log" / "guardian.log").exists()
