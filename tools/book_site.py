"""What the site needs beyond Jupyter Book's settings.

Marked-up docstrings, less of MathJax, live figures on pages that are no notebooks, and the weights
that the network at work loads.

Numbers, icons and weight need no code. A page's number is its place in _toc.yml, the icons are a
style sheet (book/_static/icons.css), and a template (book/_templates) keeps the search index off
the pages that do not search.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes  # type: ignore[import-untyped]
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from vgg_utils import explorables
from vgg_utils.trained import WEIGHTS


class LiveFigure(SphinxDirective):
    """`{live-figure} at_work` stands for the figure of that name in `vgg_utils.explorables`."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        return [nodes.raw("", getattr(explorables, self.arguments[0])(), format="html")]


def mark_up_docstring(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Turn plain text into reStructuredText: lists of quoted names, and indented blocks as code.

    Sections such as "Arguments:" are left to sphinx.ext.napoleon.
    """
    result: list[str] = []
    previous, kind = "", "text"
    for line in lines:
        indented = line.startswith(" ")
        if not line.strip():
            kind = kind if kind in ("section", "code") else "text"
        elif not indented and re.match(r"(Arguments|Returns|Raises|Yields):$", line):
            kind = "section"
        elif not indented and re.match(r'"[^"]+": ', line):
            if kind != "list":
                result.append("")
            kind = "list"
            line = re.sub(r'^("[^"]+"): ', r"* ``\1``: ", line)
        elif not indented:
            if kind == "list":
                result.append("")
            kind = "text"
        elif kind == "list":
            line = "  " + line.strip()
        elif kind == "text":
            result += ["", "::", ""] if previous.strip() else ["::", ""]
            kind = "code"
        result.append(line)
        previous = line
    lines[:] = [*result, ""]


def skip_tuple_fields(
    app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out the fields of named tuples, whose generated docstrings say nothing."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def drop_mathjax(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    """Leave MathJax out of a page without mathematics.

    Sphinx loads it too where only the pages below have any, as on the front page.
    """
    if not app.env.domaindata["math"]["has_equations"].get(page):
        context["script_files"] = [
            script
            for script in context["script_files"]
            if "mathjax" not in f"{script.filename} {script.attributes}".lower()
        ]


def slim_mathjax(app: Sphinx, exception: Exception | None) -> None:
    """Keep of MathJax's 24 MB what a page can ask for: the parts that _config.yml loads."""
    mathjax = Path(app.outdir) / "_static/mathjax"
    if exception or not mathjax.exists():
        return
    parts = ["startup", "core", *app.config.mathjax3_config["loader"]["load"]]
    keep = (*(f"{part}.js" for part in parts), "input/tex/extensions/", "output/chtml/fonts/")
    for path in mathjax.rglob("*"):
        if path.is_file() and not path.relative_to(mathjax).as_posix().startswith(keep):
            path.unlink()


def add_networks(app: Sphinx, exception: Exception | None) -> None:
    """Lay the weights of the book's own networks where the pages ask for them."""
    folder = Path(app.outdir) / "_static/networks"
    if exception or app.builder.format != "html":
        return
    folder.mkdir(exist_ok=True)
    for file in WEIGHTS.glob("*.npz"):
        shutil.copy(file, folder)


def setup(app: Sphinx) -> dict[str, Any]:
    # Jupyter Book always sets this option, also where no comments are wanted.
    app.add_config_value("comments_config", {}, "env")
    # sphinx-mathjax-offline names the bundle of all parts.
    app.config.mathjax_path = "mathjax/startup.js"
    app.add_directive("live-figure", LiveFigure)
    app.connect("autodoc-process-docstring", mark_up_docstring, priority=400)
    app.connect("autodoc-skip-member", skip_tuple_fields)
    app.connect("html-page-context", drop_mathjax, priority=900)
    app.connect("build-finished", slim_mathjax, priority=900)
    app.connect("build-finished", add_networks)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
