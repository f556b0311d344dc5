"""Run a notebook when the pages are built, and show it with its outputs: ``{notebook} PATH``."""

import os
import re
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import nbformat
from nbclient import NotebookClient
from sphinx.application import Sphinx

from apimall_async.testing import LocalGateway


FENCE = "~" * 12  # longer than any in a notebook
BLOCK = re.compile(r"^```\{notebook\} (.+)\n```$", re.MULTILINE)


def show_notebooks(app: Sphinx, _: str, source: list[str]) -> None:
    """Put notebooks into a page before it is parsed; no directive could return headings and text in order."""

    def show(block: re.Match[str]) -> str:
        relative, path = app.env.relfn2path(block[1])
        app.env.note_dependency(relative)
        return "\n\n".join(_render(_execute(Path(path))))

    source[0] = BLOCK.sub(show, source[0])


def _execute(path: Path) -> Any:
    notebook = nbformat.read(path, as_version=4)
    with LocalGateway(20_000).in_thread() as gateway:
        env = os.environ | {"APIMALL_API_KEY": gateway.api_key, "APIMALL_BASE_URL": gateway.url}
        # The kernel would warn that its TCP connections are unencrypted; they are on loopback.
        NotebookClient(notebook, timeout=120, extra_arguments=["--log-level=ERROR"]).execute(env=env)
        for output in _outputs(notebook):
            if "text/html" in output.get("data", {}):
                output["data"]["text/html"] = _embed(output["data"]["text/html"], gateway.url)
    return notebook


def _outputs(notebook: Any) -> Iterator[Any]:
    for cell in notebook.cells:
        yield from cell.get("outputs", ())


def _embed(html: str, origin: str) -> str:
    """Put the gateway's images into the page: when the page is read, there is no gateway any more."""
    fetch = build_opener(ProxyHandler({})).open

    def load(found: re.Match[str]) -> str:
        with fetch(found[1]) as response:
            return f'src="data:image/svg+xml;base64,{b64encode(response.read()).decode()}"'

    return re.sub(rf'src="({re.escape(origin)}/[^"]+)"', load, html)


def _render(notebook: Any) -> Iterator[str]:
    """Write the cells and their outputs as MyST, below a heading of the page instead of the title."""
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            text = cell.source if number else cell.source.partition("\n")[2]
            yield re.sub("^##", "###", text, flags=re.MULTILINE)
        else:
            yield _fenced("python", cell.source)
            yield from map(_render_output, cell.outputs)


def _render_output(output: Any) -> str:
    data = output.get("data", {"text/plain": output.get("text", "")})
    if "text/html" in data:
        frame = '<table border="1" class="dataframe">'  # the theme knows tables by another class
        html = data["text/html"].replace(frame, '<table class="docutils dataframe">')
        return _fenced("{raw} html", f'<div class="table-wrapper">{html}</div>')
    if "image/png" in data:
        png = data["image/png"].replace("\n", "")
        return _fenced("{raw} html", f'<img alt="The chart" src="data:image/png;base64,{png}">')
    return _fenced("text", data["text/plain"])


def _fenced(language: str, text: str) -> str:
    return f"{FENCE}{language}\n{text}\n{FENCE}"


def setup(app: Sphinx) -> dict[str, Any]:
    """Listen for pages."""
    app.connect("source-read", show_notebooks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
