"""How Sphinx builds these pages: ``nox -s docs``."""

import re
import sys
from pathlib import Path
from typing import Any, get_type_hints

from docutils import nodes
from sphinx.application import Sphinx

from apimall_async import ImageTask, __version__


sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "apimall-async"
author = "The apimall-async authors"
copyright = "The apimall-async authors"  # noqa: A001 - Sphinx's name for it
release = version = __version__

extensions = ["module_picture", "notebook", "myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88

# Warnings are errors, and every name must be found. The pages of other projects are not at hand where this
# is built; their names, and those of type variables, are left alone.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(aiohttp|asyncio|collections|contextlib|datetime|enum|os|pathlib|typing|yarl|web)\..*"),
    (
        r"py:.*",
        r"(Any|AsyncGenerator|Awaitable|Callable|Collection|Generator|Iterable|Mapping|Path|PathLike|Self|URL)",
    ),
]

# The bounds that msgspec checks say in code what the docstrings say in words.
ImageTask.__annotations__ = ImageTask.__init__.__annotations__ = get_type_hints(ImageTask)

html_theme = "furo"
html_title = f"apimall-async {release}"
html_static_path = ["_static"]
html_css_files = ["house.css"]
html_show_sphinx = False
html_copy_source = False
pygments_style = "friendly"
pygments_dark_style = "monokai"


def setup(app: Sphinx) -> None:
    """Mend some habits of the extensions."""
    app.connect("autodoc-process-docstring", _begin_attribute, priority=400)
    app.connect("autodoc-process-signature", _show_signature)
    app.connect("doctree-resolved", _mark_test_ids)


def _begin_attribute(_: Sphinx, what: str, __: str, ___: object, ____: object, lines: list[str]) -> None:
    # Napoleon takes the words before a colon for a type, unless they are not in the first line.
    if what in {"attribute", "property"}:
        lines[:0] = ["..", ""]  # an empty comment


def _show_signature(_: Sphinx, what: str, *others: Any) -> tuple[str, str | None] | None:
    *_, signature, returns = others
    if not signature:
        return None
    if what == "exception":  # users catch errors; how they are made is the client's business
        return "", None
    signature = re.sub(r", deliver: .*(?=\))", "", signature)  # nor how a Fault is delivered
    return re.sub("NOTHING", "{}", re.sub("<built-in function (.+?)>", r"time.\1", signature)), returns


def _mark_test_ids(_: Sphinx, tree: nodes.document, __: str) -> None:
    # They are long, and may break where nothing else in a table's cell may.
    for literal in tree.findall(nodes.literal):
        if "::test_" in literal.astext():
            literal["classes"].append("test-id")
