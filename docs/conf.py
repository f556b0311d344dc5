"""How Sphinx builds these pages: ``nox -s docs``."""

import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from apimall_async import __version__


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

# Warnings are errors, and every name must be found. The pages of other projects are not available where this
# is built, so their names, and those of type variables, are not looked up.
nitpicky = True
nitpick_ignore_regex = [
    (
        r"py:.*",
        r"(aiohttp|asyncio|cattrs|collections|contextlib|datetime|enum|os|pathlib|typing|yarl|web)\..*",
    ),
    (
        r"py:.*",
        r"(Any|AsyncGenerator|Awaitable|Callable|Collection|Converter|Generator|Iterable|Mapping|Path(Like)?|Self|URL)",
    ),
    (r"py:.*", r"apimall_async\.(.+\.)?[A-Z](_co)?"),  # type variables
    (r"py:.*", r"apimall_async\._conversion\.Page"),  # typing caches Page[T] with the module that it had
    (r"py:.*", r"apimall_async\._settings\.Default"),  # of arguments that nobody passes
]

html_theme = "furo"
html_title = f"apimall-async {release}"
html_static_path = ["_static"]
html_css_files = ["project.css"]
html_show_sphinx = False
html_copy_source = False
pygments_style = "friendly"
pygments_dark_style = "monokai"


def setup(app: Sphinx) -> None:
    """Correct what the extensions show."""
    app.connect("autodoc-process-docstring", _begin_attribute, priority=400)
    app.connect("autodoc-process-signature", _show_signature)
    app.connect("doctree-resolved", _mark_test_ids)


def _begin_attribute(_: Sphinx, what: str, __: str, ___: object, ____: object, lines: list[str]) -> None:
    # Napoleon takes the words before a colon for a type, unless they are not in the first line.
    if what in {"attribute", "property"}:
        lines[:0] = ["..", ""]  # an empty comment


def _show_signature(_: Sphinx, what: str, *others: Any) -> tuple[str, str | None] | None:
    name, *_, signature, returns = others
    if not signature:
        return None
    if what == "exception" or (what == "class" and name.endswith("Iterator")):  # users make none of them
        return "", None
    signature = re.sub(r", deliver: .*(?=\))", "", signature)  # nor how a Fault is delivered
    return re.sub("NOTHING", "{}", re.sub("<built-in function (.+?)>", r"time.\1", signature)), returns


def _mark_test_ids(_: Sphinx, tree: nodes.document, __: str) -> None:
    # They are long, and may break where nothing else in a table's cell may.
    for literal in tree.findall(nodes.literal):
        if "::test_" in literal.astext():
            literal["classes"].append("test-id")
