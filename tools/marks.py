"""What tools write into pages that people write: the text between two marks."""

from __future__ import annotations

from collections.abc import Mapping


def renewed(text: str, made: Mapping[str, str]) -> str:
    """Return a page's text with what stands between `<!-- name -->` and `<!-- end of name -->`."""
    for name, new in made.items():
        begin, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
        before, rest = text.split(begin)
        text = before + begin + new + end + rest.split(end)[1]
    return text
