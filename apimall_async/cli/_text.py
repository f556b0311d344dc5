"""Times and counts as the command writes them for people."""

from datetime import datetime


def in_local_zone(moment: datetime) -> datetime:
    """Return ``moment`` by the local clock; as it stands if that has no such year."""
    try:
        return moment.astimezone()
    except (OverflowError, ValueError, OSError):
        return moment


def count(number: int, noun: str) -> str:
    """Spell ``1 task``, ``2 tasks``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
