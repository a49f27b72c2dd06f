"""Many chunks that do next to nothing, through an executor alone: what stays is what the client keeps.

python many_chunks.py EXECUTOR CHUNKS
"""

from __future__ import annotations

import sys
from typing import Any

import hist
from coffea.processor.executor import WorkItem
from own_script import opened

CHUNKS_OF_A_FILE = 100


def work_items(chunks: int) -> list[WorkItem]:
    """Return work items as coffea's Runner makes them."""
    return [
        WorkItem(
            dataset="dataset",
            filename=f"root://storage.example//store/data/file_{index // CHUNKS_OF_A_FILE:06d}.root",
            treename="Events",
            entrystart=1000 * (index % CHUNKS_OF_A_FILE),
            entrystop=1000 * (index % CHUNKS_OF_A_FILE) + 1000,
            fileuuid=(index // CHUNKS_OF_A_FILE).to_bytes(16, "big"),
            usermeta={"sample": "sample", "year": "2016"},
        )
        for index in range(chunks)
    ]


def small_result(item: WorkItem) -> dict[str, Any]:
    """Return what coffea's own function of a chunk returns, with a histogram of 100 bins."""
    histogram = hist.Hist.new.Reg(100, 0, 1, name="x").Weight()
    histogram.fill(x=[0.5])
    return {"out": {"histogram": histogram, "events": {item.dataset: len(item)}}, "processed": {item}}


def main(executor_name: str, chunks: str) -> None:
    """Run the chunks."""
    items = work_items(int(chunks))
    with opened(executor_name) as executor:
        total, error = executor.copy(desc="Processing", unit="chunk")(items, small_result, None)
    assert error == 0
    assert total["out"]["events"] == {"dataset": 1000 * len(items)}
    assert len(total["processed"]) == len(items)


if __name__ == "__main__":  # the worker processes import this file
    main(*sys.argv[1:])
