"""Tells files of one layout from others, without building the interpretation of each branch."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

_OF_BRANCH = ("fName", "fTitle", "fClassName", "fClassVersion", "fCheckSum", "fType", "fStreamerType", "fCountClass")
_OF_LEAF = ("fName", "fTitle", "fLen", "fLenType", "fIsUnsigned")


def signature(tree: Any) -> Hashable | None:
    """Return what the form of a TTree follows from: two trees of one signature have the same form.

    An interpretation follows from the branch's and its leaves' classes, titles and lengths, and for objects from the
    class, its version and its checksum (uproot.interpretation.identify). None for an RNTuple, and for what does not
    have these members.
    """
    try:
        return (tree.title, tuple(_branches(tree)))
    except (AttributeError, KeyError):
        return None


def _branches(parent: Any) -> Iterator[tuple[Hashable, ...]]:
    for branch in parent.branches:
        members = branch.all_members
        leaves = tuple(_leaf(leaf) for leaf in members["fLeaves"])
        inner = tuple(_branches(branch)) if branch.branches else ()
        yield (branch.classname, *(members.get(name) for name in _OF_BRANCH), leaves, inner)


def _leaf(leaf: Any) -> tuple[Hashable, ...]:
    members = leaf.all_members
    count = members.get("fLeafCount")
    return (
        leaf.classname,
        *(members.get(name) for name in _OF_LEAF),
        None if count is None else count.member("fName"),
    )
