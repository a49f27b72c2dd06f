"""An exception on its way from a worker: with its type, so that the caller can catch it by that."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import cloudpickle

from pocket_exec.engine.unpickling import loads

LARGEST = 100_000
"""Bytes of one exception; what is larger carries data along, and stays behind."""


def packed(errors: Sequence[BaseException]) -> tuple[bytes, ...]:
    """Return those of ``errors``, each the cause of the one before, that come out of a pickle as they went in."""
    return tuple(data for error in errors if (data := _packed(error)) is not None)


def _packed(error: BaseException) -> bytes | None:
    try:
        data: bytes = cloudpickle.dumps(error)
        whole = len(data) <= LARGEST and type(loads(data)) is type(error)
    except Exception:  # noqa: BLE001 - each type refuses in its own way
        return None
    return data if whole else None


def again(errors: Sequence[bytes]) -> BaseException | None:
    """Return the first of the errors, with the others as its causes; None where there is none that can be read here."""
    chain = []
    for data in errors:
        try:
            chain.append(loads(data))
        except Exception:  # noqa: BLE001 - a class that this process does not have
            continue
    for error, cause in itertools.pairwise(chain):
        error.__cause__ = cause
    return chain[0] if chain else None
