"""Opening hours: "Mon-Fri 09:00-18:00", "Sat,Sun 10-20", "daily 09:00-01:00"."""

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WANTED = 'wanted days and hours, as in "Mon-Fri 09:00-18:00", "Sat,Sun 10-20" or "daily 9-17"'
_DAY = 24 * 60  # minutes


@dataclass(frozen=True, slots=True)
class Opening:
    """Some days of the week, from one minute of the day to another; past midnight where the end is not after it."""

    days: frozenset[int]  # 0 for Monday
    begins: int  # minutes from midnight
    ends: int

    def holds(self, now: datetime) -> bool:
        """Whether it is open at a local time."""
        minute, today = now.hour * 60 + now.minute, now.weekday()
        if self.begins < self.ends:
            return today in self.days and self.begins <= minute < self.ends
        yesterday = (now - timedelta(days=1)).weekday()
        return (today in self.days and minute >= self.begins) or (yesterday in self.days and minute < self.ends)


def parse_opening(value: Any) -> Opening:
    """Take a text apart.

    Raises:
        ValueError: it is not understood; the message says what is wanted.
    """
    if isinstance(value, Opening):
        return value
    match = re.fullmatch(r"([a-z,\- ]+?)\s+([\d:]+)\s*-\s*([\d:]+)", str(value).strip().lower())
    if match is None:
        raise ValueError(f"got {value!r}; {_WANTED}")
    return Opening(frozenset(_days(match[1], value)), _minute(match[2], value) % _DAY, _minute(match[3], value))


def _days(text: str, value: Any) -> set[int]:
    if text == "daily":
        return set(range(7))
    found: set[int] = set()
    for part in text.split(","):
        names = [name.strip()[:3] for name in part.split("-")]
        if not 1 <= len(names) <= 2 or any(name not in _DAYS for name in names):
            raise ValueError(f"got {value!r}; {_WANTED}")
        first, last = _DAYS.index(names[0]), _DAYS.index(names[-1])
        found |= {day % 7 for day in range(first, last + (7 if last < first else 0) + 1)}
    return found


def _minute(text: str, value: Any) -> int:
    hour, _, minute = text.partition(":")
    try:
        if hour == "24" and int(minute or 0) == 0:
            return _DAY
        found = time(int(hour), int(minute or 0))
    except ValueError:
        raise ValueError(f"got {value!r}; {_WANTED}") from None
    return found.hour * 60 + found.minute


def is_open(openings: list[Opening], now: datetime) -> bool:
    """Whether the show is open; without any hours it always is."""
    return not openings or any(opening.holds(now) for opening in openings)
