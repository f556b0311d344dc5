"""Reads what a notebook is shown, and checks that it is made of the expected parts only."""

from datetime import UTC, datetime
from html.parser import HTMLParser

import attrs

from apimall_async import HistoryPage, ImageTask


MARKUP = {  # element: its attributes, each time
    "div": {"style", "class"},
    "table": {"style"},
    "caption": {"style"},
    "tbody": set[str](),
    "tr": set[str](),
    "th": {"scope", "style"},
    "td": {"colspan", "style"},
    "span": {"aria-hidden", "style"},
    "img": {"src", "alt", "width", "height", "loading", "referrerpolicy", "style"},
}
NOW = datetime(2026, 3, 12, 9, 30, tzinfo=UTC)
TASK = ImageTask("img_1", "nano-banana", "gempix2", NOW, "completed", 8, "https://cdn.example/1.webp", 0, NOW)


class Reader(HTMLParser):
    """Reads markup as a browser would, and keeps all that is in it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.others: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element."""
        assert len(dict(attrs)) == len(attrs), "an attribute stands twice"
        self.elements.append((tag, dict(attrs)))
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Match it with what is open."""
        assert self.open.pop() == tag
        self.text += "\n"

    def handle_data(self, data: str) -> None:
        """Keep text, with the references resolved."""
        self.text += data

    def handle_comment(self, data: str) -> None:
        """Keep what must not be there."""
        self.others.append(data)

    handle_decl = handle_pi = unknown_decl = handle_comment

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """List the elements of a kind, by their attributes."""
        return [attributes for name, attributes in self.elements if name == tag]


def read(value: HistoryPage | ImageTask) -> Reader:
    """Read what a notebook would show, and check that it is made of the expected parts only."""
    reader = Reader(value._repr_html_())
    assert not reader.open
    assert not reader.others
    for tag, attributes in reader.elements:
        assert attributes.keys() <= MARKUP[tag]
    for image in reader.all("img"):
        fixed = {name: text for name, text in image.items() if name not in {"src", "style"}}
        size = image["width"]
        assert fixed == {
            "alt": "",
            "width": size,
            "height": size,
            "loading": "lazy",
            "referrerpolicy": "no-referrer",
        }
    return reader


def page_of(*tasks: ImageTask) -> HistoryPage:
    """Make a page."""
    return HistoryPage(tasks, 1, 50, "req_1")


def parts(reader: Reader) -> list[tuple[str, dict[str, str | None]]]:
    """List the elements but the images: what is the same for every task."""
    return [(tag, attributes) for tag, attributes in reader.elements if tag != "img"]


HARMLESS = [
    TASK,
    attrs.evolve(TASK, status="failed", image_url=None, credits_refunded=8),
    attrs.evolve(TASK, status="pending", image_url=None, completed_at=None),
]
PAGE_PARTS = parts(read(page_of(*HARMLESS * 17)))  # more than a table shows
CARD_PARTS = [part for task in HARMLESS for part in parts(read(task))]


def check(shown: HistoryPage | ImageTask) -> None:
    """Check that elements and attributes are those of harmless tasks, and that the repr is a line.

    An image has the address that was sent; of one without a task's address there is none.
    """
    reader = read(shown)
    expected, tasks = (PAGE_PARTS, shown.items) if isinstance(shown, HistoryPage) else (CARD_PARTS, (shown,))
    assert [part for part in parts(reader) if part not in expected] == []
    sources = [image["src"] for image in reader.all("img")]
    urls = iter([task.image_url for task in tasks])
    assert all(source in urls for source in sources)  # in order, as ``in`` uses them up
    assert all((source or "").lower().startswith(("https://", "http://")) for source in sources)
    assert repr(shown).isprintable()
    assert len(repr(shown)) < 400
