"""By what a later response shows that it is the rest of the same image (RFC 9110, 8.8 and 13.1.5)."""

import re
from datetime import timedelta
from email.utils import parsedate_to_datetime

from multidict import CIMultiDictProxy


_STRONG_ETAG = re.compile(r'"[!#-~]{0,200}"')  # RFC 9110, 8.8.3: no W/ in front; other bytes are not matched
_DATE = re.compile(r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT")
_ONE_SECOND = timedelta(seconds=1)


def strong_validator(headers: CIMultiDictProxy[str]) -> str:
    """Return a strong ETag, or a date that is as good; '' if there is none.

    A date is as good if the image cannot have changed in the second that it names, after it was sent
    (8.8.2.2). An image that has an ETag, even a weak one, must not be continued by a date (13.1.5).
    """
    etag = headers.get("ETag")
    if etag is not None:
        return etag if is_validator(etag) else ""
    modified, sent = headers.get("Last-Modified", ""), headers.get("Date", "")
    try:
        settled = parsedate_to_datetime(sent) - parsedate_to_datetime(modified) >= _ONE_SECOND
    except (ValueError, TypeError, OverflowError):  # no dates, or of a zone that is not known
        return ""
    return modified if settled and is_validator(modified) else ""


def is_validator(text: str) -> bool:
    """Whether this is all of a validator, as ``strong_validator`` returns it."""
    return bool(_STRONG_ETAG.fullmatch(text) or _DATE.fullmatch(text))


def is_same(headers: CIMultiDictProxy[str], validator: str) -> bool:
    """Whether a response is of the image with this validator, as far as it says so."""
    name = "ETag" if validator.startswith('"') else "Last-Modified"
    return headers.get(name, validator) == validator
