"""Where a line may end, and where it may not.

A browser ends a line at any space and hyphen, and beside any formula, which it takes for a picture.
In what a cell prints it ends none, so that a sentence runs out of a phone's page. And columns of a
table are as wide for a digit as for a word. Each function mends one of these in the page's tree.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

COLUMNS = re.compile(r"\S {2,}\S|^ {2,}")  # what stands below one another, or is set in
NUMBERED = re.compile(
    r"\b((?:lessons?|exercises?|tasks?|tables?|figures?|seeds?|(?:Sects?|Eqs?)\.)) (?=\d)"
    r"|\b(Apps?\.) (?=[A-Z]\b)",
    re.IGNORECASE,
)
EQUATION = re.compile(r"(\b[A-Za-zα-ω]|\d) ([=·/]) (?=[\d−]|[A-Z]\b)")
NAME = re.compile(
    r"((?:VGG|ResNet|CIFAR)-\d+|A-LRN|Grad-CAM|top-\d|conv\d-\d+|\d{4}-\d\d-\d\d)", re.IGNORECASE
)
NUMBERS = re.compile(r"[\d\s.,%±+−–×]+")
PROSE = nodes.paragraph | nodes.title | nodes.emphasis | nodes.strong | nodes.reference


def wrap_sentences(app: Sphinx | None, doctree: nodes.document, page: str) -> None:
    """Mark printed text without columns as `sentences`, which wrap."""
    for block in doctree.findall(nodes.literal_block):
        lines = block.astext().splitlines()
        if "output" in block["classes"] and not any(map(COLUMNS.search, lines)):
            block["classes"].append("sentences")


def keep_numbers(app: Sphinx | None, doctree: nodes.document, page: str) -> None:
    """Keep "lesson 8" on one line, "S = 384", and names such as "VGG-16" and "conv3-64"."""
    for text in list(doctree.findall(nodes.Text)):
        parent = text.parent
        if not isinstance(parent, PROSE) and type(parent) is not nodes.inline:
            continue
        words = EQUATION.sub("\\1\N{NO-BREAK SPACE}\\2\N{NO-BREAK SPACE}", text)
        if not isinstance(parent.parent, nodes.entry):  # a column has to be narrow on a phone
            words = NUMBERED.sub("\\1\\2\N{NO-BREAK SPACE}", words)
        pieces = [
            nodes.inline("", piece, classes=["unbroken"]) if at % 2 else nodes.Text(piece)
            for at, piece in enumerate(NAME.split(words))  # every other one is a name
            if piece
        ]
        parent.replace(text, pieces)


def mark_numbers(app: Sphinx | None, doctree: nodes.document, page: str) -> None:
    """Mark columns of numbers, which stand to the right and need no more room than they take."""
    for group in doctree.findall(nodes.tgroup):
        rows = [list(row.findall(nodes.entry)) for row in group.findall(nodes.row)]
        if len({len(row) for row in rows}) > 1:  # some cells span columns
            continue
        for head, *column in zip(*rows, strict=True):
            if all(NUMBERS.fullmatch(entry.astext() or "–") for entry in column):
                for entry in (head, *column):
                    entry["classes"].append("number")


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
    for mend in (wrap_sentences, mark_numbers, keep_signs, keep_numbers):
        app.connect("doctree-resolved", mend)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
