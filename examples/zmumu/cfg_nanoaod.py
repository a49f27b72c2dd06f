"""Z -> mu mu on NanoAOD files of CMS: every .root file of the directory POCKET_EXEC_NANOAOD is a dataset.

Their cross sections are not known here, so simulation is normalised to 1 pb and 1/pb.
"""

import os
from pathlib import Path

from zmumu import ZmumuProcessor

directory = os.environ.get("POCKET_EXEC_NANOAOD")
if not directory:
    raise FileNotFoundError("name a directory with NanoAOD files in the environment variable POCKET_EXEC_NANOAOD")
files = sorted(Path(directory).absolute().glob("*.root"))
if not files:
    raise FileNotFoundError(f"there is no .root file in {directory} (POCKET_EXEC_NANOAOD)")

fileset = {
    file.stem: {
        "files": {str(file): "Events"},
        "metadata": {"sample": file.stem, "year": "unknown", "xsec": 1.0},
    }
    for file in files
}
# The single-muon triggers of the years; a file knows some of them.
processor = ZmumuProcessor(luminosity_pb=1.0, triggers=("IsoMu24", "IsoTkMu24", "IsoMu27", "IsoMu20"))
run_options = {"chunksize": 100_000}
