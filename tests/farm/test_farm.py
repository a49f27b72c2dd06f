"""The farm is what the other tests take it for: a pool like CERN's, a cluster like PSI's, places shared and not."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.farm_build.farm import Farm

pytestmark = pytest.mark.farm

PROOF = "import sys, coffea, distributed, socket; print(sys.prefix, coffea.__version__, distributed.__version__)"
SITE = "T2_LNL_PD"


def submitted(farm: Farm, directory: Path, lines: Mapping[str, str], *options: str) -> str:
    """Submit one job to HTCondor and return its cluster's number."""
    said = {"output": "out", "error": "err", "log": "log", "initialdir": f"{directory}", "request_memory": "500"}
    text = "".join(f"{key} = {value}\n" for key, value in {**said, **lines}.items())
    (directory / "job.sub").write_text(f"{text}queue\n")
    answer = farm.run(["condor_submit", *options, "job.sub"], cwd=directory)
    found = re.search(r"submitted to cluster (\d+)", answer.stdout)
    assert found, answer
    return found[1]


def shell(command: str) -> dict[str, str]:
    """Say in a submit file that a shell's line is to be run."""
    return {"executable": "/bin/sh", "transfer_executable": "False", "arguments": f"\"-c '{command}'\""}


def finished(farm: Farm, directory: Path, seconds: int = 120) -> str:
    """Wait for the end of the job and return its output."""
    farm.run(["condor_wait", "-wait", f"{seconds}", "log"], cwd=directory, timeout_s=seconds + 10)
    assert (directory / "err").read_text() == ""
    return (directory / "out").read_text()


def slurm(farm: Farm, directory: Path, *words: str) -> str:
    """Run a Slurm job to its end and return its output."""
    farm.run(["sbatch", "--wait", "--quiet", "--output=out", *words], cwd=directory, timeout_s=180)
    return (directory / "out").read_text()


def until(farm: Farm, job: str, attribute: str, value: str, seconds: int = 120) -> None:
    """Wait until an attribute of a job in HTCondor's queue has a value."""
    end = time.monotonic() + seconds
    while (now := farm.run(["condor_q", job, "-af", attribute]).stdout.strip()) != value:
        assert time.monotonic() < end, f"{attribute} is {now}"
        time.sleep(0.5)


@pytest.mark.parametrize("way", ["site", "universe", "wrapper"])
def test_a_condor_job_runs_in_the_image(farm: Farm, shared_dir: Path, way: str) -> None:
    (shared_dir / "proof.py").write_text(PROOF)
    python = {"executable": "/opt/venv/bin/python", "transfer_executable": "False"}
    python["arguments"] = f"{shared_dir}/proof.py"
    lines = {
        "site": {**python, "MY.SingularityImage": f'"{farm.image}"'},
        "universe": {**python, "universe": "container", "container_image": farm.image},
        "wrapper": shell(f"exec apptainer exec -B {shared_dir} {farm.image} python {shared_dir}/proof.py"),
    }[way]
    submitted(farm, shared_dir, lines)
    here = farm.run([farm.python, "-c", PROOF]).stdout.split()
    assert finished(farm, shared_dir).split() == ["/opt/venv", *here[1:]]


def test_a_spooled_job_hands_its_output_back_when_it_is_fetched(farm: Farm, unshared_dir: Path) -> None:
    (unshared_dir / "input").write_text("carried")
    lines = {**shell("cat input"), "transfer_input_files": "input", "should_transfer_files": "YES"}
    job = submitted(farm, unshared_dir, lines, "-spool")
    until(farm, job, "JobStatus", "4")
    farm.run(["condor_transfer_data", job], cwd=unshared_dir)
    farm.run(["condor_rm", job])
    assert (unshared_dir / "out").read_text() == "carried"


