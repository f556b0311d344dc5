"""Pages into one iteration over a list that changes while it is read. Knows no HTTP.

A page is a range of a list that moves: new items push all others down, deletions pull those behind them up.
Iterations remember the ids that they handed out last. So they can tell what on a page is new, what is known,
and where they stand.
"""

from apimall_async._pagination._fetch import Fetch
from apimall_async._pagination._iterate import ItemIterator, PageIterator, iterate_items, iterate_pages
from apimall_async._pagination._options import Options, Stats, check_integer, without_limit


__all__ = [
    "Fetch",
    "ItemIterator",
    "Options",
    "PageIterator",
    "Stats",
    "check_integer",
    "iterate_items",
    "iterate_pages",
    "without_limit",
]
