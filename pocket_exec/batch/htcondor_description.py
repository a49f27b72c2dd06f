"""Writes the submit description of HTCondor jobs: what is asked for in, text out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pocket_exec.batch.htcondor_text import classad_string, expression, listed, not_one_line, plain_value
from pocket_exec.batch.plain_words import plain_word
from pocket_exec.batch.queues import queue_for
from pocket_exec.batch.system import Resources, Submission
from pocket_exec.errors import Fault, OptionsError
from pocket_exec.options.batch import HTCondorOptions

RUN = "PocketExecRun"
"""Attribute of a job that holds its run's tag."""
FIRST = "PocketExecFirst"
"""Attribute of a job that names the first worker of its submission: no two submissions have one in common."""
WORKER = "PocketExecWorker"

_RESERVED = {
    "executable": "the script is this project's own",
    "arguments": "the script takes the worker's name only",
    "queue": "each worker is one job",
    "max_materialize": "workers are known by the jobs that are in the queue",
    "max_idle": "workers are known by the jobs that are in the queue",
    f"my.{RUN.lower()}": "jobs are found again by it",
    f"my.{FIRST.lower()}": "jobs are found again by it",
    f"my.{WORKER.lower()}": "jobs are found again by it",
}
_NAME = re.compile(r"\+?[A-Za-z_][\w.]*", re.ASCII)
"""A line begins with it; a blank would make another statement of it, such as ``queue 5`` or ``include : file``."""
_KIB, _MIB = 2**10, 2**20


def submit_description(submission: Submission, options: HTCondorOptions) -> str:
    """Return the submit description of all jobs of a submission.

    Raises:
        OptionsError: a path or setting that a submit description cannot hold, a walltime that no queue allows.
    """
    lines = dict(_lines(submission, options))
    settings: Mapping[str, bool | str | None] = options.htcondor_settings
    for key, value in settings.items():
        name = _same_name(key, lines)
        if value is None:
            lines.pop(name, None)
        else:
            lines[name] = _setting(key, value)
    names = "\n".join(f"  {plain_word('worker', name)}" for name in submission.names)
    body = "\n".join(f"{name} = {value}" for name, value in lines.items())
    return f"{body}\nqueue Worker in (\n{names}\n)\n"


def setting_faults(options: HTCondorOptions) -> list[Fault]:
    """Return what of ``htcondor-settings`` cannot stand in a submit description."""
    settings: Mapping[str, bool | str | None] = options.htcondor_settings
    times = {"walltime": options.walltime_attribute, "queue": options.queue_attribute}
    options_of = {f"my.{attribute}".lower(): option for option, attribute in times.items() if attribute}
    faults = []
    for key, value in settings.items():
        where = f"htcondor-settings.{key}"
        if why := _RESERVED.get(_canonical(key)):
            faults.append(Fault(where, f"cannot be set here: {why}"))
        elif not _NAME.fullmatch(key.strip()):
            faults.append(Fault(where, "is not the name of a line of a submit description"))
        elif value is not None and (option := options_of.get(_canonical(key))):
            faults.append(
                Fault(where, f"cannot be set here: write {option}, which tells the workers when to leave, too")
            )
        elif isinstance(value, str) and (why := not_one_line(value)):
            faults.append(Fault(where, why))
    return faults


def _lines(submission: Submission, options: HTCondorOptions) -> Iterator[tuple[str, str]]:
    tag = plain_word("tag", submission.tag)
    logs = plain_value("log-directory", submission.log_directory)
    yield from _image(submission, options)
    yield "executable", plain_value("script", submission.script)
    yield "arguments", "$(Worker)"
    yield "initialdir", plain_value("log-directory", submission.initial_directory)
    yield "output", f"{logs}/$(Worker).out"
    yield "error", f"{logs}/$(Worker).err"
    yield "log", f"{logs}/$(Worker).log"
    yield from _transfer(submission, options)
    yield "batch_name", tag
    yield f"MY.{RUN}", f'"{tag}"'
    yield f"MY.{FIRST}", f'"{submission.names[0]}"'
    yield f"MY.{WORKER}", '"$(Worker)"'
    yield from _resources(submission.resources)
    yield from _time(submission, options)
    if submission.account is not None:
        yield "accounting_group", plain_value("accounting-group", submission.account)
    if wanted := _requirements(options):
        yield "requirements", wanted
    if submission.proxy is not None:
        yield "use_x509userproxy", "True"
        yield "x509userproxy", plain_value("proxy", submission.proxy)