def test_files_are_transferred_into_an_image_without_a_shared_folder(farm: Farm, unshared_dir: Path) -> None:
    (unshared_dir / "input").write_text("carried")
    image = {"MY.SingularityImage": f'"{farm.image}"', "should_transfer_files": "YES", "transfer_input_files": "input"}
    submitted(farm, unshared_dir, {**shell("cat input; test -w /tmp"), **image})
    assert finished(farm, unshared_dir) == "carried"


def test_a_slurm_job_runs_plain_and_in_the_image(farm: Farm, shared_dir: Path) -> None:
    (shared_dir / "proof.py").write_text(PROOF)
    plain = slurm(farm, shared_dir, "--wrap", f"{farm.python} proof.py").split()
    image = slurm(farm, shared_dir, "--wrap", f"apptainer exec -B $PWD {farm.image} python $PWD/proof.py").split()
    assert (plain[0], image[0]) == (farm.holding.venv, "/opt/venv")
    assert plain[1:] == image[1:]


def test_slurm_has_the_partitions_of_psi(farm: Farm) -> None:
    rows = farm.run(["sinfo", "-h", "-o", "%P %l"]).stdout.splitlines()
    assert sorted(rows) == ["long 7-00:00:00", "quick 1:00:00", "standard* 12:00:00"]


def test_an_array_larger_than_slurms_limit_is_refused(farm: Farm, shared_dir: Path) -> None:
    words = ["sbatch", "--array=0-101", "--wrap", "true"]
    refused = farm.run(words, cwd=shared_dir, check=False)
    assert refused.returncode == 1
    assert "Invalid job array specification" in refused.stderr


def test_a_job_beyond_its_max_runtime_is_removed(farm: Farm, shared_dir: Path) -> None:
    job = submitted(farm, shared_dir, {**shell("sleep 300"), "+MaxRuntime": "3"})
    assert finished(farm, shared_dir) == ""
    history = ["condor_history", job, "-limit", "1", "-af", "JobStatus", "RemoveReason"]
    assert "3 Job removed by SYSTEM_PERIODIC_REMOVE due to wall time" in farm.run(history).stdout


def test_a_flavour_sets_the_walltime_of_a_job(farm: Farm, shared_dir: Path) -> None:
    expression = farm.run(["condor_config_val", "FARM_WALLTIME_S"]).stdout.strip()
    known = {"": 1200, "espresso": 1200, "microcentury": 3600, "longlunch": 7200, "workday": 28800}
    known |= {"tomorrow": 86400, "testmatch": 259200, "nextweek": 604800}
    for flavour, seconds in known.items():
        job = shared_dir / "job.ad"
        job.write_text(f'JobFlavour = "{flavour}"\n' if flavour else "Owner = 1\n")
        words = ["condor_status", "-ads", f"{job}", "-af", expression]
        assert farm.run(words).stdout.strip() == f"{seconds}"


def test_a_job_beyond_its_memory_is_held_and_says_so(farm: Farm, shared_dir: Path) -> None:
    (shared_dir / "eat.py").write_text("import time; eaten = bytearray(400 << 20); time.sleep(300)")
    lines = {**shell(f"exec {farm.python} eat.py"), "request_memory": "100"}
    job = submitted(farm, shared_dir, lines)
    until(farm, job, "JobStatus", "5")
    held = farm.run(["condor_q", job, "-af", "HoldReasonCode", "HoldReason"]).stdout
    farm.run(["condor_rm", job])
    assert held == "26 Job has gone over memory limit of 100 megabytes.\n"


def test_a_job_runs_only_at_the_site_that_it_requires(farm: Farm, shared_dir: Path) -> None:
    elsewhere = submitted(farm, shared_dir, {**shell("true"), "requirements": 'SiteName == "T2_XX"', "log": "other"})
    submitted(farm, shared_dir, {**shell("echo here"), "requirements": f'SiteName == "{SITE}"'})
    assert finished(farm, shared_dir) == "here\n"
    waits = farm.run(["condor_q", elsewhere, "-af", "JobStatus"]).stdout
    farm.run(["condor_rm", elsewhere])
    assert waits == "1\n"


