"""Figures the book reads rather than computes: the published ones, and runs once measured.

Each record is a JSON file in this folder. `paper.json` holds the paper's tables and facts, each
with its place in the paper. A measured one says when the test set was looked at (`test_set`).
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any


def load_record(name: str) -> dict[str, Any]:
    """Return a record by its file's name without the ending: `load_record("paper")`.

    Raises ValueError for an unknown name, with the names there are.
    """
    names = [entry.name for entry in files(__name__).iterdir()]
    known = sorted(each.removesuffix(".json") for each in names if each.endswith(".json"))
    if name not in known:
        raise ValueError(f"unknown record {name!r}: choose one of {', '.join(known)}")
    return json.loads(files(__name__).joinpath(f"{name}.json").read_text("utf-8"))
