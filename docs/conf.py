"""How Sphinx builds these pages: ``nox -s docs``."""

import sys
from pathlib import Path
from typing import Any

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

# Warnings are errors, and every name must be found. The pages of other projects are not at hand where this
# is built; their names, and those of type variables, are left alone.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(aiohttp|asyncio|collections|contextlib|datetime|enum|os|pathlib|typing|yarl|web)\..*"),
    (r"py:.*", r"apimall_async\.testing\._contract\.Answer"),  # how a Fault is delivered is its own affair
    (
        r"py:.*",
        r"(Any|AsyncGenerator|Awaitable|Callable|Collection|Generator|Iterable|Mapping|Path|PathLike|Self|URL)",
    ),
]

html_theme = "furo"
html_title = f"apimall-async {release}"
html_static_path = ["_static"]
html_css_files = ["house.css"]
html_show_sphinx = False
html_copy_source = False
pygments_style = "friendly"
pygments_dark_style = "monokai"


def setup(app: Sphinx) -> None:
    """Mend two habits of the extensions."""
    app.connect("autodoc-process-docstring", _begin_attribute, priority=400)
    app.connect("autodoc-process-signature", _hide_signature)


def _begin_attribute(_: Sphinx, what: str, __: str, ___: object, ____: object, lines: list[str]) -> None:
    # Napoleon takes the words before a colon for a type, unless they are not in the first line.
    if what in {"attribute", "property"}:
        lines[:0] = ["..", ""]  # an empty comment


def _hide_signature(_: Sphinx, what: str, *others: Any) -> tuple[str, None] | None:
    # Users catch errors; how they are made is the client's business.
    signature = others[-2]
    return ("", None) if what == "exception" and signature else None
