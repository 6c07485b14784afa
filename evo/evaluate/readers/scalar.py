"""`eval.mode: scalar`: the one number that a benchmark's evaluate script writes.

The file of `{out}` is a JSON object; metric.name names its field, dotted where objects lie in objects. A file that
holds nothing but a number is that number.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evo.errors import nearest
from evo.evaluate.grading import InvalidResults


def read_number(path: Path, field: str) -> tuple[str, object]:
    """Where the number stands, in words, and the number as it stands there, unchecked."""
    try:
        found: Any = json.loads(path.read_bytes().decode())
    except FileNotFoundError:
        raise InvalidResults(f"the evaluation command ended well, but wrote no {path.name}") from None
    except (ValueError, RecursionError):
        raise InvalidResults(f"{path.name}: is not JSON") from None
    if not isinstance(found, (Mapping, list)):
        return path.name, found
    where = f"{path.name}, field {field}"
    if isinstance(found, Mapping) and field in found:
        return where, found[field]
    for part in field.split("."):
        if not isinstance(found, Mapping) or part not in found:
            known = [str(key) for key in found] if isinstance(found, Mapping) else []
            hint = f"evo config set metric.name FIELD; {nearest(part, known)}"
            raise InvalidResults(f"{where}: is missing", hint=hint)
        found = found[part]
    return where, found
