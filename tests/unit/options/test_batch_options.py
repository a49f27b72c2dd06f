"""What the options of a job ask for is held against what the site gives, and what does nothing is told."""

from __future__ import annotations

import pytest

from pocket_exec.errors import OptionsError
from pocket_exec.options.defaults import built_in_executors, defaults_layers, model_for
from pocket_exec.options.kinds import GeneralOptions
from pocket_exec.options.layers import Layer
from pocket_exec.options.resolve import Resolved, resolve


def resolved(executor: str, *layers: Layer) -> Resolved[GeneralOptions]:
    """Resolve what a user has said in layers."""
    known = built_in_executors()
    return resolve(executor, model_for(executor), defaults_layers(executor), layers, known_executors=known)


def test_everything_that_a_site_does_not_give_is_told_at_once_with_the_origins_of_wish_and_limit() -> None:
    site = Layer("site.yaml, line 3", {"mem-per-worker-limit": "4GB", "cores-per-worker-limit": 8})
    wish = Layer("flags", {"mem-per-worker": "5GB", "cores-per-worker": 16, "walltime": "8d", "scalout": 2})
    with pytest.raises(OptionsError) as caught:
        resolved("dask@lxplus", site, wish, Layer("more", {"chunksizes": 1}))
    assert [str(fault) for fault in caught.value.faults] == [
        "chunksizes (more): no such option; did you mean 'chunksize'?",
        (
            "walltime (flags): '192:00:00' is longer than any queue lets a job run; "
            "the longest is 'nextweek' ('168:00:00')"
        ),
        (
            "mem-per-worker (flags): '5GB' is more than a job may ask for here: "
            "mem-per-worker-limit (site.yaml, line 3) is '4GB'"
        ),
        (
            "cores-per-worker (flags): '16' is more than a job may ask for here: "
            "cores-per-worker-limit (site.yaml, line 3) is '8'"
        ),
    ]


def test_what_would_be_no_time_and_no_memory_at_all_is_refused() -> None:
    with pytest.raises(OptionsError) as caught:
        resolved("dask@slurm", Layer("flags", {"poll-interval": 0, "walltime": "0", "memory-fraction": 0}))
    assert {str(fault) for fault in caught.value.faults} == {
        "poll-interval (flags): must be 1 or more, not 0",
        "walltime (flags): must be 1 or more, not '0'",
        "memory-fraction (flags): must be more than 0, not 0",
    }


def test_a_wish_at_the_limit_or_without_one_is_granted() -> None:
    resolved("dask@lxplus", Layer("site", {"mem-per-worker-limit": "4GB", "mem-per-worker": "4GB"}))
    resolved("dask@lxplus", Layer("flags", {"mem-per-worker": "4TB", "cores-per-worker": 512}))


def test_what_the_batch_systems_own_way_to_an_image_does_not_obey_is_told_if_the_user_has_set_it() -> None:
    assert resolved("dask@lxplus").notes == ()
    mine = Layer("flags", {"mounts": {"/data": "/data"}, "container-home": True, "container-options": ["--cleanenv"]})
    assert resolved("dask@lxplus", mine).notes == (
        (
            "container-options, container-home, mounts: no effect, as the batch system starts the image "
            "(container-runtime: site) as the site has set it up"
        ),
    )
    assert resolved("dask@lxplus", mine, Layer("flags", {"container-runtime": "auto"})).notes == ()


def test_what_concerns_an_image_is_told_where_there_is_none() -> None:
    (note,) = resolved("dask@htcondor", Layer("flags", {"mounts": {"/data": "/data"}})).notes
    assert note == "mounts: no effect, as the workers run in no image (worker-image, container-runtime)"


def test_a_misspelt_queue_is_told_where_the_queues_are_known() -> None:
    with pytest.raises(OptionsError) as caught:
        resolved("dask@lxplus", Layer("flags", {"queue": "longlunc"}))
    (fault,) = caught.value.faults
    assert str(fault).startswith("queue (flags): 'longlunc' is none of the queues here (espresso, microcentury, ")
    assert str(fault).endswith("; did you mean 'longlunch'?")
    limits = Layer("flags", {"queue": "april", "queue-limits": {"april": "2w"}})
    assert resolved("dask@lxplus", limits).options.option_value("queue") == "april"
    assert resolved("dask@htcondor", Layer("flags", {"queue": "whatever"})).options.option_value("queue") == "whatever"
