"""What the contract fixes of a paged list: its paths, and the size of a page."""

HISTORY_PATH = "/api/v1/images/history"
MAX_PAGE_SIZE = 50
"""Items a page can hold (contract: *Query Parameters*)."""
