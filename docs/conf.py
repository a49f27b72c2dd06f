"""Configuration of Sphinx."""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HERE = Path(__file__).parent

project = "pocket-exec"
author = copyright = "pocket-exec developers"
release = version_of("pocket-exec")
version = release.partition("+")[0]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "generated", "benchmarks_table.md"]
html_theme = "furo"
html_title = "pocket-exec"
html_show_sphinx = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_class_signature = "separated"
napoleon_numpy_docstring = False


def setup(app: Sphinx) -> None:
    """Generate what comes from the code, before the pages that include it are read."""
    sys.path.insert(0, str(HERE))
    import generate

    app.connect("builder-inited", lambda _app: generate.main(HERE / "generated"))
