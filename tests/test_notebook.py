"""The notebook of the documentation runs in a real kernel, and shows what it says."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from apimall_async.testing import LocalGateway, sample_history


pytestmark = pytest.mark.docs

REASON = "the dependency group `notebook` is not installed"
nbformat = pytest.importorskip("nbformat", reason=REASON)
nbclient = pytest.importorskip("nbclient", reason=REASON)
pretty = pytest.importorskip("IPython.lib.pretty", reason=REASON)
for name in ("ipykernel", "pandas", "matplotlib"):
    pytest.importorskip(name, reason=REASON)

PATH = Path(__file__).parent.parent / "docs" / "examples" / "history.ipynb"


@pytest.fixture(scope="module")
def gateway() -> Any:
    """Run a gateway whose history is some days long."""
    with LocalGateway(10_000).in_thread() as gateway:
        yield gateway


@pytest.fixture(scope="module")
def cells(gateway: LocalGateway, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run the notebook as it stands, and find its cells by their ids."""
    notebook = nbformat.read(PATH, as_version=4)
    own = str(tmp_path_factory.mktemp("home"))  # no settings or startup files of the developer's
    env = os.environ | {
        "APIMALL_API_KEY": gateway.api_key,
        "APIMALL_BASE_URL": gateway.url,
        "IPYTHONDIR": own,
        "MPLCONFIGDIR": own,
    }
    nbclient.NotebookClient(notebook, timeout=120).execute(env=env)
    return {cell.id: cell for cell in notebook.cells}


def data(cell: Any) -> Any:
    """Return the one output of a cell, by its types."""
    (output,) = cell.outputs
    return output.data


def test_a_page_shows_itself_as_a_table(cells: dict[str, Any], gateway: LocalGateway) -> None:
    """With the images, and in a terminal as a line."""
    shown = data(cells["page"])
    html, tasks = shown["text/html"], gateway.tasks[:8]
    assert re.findall(r'src="([^"]*)"', html) == [task.image_url for task in tasks if task.image_url]
    assert [task.task_id for task in tasks if task.task_id not in html] == []
    assert shown["text/plain"].startswith("<HistoryPage page=1 limit=8: 8 tasks, ")


def test_the_frame_holds_every_task(cells: dict[str, Any]) -> None:
    """It shows few of them."""
    html = data(cells["frame"])["text/html"]
    assert "10000 rows" in html
    assert html.count("<tr") < 20


def test_the_chart_is_an_image(cells: dict[str, Any]) -> None:
    """It has something on it."""
    assert len(data(cells["chart"])["image/png"]) > 10_000


def test_the_lost_task_is_found(cells: dict[str, Any], gateway: LocalGateway) -> None:
    """The one of that time is among those near it, each a line, and then shown by itself."""
    lost = gateway.tasks[5_000]
    lines = data(cells["recover"])["text/plain"].splitlines()
    assert len(lines) <= 10
    assert sum(f"<ImageTask {lost.task_id} " in line for line in lines) == 1
    assert lost.task_id in data(cells["task"])["text/html"]


def test_it_shows_nothing_else(cells: dict[str, Any], gateway: LocalGateway) -> None:
    """No warning, no leftover of the client's, and not the key."""
    outputs = {id_: cell.outputs for id_, cell in cells.items() if cell.get("outputs")}
    assert outputs.keys() == {"page", "frame", "chart", "recover", "task"}
    assert gateway.api_key not in json.dumps(outputs)


def test_the_repository_holds_no_outputs() -> None:
    """Nor counts, nor traces of who ran it; and it is in the form that Jupyter writes."""
    text = PATH.read_text()
    notebook = json.loads(text)
    nbformat.validate(notebook)
    assert notebook["metadata"].keys() == {"kernelspec", "language_info"}
    assert notebook["metadata"]["language_info"] == {"name": "python"}
    for cell in notebook["cells"]:
        assert cell["metadata"] == {}
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
    assert text == json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def test_thousands_of_tasks_are_cut_short() -> None:
    """A cell that ends with a list of tasks shows a line for each, and a thousand at most."""
    lines = pretty.pretty(sample_history(5_000)).splitlines()
    assert len(lines) == 1_001
    assert lines[-1] == " ...]"
    assert max(map(len, lines)) < 120
