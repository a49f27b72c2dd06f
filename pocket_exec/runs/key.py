"""What decides the content of a result, and in which words two such keys differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pydantic import Field

from pocket_exec.runs.part import Part

_IN_WORDS = {"files": "other files", "chunks": "other chunks", "metadata": "other metadata"}


SKIP_BAD_FILES = "skip-bad-files"


class ContentKey(Part):
    """What decides the numbers in a result, each part as a digest or as text; scaleout and queue are not among it."""

    processor_code: dict[str, str] = Field(default_factory=dict)
    """Digest of each source file, or of each class and function without one."""
    processor_state: dict[str, str] = Field(default_factory=dict)
    """Digest of each attribute of the processor."""
    depends_on: dict[str, str] = Field(default_factory=dict)
    """Digest of each file named by `depends-on`."""
    options: dict[str, str] = Field(default_factory=dict)
    """Value of each option that decides content, as text: `chunksize`, `schema`, `format`, `skip-bad-files`, ..."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Version of each library that decides content: coffea, awkward."""
    datasets: dict[str, dict[str, str]] = Field(default_factory=dict)
    """For each dataset, in the order of the fileset, the digests of its `files`, `chunks` and `metadata`."""

    def of(self, datasets: Iterable[str]) -> ContentKey:
        """Return the key of a result that holds these datasets only."""
        held = {name: self.datasets[name] for name in datasets if name in self.datasets}
        return self.model_copy(update={"datasets": held})

    def of_readable(self) -> ContentKey:
        """Return the key of a result of which nothing was left out: `skip-bad-files` or not, it is the same."""
        return self.model_copy(update={"options": {k: v for k, v in self.options.items() if k != SKIP_BAD_FILES}})


def differences(then: ContentKey, now: ContentKey) -> tuple[str, ...]:
    """Return in words what has changed from ``then`` to ``now``; nothing when both decide the same content.

    >>> differences(ContentKey(options={"chunksize": "100000"}), ContentKey(options={"chunksize": "50000"}))
    ('chunksize: 100000 then, 50000 now',)
    """
    return (
        *_named("processor code changed", then.processor_code, now.processor_code),
        *_named("processor state changed", then.processor_state, now.processor_state),
        *_named("depends-on changed", then.depends_on, now.depends_on),
        *_values(then.options, now.options, "not set"),
        *_values(then.versions, now.versions, "none"),
        *_datasets(then.datasets, now.datasets),
    )


def _changed(then: Mapping[str, object], now: Mapping[str, object]) -> Sequence[str]:
    return [name for name in {**then, **now} if then.get(name) != now.get(name)]


def _named(what: str, then: Mapping[str, str], now: Mapping[str, str]) -> Iterable[str]:
    changed = _changed(then, now)
    return [f"{what}: {', '.join(changed)}"] if changed else []


def _values(then: Mapping[str, str], now: Mapping[str, str], absent: str) -> Iterable[str]:
    return [f"{name}: {then.get(name, absent)} then, {now.get(name, absent)} now" for name in _changed(then, now)]


def _datasets(then: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, str]]) -> Iterable[str]:
    yield from (f"dataset {name!r} is new" for name in now if name not in then)
    yield from (f"dataset {name!r} is no longer in it" for name in then if name not in now)
    for name in now:
        for part in _changed(then[name], now[name]) if name in then else ():
            yield f"dataset {name!r} has {_IN_WORDS.get(part, f'another {part}')}"
    if list(then) != list(now) and set(then) == set(now):
        yield "the datasets are in another order"