def _image(submission: Submission, options: HTCondorOptions) -> Iterator[tuple[str, str]]:
    image = submission.image
    if image is not None and options.image_attribute is None:
        yield "universe", "container"
        yield "container_image", plain_value("worker-image", image)
        # A file that the workers cannot see is copied to them; what they can see must not be.
        if image.startswith("/") and not submission.image_travels:
            yield "transfer_container", "False"
        return
    yield "universe", "vanilla"
    if image is not None:
        if submission.image_travels:
            raise OptionsError([_unseen(image)])
        yield f"MY.{options.image_attribute}", classad_string("worker-image", image)


def _unseen(image: str) -> Fault:
    return Fault(
        "worker-image",
        f"{image!r} is a file of this machine that the workers do not see (shared-filesystem: false), and "
        "image-attribute only names it; choose an image under /cvmfs, or copy it with image-attribute: null or "
        "container-runtime: apptainer",
    )


def _transfer(submission: Submission, options: HTCondorOptions) -> Iterator[tuple[str, str]]:
    transferred = options.spool or bool(submission.files) or not options.shared_filesystem
    yield "should_transfer_files", "YES" if transferred else "IF_NEEDED"
    if submission.files:
        yield "transfer_input_files", listed("transfer-files", submission.files)
    # The scratch directory would come back, with all that Dask has written to it.
    yield "transfer_output_files", '""'
    if not options.spool:
        # Else the output of a job that is removed is lost where it is transferred.
        yield "stream_output", "True"
        yield "stream_error", "True"


def _resources(resources: Resources) -> Iterator[tuple[str, str]]:
    yield "request_cpus", str(resources.cores)
    yield "request_memory", str(_rounded_up(resources.memory, _MIB))
    if resources.disk is not None:
        yield "request_disk", str(_rounded_up(resources.disk, _KIB))
    if resources.gpus:
        yield "request_gpus", str(resources.gpus)


def _time(submission: Submission, options: HTCondorOptions) -> Iterator[tuple[str, str]]:
    walltime = submission.resources.walltime_s
    queue = queue_for(submission.queue, walltime, options.queue_limits)
    if walltime is not None and options.walltime_attribute is not None:
        yield f"MY.{options.walltime_attribute}", str(walltime)
    elif queue is not None and options.queue_attribute is not None:
        yield f"MY.{options.queue_attribute}", classad_string("queue", queue)
    elif walltime is not None:
        # Removed, not held (as by allowed_execute_duration): nobody has to clean up after it.
        yield "periodic_remove", f"JobStatus == 2 && time() - EnteredCurrentStatus > {walltime}"


def _requirements(options: HTCondorOptions) -> str:
    terms = [f"({expression('requirements', term)})" for term in options.requirements]
    sites = [f"{options.site_attribute} == {classad_string('site-names', site)}" for site in options.site_names]
    if sites:
        terms.append(f"({' || '.join(sites)})")
    return " && ".join(terms)


def _rounded_up(number: int, unit: int) -> int:
    return -(-number // unit)


def _setting(key: str, value: bool | str) -> str:
    return expression(f"htcondor-settings.{key}", value if isinstance(value, str) else str(value))


def _canonical(key: str) -> str:
    """Return the name that HTCondor knows a line by: ``+X`` is ``MY.X``, and case does not count."""
    return _spelt(key).lower()


def _spelt(key: str) -> str:
    key = key.strip()
    return f"MY.{key[1:]}" if key.startswith("+") else key


def _same_name(key: str, lines: Mapping[str, str]) -> str:
    """Return the line that ``key`` is about, as it is spelt among ``lines``."""
    wanted = _canonical(key)
    return next((name for name in lines if name.lower() == wanted), _spelt(key))
