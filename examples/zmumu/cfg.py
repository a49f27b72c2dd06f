"""Z -> mu mu on the generated files: what to run (`generate.py` makes the input)."""

import json
import os
from pathlib import Path

from zmumu import SlimNanoAODSchema, ZmumuProcessor

HERE = Path(__file__).absolute().parent
DATA = Path(os.environ.get("POCKET_EXEC_ZMUMU_DATA") or HERE / "data").absolute()

if not (DATA / "samples.json").exists():
    raise FileNotFoundError(
        f"there is no input in {DATA}. Make it with\n    python {HERE / 'generate.py'} --out {DATA}\n"
        "or name the directory that has it in POCKET_EXEC_ZMUMU_DATA."
    )
generated = json.loads((DATA / "samples.json").read_text())

fileset = {
    dataset: {
        "files": {str(DATA / name): "Events" for name in sample["files"]},
        "metadata": sample["metadata"],  # sample, year, is_mc, and the cross section xsec in pb
    }
    for dataset, sample in generated["samples"].items()
}
processor = ZmumuProcessor(luminosity_pb=generated["luminosity_pb"])
schema = SlimNanoAODSchema
run_options = {"chunksize": 40_000}  # two baskets of the files
