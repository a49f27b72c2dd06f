"""How a file's events lie in it: their size, and where its baskets, clusters or row groups end."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Any


@dataclass(frozen=True)
class Layout:
    """What can be known of a file without reading an event."""

    entries: int
    bytes: int
    """Uncompressed size of all events; 0 where the file does not tell."""
    basket: int
    """Events that are decompressed together, about: in a basket, cluster or row group; 0 where there is none."""
    clusters: tuple[int, ...] | None
    """Entry numbers at which all columns begin anew, 0 and the end among them; None where they were not asked for."""


def tree_layout(tree: Any, *, clusters: bool) -> Layout:
    """Return the layout of a TTree, or RNTuple, that uproot has read."""
    from uproot.behaviors.RNTuple import HasFields

    return _of_rntuple(tree) if isinstance(tree, HasFields) else _of_ttree(tree, clusters=clusters)


def _of_ttree(tree: Any, *, clusters: bool) -> Layout:
    filled = [branch for branch in tree.itervalues(recursive=True) if branch.num_baskets]
    sizes = [branch.uncompressed_bytes for branch in filled]
    # The small ones have the largest baskets, and cost the least.
    weighted = sum(size * branch.num_entries / branch.num_baskets for branch, size in zip(filled, sizes, strict=True))
    basket = round(weighted / sum(sizes)) if sum(sizes) else 0
    common = tuple(map(int, tree.common_entry_offsets())) if clusters else None
    return Layout(tree.num_entries, int(tree.uncompressed_bytes), basket, common)


def _of_rntuple(ntuple: Any) -> Layout:
    starts = [int(cluster.num_first_entry) for cluster in ntuple.cluster_summaries]
    bits = sum(
        record.nbits * abs(page.num_elements)
        for cluster in ntuple.page_link_list
        for record, column in zip(ntuple.column_records, cluster, strict=False)
        for page in column.pages
    )
    entries = int(ntuple.num_entries)
    return Layout(entries, bits // 8, _mean(entries, len(starts)), tuple(sorted({*starts, entries})))


def parquet_layout(name: str) -> Layout:
    """Return the layout of a Parquet file.

    Raises:
        OSError: it cannot be opened; pyarrow.ArrowInvalid where it is something else.
    """
    from pyarrow import parquet

    found = parquet.read_metadata(name)
    groups = [found.row_group(number) for number in range(found.num_row_groups)]
    ends = tuple(accumulate((group.num_rows for group in groups), initial=0))
    size = sum(group.total_byte_size for group in groups)
    return Layout(found.num_rows, size, _mean(found.num_rows, len(groups)), ends)


def _mean(entries: int, parts: int) -> int:
    return round(entries / parts) if parts else 0
