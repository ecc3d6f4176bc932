"""How Sphinx builds the documentation site: ``make docs``, without a network."""

import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

import autorec._mxnet  # here, where nobody listens to what MXNet logs

ROOT = Path(__file__).parents[1]
#: Of the pages that are not in English.
LANGUAGES = {"notebooks/autorec.pt": "pt-BR"}
sys.path.insert(0, str(ROOT / "docs"))

project = "autorec"
author = "The autorec developers"
project_copyright = "the autorec developers"
version = release = autorec.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",
    "sphinx_copybutton",
    "command_line",
]
exclude_patterns = ["_static", "**/.ipynb_checkpoints"]

# Pages are Markdown; notebooks are shown as they are committed, with the outputs they have.
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "smartquotes"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_render_markdown_format = "myst"
nb_merge_streams = True

# Docstrings: single backticks are names, linked where the reference has them.
default_role = "py:obj"
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

copybutton_exclude = ".linenos, .gp, .go"

html_theme = "furo"
html_title = "autorec"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}


def bring_notebooks(app: Sphinx) -> None:
    """Copy the notebooks to where Sphinx finds them; links out of their folder lead on."""
    folder = ROOT / "docs" / "notebooks"
    folder.mkdir(exist_ok=True)
    originals = {path.name: path for path in (ROOT / "notebooks").glob("*.ipynb")}
    for copy in folder.glob("*.ipynb"):
        if copy.name not in originals:
            copy.unlink()
    for name, original in originals.items():
        text = original.read_text().replace("](../", "](../../").replace("](../../docs/", "](../")
        copy = folder / name
        if not copy.exists() or copy.read_text() != text:  # what is new is built again
            copy.write_text(text)


def lead_to_notebooks(app: Sphinx, docname: str, source: list[str]) -> None:
    """Have the links of pages, which are those of the repository, lead to the copies."""
    source[0] = source[0].replace("](../notebooks/", "](notebooks/")


def name_language(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Say of a page that is not in English in which language it is."""
    context["language"] = LANGUAGES.get(pagename, "en")


def setup(app: Sphinx) -> None:
    """Do all three at each build."""
    app.connect("html-page-context", name_language)
    app.connect("builder-inited", bring_notebooks)
    app.connect("source-read", lead_to_notebooks)
