"""The starts whose whole scripts are pinned under tests/golden/worker, by the name of their file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pocket_exec.worker.environment import ClientPython
from pocket_exec.worker.image import Image
from pocket_exec.worker.start import WorkerStart, worker_start
from tests.unit.worker.worker_options import batch_options, run_files, started

FOLDER = Path(__file__).parents[2] / "golden" / "worker"
FLAT = "/cvmfs/unpacked.cern.ch/.flat/0a/0ab7056111caa7ef"
HOSTILE = [
    "plain",
    "a b",
    "a'; echo x",
    'q"=0"',
    "$(id)",
    "$$",
    "%h",
    "$HOME",
    "`id`",
    "ünï/côdé",
    "a,b:c=d",
    "-n",
    "\\",
    "*",
]


def lxplus() -> WorkerStart:
    """Image by the batch system, proxy in the user's own directory."""
    return started(batch_options("dask@lxplus", worker_image=FLAT), FLAT, proxy="/afs/cern.ch/user/p/physicist/x509")


def psi() -> WorkerStart:
    """No image."""
    return started(batch_options("dask@T3_CH_PSI"), client=ClientPython("/work/v/bin/python", "/work/v", "/usr"))


def psi_in_image() -> WorkerStart:
    """An image that the script starts, with a GPU and what it is left of the environment."""
    options = batch_options(
        "dask@T3_CH_PSI",
        mounts={"/pnfs": "/pnfs", "/work": "/work"},
        gpus_per_worker=1,
        container_options=["--writable-tmpfs"],
        env_script="setup.sh",
        custom_setup_commands=["ulimit -s unlimited", "source /cvmfs/grid.cern.ch/etc/profile.d/setup.sh"],
        host_setup_commands=["module load apptainer"],
    )
    return started(options, FLAT)


def transferred() -> WorkerStart:
    """No shared file system: all files are in the job's directory."""
    options = batch_options("dask@htcondor", shared_filesystem=False, worker_image="/home/p/my.sif", env_script="e.sh")
    image = Image("/home/p/my.sif", "/home/p/my.sif", file=Path("/home/p/my.sif"))
    files = run_files(environment=Path("/work/ana/out/log/run/environment.sh"))
    return worker_start(options, image, files, cfg_directory=Path("/work/ana"), proxy="x509_proxy")


def fetched() -> WorkerStart:
    """An image of a private registry that each worker fetches."""
    options = batch_options(container_runtime="singularity", container_home=True)
    return started(options, "docker://registry.example/a/b:c", files=run_files(login=Path("/work/ana/login.sh")))


def virtualenv() -> WorkerStart:
    """A virtual environment inside an image."""
    client = ClientPython("/home/p/venv/bin/python", "/home/p/venv", "/opt/python3.12")
    return started(batch_options(local_virtualenv=True), FLAT, client=client)


def conda() -> WorkerStart:
    """A conda environment."""
    client = ClientPython("/home/p/mamba/envs/ana/bin/python", "/usr", "/usr", "/home/p/mamba/envs/ana")
    return started(batch_options("dask@RWTH"), client=client)


def hostile() -> WorkerStart:
    """Every word that a user can choose, as it may come."""
    words = HOSTILE
    options = batch_options(
        mounts={f"/src/{word}": f"/dst/{word}" for word in words},
        env={f"WORD_{number}": word for number, word in enumerate(words)},
        env_script=f"/env/{words[2]}/{words[4]}.sh",
        working_dir=f"/cwd/{words[1]}/{words[3]}",
        executable=[f"/python/{words[2]}", *words],
        container_options=words,
        container_binary=f"/bin/{words[5]}",
        container_cache=f"/cache/$USER/{words[4]}",
        local_directory=f"/scratch/$USER/{words[4]}/${{USER}}",
        custom_setup_commands=[
            "if true; then # unbalanced",
            "cat <<'POCKET_EXEC_IN_IMAGE'\nPOCKET_EXEC_IN_IMAGE\n",
            "'",
        ],
    )
    return started(
        options,
        f"/images/{words[4]} {words[2]}",
        files=run_files(f"/run/{words[2]}/{words[5]}", login=Path(f"/run/{words[2]}/{words[5]}/login.sh")),
        cfg_directory=f"/cfg/{words[4]}",
        output_directory=f"/out/{words[6]}/{words[9]}",
        proxy=f"{words[1]}.pem",
    )


STARTS: dict[str, Callable[[], WorkerStart]] = {
    "lxplus": lxplus,
    "T3_CH_PSI": psi,
    "T3_CH_PSI-in-image": psi_in_image,
    "htcondor-transferred": transferred,
    "slurm-fetched-image": fetched,
    "slurm-virtualenv-in-image": virtualenv,
    "RWTH-conda": conda,
    "hostile": hostile,
}
