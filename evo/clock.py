"""Time as evo writes it: ISO 8601, UTC, whole milliseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from evo.errors import UsageError

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds_since(moment: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()


def parse_duration(text: str, *, name: str = "duration") -> float | None:
    """Seconds in `90`, `90s`, `45m`, `1h30m`, `2d`; None for an empty text or `none`. UsageError otherwise."""
    if text.strip() in ("", "none"):
        return None
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?", text.strip())
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        raise UsageError(f"{name}: {text!r} is no duration", hint="write 90, 90s, 45m, 2h or 1h30m")
    total = sum(float(number) * _UNITS[unit or "s"] for number, unit in parts)
    if total <= 0:
        raise UsageError(f"{name}: {text!r} must be longer than nothing")
    return total