@pytest.mark.parametrize("system", ["condor", "slurm", "image"])
def test_jobs_see_the_shared_folder_and_not_the_clients_own(
    farm: Farm, shared_dir: Path, unshared_dir: Path, system: str
) -> None:
    command = f"ls -d {shared_dir} {unshared_dir} {farm.unshared}/{farm.user} 2>/dev/null; true"
    seen_by_client = farm.run(["sh", "-c", command]).stdout.split()
    assert set(seen_by_client) == {f"{shared_dir}", f"{unshared_dir}", f"{unshared_dir.parent}"}
    if system == "slurm":
        seen = slurm(farm, shared_dir, "--wrap", command)
    else:
        image = {"MY.SingularityImage": f'"{farm.image}"'} if system == "image" else {}
        submitted(farm, shared_dir, {**shell(command), **image})
        seen = finished(farm, shared_dir)
    assert seen.split() == [f"{shared_dir}"]


def test_the_images_are_laid_out_as_on_unpacked(farm: Farm) -> None:
    link = farm.run(["readlink", farm.image]).stdout.strip()
    assert re.fullmatch(r"\.\./\.\./\.flat/([0-9a-f]{2})/\1[0-9a-f]{62}", link)
    deeper = farm.run(["readlink", farm.images["without-python"]]).stdout
    assert deeper.startswith("../../../.flat/")


@pytest.mark.parametrize(
    ("purpose", "says"),
    [
        ("without-python", "executable file not found"),
        ("other-python", "No module named 'distributed'"),
        ("other-distributed", "distributed other, coffea same"),
        ("other-coffea", "distributed same, coffea other"),
    ],
)
def test_an_image_that_does_not_fit_is_wrong_in_one_thing(farm: Farm, purpose: str, says: str) -> None:
    code = (
        "import distributed, coffea, sys; words = zip(('distributed', 'coffea'), (distributed, coffea), sys.argv[1:])\n"
    )
    code += "print(', '.join(f\"{n} {'same' if m.__version__ == v else 'other'}\" for n, m, v in words))"
    version = "import distributed, coffea; print(distributed.__version__, coffea.__version__)"
    mine = farm.run([farm.python, "-c", version]).stdout.split()
    done = farm.run(["apptainer", "exec", farm.images[purpose], "python", "-c", code, *mine], check=False)
    assert says in done.stdout + done.stderr


def test_the_client_is_an_ordinary_user_on_a_host_of_any_name(farm: Farm) -> None:
    assert farm.run(["id", "-un"], hostname="lxplus901.farm.test").stdout == f"{farm.user}\n"
    assert farm.run(["hostname", "-f"], hostname="lxplus901.farm.test").stdout == "lxplus901.farm.test\n"
    assert farm.run(["touch", "/etc/x"], check=False).returncode == 1
    assert farm.run(["condor_q"], hostname="lxplus901.farm.test").returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_reaches_the_client_itself(farm: Farm, number: signal.Signals) -> None:
    with farm.popen(["sh", "-c", "echo on; exec sleep 60"], stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "on\n"
        os.kill(client.pid, number)
        assert client.wait(10) == -number


def test_nothing_of_the_farm_listens_outside(farm: Farm) -> None:
    assert farm.run(["sh", "-c", "ls /sys/class/net >/dev/null; ip -brief link | cut -d' ' -f1"]).stdout == "lo\n"


def test_who_is_not_root_is_told_in_one_line(farm: Farm) -> None:
    words = [f"{farm.python}", "-m", "tests.farm_build", "up"]
    told = farm.run(words, cwd=Path(__file__).parents[2], check=False)
    assert (told.returncode, told.stderr.count("\n")) == (69, 1)
    assert "needs root" in told.stderr
