"""What the gateway sends, made fit for a terminal; and the few words of our own."""

from datetime import datetime, tzinfo


def clean(text: str) -> str:
    """Replace what could steer a terminal: controls, escapes, bidi overrides, line separators.

    All of them are, in Unicode's sense, not printable.
    """
    if text.isprintable():
        return text
    return "".join(
        [character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text]
    )


def clean_line(text: str) -> str:
    """Clean ``text``, and make one line of it."""
    return clean(" ".join(text.split()))


def in_zone(moment: datetime, zone: tzinfo | None = None) -> datetime:
    """Tell ``moment`` by the clock of ``zone``, or the local one; as it stands if that has no such year."""
    try:
        return moment.astimezone(zone)
    except (OverflowError, ValueError, OSError):
        return moment


def count(number: int, noun: str) -> str:
    """Spell ``1 task``, ``2 tasks``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
