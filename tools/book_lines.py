"""Where a line may end, and where it may not.

A browser ends a line at any space and hyphen, and beside any formula, which it takes for a picture.
In what a cell prints it ends none, so that a sentence runs out of a phone's page. Each function
mends one of the two in the page's tree.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

COLUMNS = re.compile(r"\S {2,}\S|^ {2,}")  # what stands below one another, or is set in
NUMBERED = re.compile(
    r"\b((?:lessons?|exercises?|tasks?|tables?|figures?|seeds?|Sects?\.|Eqs?\.)) (?=\d)",
    re.IGNORECASE,
)
NAME = re.compile(r"((?:VGG|ResNet)-\d+|conv\d-\d+)")


def wrap_sentences(app: Sphinx | None, doctree: nodes.document, page: str) -> None:
    """Mark printed text without columns as `sentences`, which wrap."""
    for block in doctree.findall(nodes.literal_block):
        lines = block.astext().splitlines()
        if "output" in block["classes"] and not any(map(COLUMNS.search, lines)):
            block["classes"].append("sentences")


def keep_numbers(app: Sphinx | None, doctree: nodes.document, page: str) -> None:
    """Keep "lesson 8" on one line, and "VGG-16", and "conv3-64"."""
    for text in list(doctree.findall(nodes.Text)):
        parent = text.parent
        if isinstance(parent, nodes.paragraph | nodes.emphasis | nodes.strong):
            parts = NAME.split(NUMBERED.sub("\\1\N{NO-BREAK SPACE}", text))
            whole = [nodes.inline("", part, classes=["unbroken"]) for part in parts[1::2]]
            rest = [nodes.Text(part) for part in parts[::2]]
            mixed = [node for pair in zip(rest, [*whole, None], strict=True) for node in pair]
            parent.replace(text, [node for node in mixed if node is not None and node.astext()])


def keep_signs(app: Sphinx | None, doctree: nodes.document, page: str) -> None:
    """Let no line break between a formula in a sentence and the bracket or full stop beside it.

    Browsers take such a formula for a picture, before and after which a line may always end.
    """
    for formula in list(doctree.findall(nodes.math)):
        parent, at = formula.parent, formula.parent.index(formula)
        before = "".join(n for n in parent[max(at - 1, 0) : at] if isinstance(n, nodes.Text))
        after = "".join(n for n in parent[at + 1 : at + 2] if isinstance(n, nodes.Text))
        opening = before[len(before.rstrip("(")) :]
        closing = after[: len(after) - len(after.lstrip(".,;:!?)"))]
        if not opening and not closing:
            continue
        if closing:
            parent[at + 1] = nodes.Text(after[len(closing) :])
        if opening:
            parent[at - 1] = nodes.Text(before[: -len(opening)])
        whole = nodes.inline("", "", classes=["unbroken"])
        parent[at] = whole
        whole += [nodes.Text(opening), formula, nodes.Text(closing)]


def setup(app: Sphinx) -> dict[str, Any]:
    for mend in (wrap_sentences, keep_signs, keep_numbers):
        app.connect("doctree-resolved", mend)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
