"""Mark the paragraphs that are captions, so that style sheets can tell them.

A caption stands below its figure and is wholly in italics: that's how it reads in every notebook.
CSS alone can't see it, since `em:only-child` is also true of the one stressed word of a sentence.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx


def mark_captions(app: Sphinx | None, doctree: nodes.document) -> None:
    """Give each paragraph that is one emphasis and nothing else the class `under-figure`."""
    for paragraph in doctree.findall(nodes.paragraph):
        if len(paragraph) == 1 and isinstance(paragraph[0], nodes.emphasis):
            paragraph["classes"].append("under-figure")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("doctree-read", mark_captions)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
