"""What the site needs beyond Jupyter Book's settings.

Links, marked-up docstrings, live figures on pages that are no notebooks, and the weights that the
network at work loads. Mathematics (book_mathematics.py) and what assistive technology needs
(book_accessibility.py) have files of their own.

Notebooks link to other pages by their published addresses (tools/anywhere.py says why). Here such a
link becomes one within the site, which then needs no network. A notebook's own file is part of the
site too, to be downloaded. As long as the repository has the placeholder for an address, what leads
there is no link.

Numbers, icons and weight need no code. A page's number is its place in _toc.yml, the icons are a
style sheet (book/_static/icons.css), and a template (book/_templates) keeps the search index off
the pages that do not search.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

from address import PLACEHOLDER, published, read_setting  # _config.yml puts this folder on the path
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from vgg_utils import explorables
from vgg_utils.trained import WEIGHTS


class LiveFigure(SphinxDirective):
    """`{live-figure} at_work` stands for the figure of that name in `vgg_utils.explorables`."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        return [nodes.raw("", getattr(explorables, self.arguments[0])(), format="html")]


REPOSITORY, BRANCH = read_setting(Path(__file__).resolve().parent.parent)
HAS_ADDRESS = REPOSITORY.partition("/")[0] != PLACEHOLDER
PUBLISHED = published(REPOSITORY)
COLAB = "https://colab.research.google.com/github/"
OUTSIDE = (PUBLISHED, f"https://github.com/{REPOSITORY}", f"{COLAB}{REPOSITORY}/")
COMMAND = "make address REPO=owner/name"
WAITING = "Colab and this file are linked here once "


def link_within(app: Sphinx, page: str, source: list[str]) -> None:
    """Turn published addresses in a page's source into relative links to files or anchors."""

    def relative(match: re.Match[str]) -> str:
        target, anchor = match[1], match[2] or ""
        if target == page:
            return f"]({anchor})"
        suffix = Path(app.env.doc2path(target)).suffix if target in app.env.found_docs else ".md"
        return f"]({os.path.relpath(target + suffix, Path(page).parent)}{anchor})"

    link = rf"\]\({re.escape(PUBLISHED)}([\w/-]+)\.html(#[\w-]+)?\)"
    source[0] = re.sub(link, relative, source[0])


def offer_file_or_nothing(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Make the link to a page's own file one that downloads it; take out what leads nowhere."""
    own_file = f"{PUBLISHED}_sources/{page}.ipynb"
    for link in list(doctree.findall(nodes.reference)):
        address, parent = link.get("refuri", ""), link.parent
        if HAS_ADDRESS and address == own_file:
            file = os.path.relpath(f"_sources/{page}.ipynb", Path(page).parent)
            tag = f'<a class="reference download" href="{file}" download>{link.astext()}</a>'
            parent.replace(link, nodes.raw("", tag, format="html"))
        elif not HAS_ADDRESS and address.startswith(f"{COLAB}{REPOSITORY}/"):
            parent.replace(link, [nodes.Text(WAITING), nodes.literal(COMMAND, COMMAND)])
        elif not HAS_ADDRESS and address == own_file:
            before = parent.index(link) - 1
            parent[before : before + 2] = [nodes.Text(" has set the repository's address.")]
        elif not HAS_ADDRESS and address.startswith(OUTSIDE):
            parent.replace(link, link.children)
    if page == app.config.root_doc and not HAS_ADDRESS:
        way = next(p for p in doctree.findall(nodes.paragraph) if "Run it on Colab" in p.astext())
        way += [nodes.Text(" The links appear once "), nodes.literal(COMMAND, COMMAND)]
        way += nodes.Text(" has set the repository's address.")


def offer_no_button(app: Sphinx, config: Any) -> None:
    """Leave out the theme's buttons that lead to the repository while it has no address."""
    if not HAS_ADDRESS:
        config.html_theme_options |= {
            "use_repository_button": False,
            "use_issues_button": False,
            "launch_buttons": {},
        }


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


def defer_scripts(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    """Let the text show before the scripts have come; they run in order all the same.

    The page names itself to documentation_options.js in lines of its own, which wait for it as
    modules do. The search page uses doctools.js while it loads. The list's entries are those of all
    pages.
    """
    for script in context["script_files"]:
        if page == "search":
            script.attributes.pop("defer", None)
            script.attributes.pop("type", None)
        elif script.filename:
            script.attributes["defer"] = "defer"
        elif script.attributes.get("body", "").startswith("DOCUMENTATION_OPTIONS."):
            script.attributes["type"] = "module"


def open_signature(translator: Any, node: addnodes.desc_signature) -> None:
    """Write the words of a signature as they are.

    Sphinx wraps each into a `span` against line breaks, a third of all that the page of the module
    holds. A signature has a line for each parameter instead.
    """
    type(translator).visit_desc_signature(translator, node)
    translator.protect_literal_text -= 1


def close_signature(translator: Any, node: addnodes.desc_signature) -> None:
    translator.protect_literal_text += 1
    type(translator).depart_desc_signature(translator, node)


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
    app.add_directive("live-figure", LiveFigure)
    signature = (open_signature, close_signature)
    app.add_node(addnodes.desc_signature, override=True, html=signature)
    app.connect("config-inited", offer_no_button, priority=900)
    app.connect("source-read", link_within)
    app.connect("doctree-resolved", offer_file_or_nothing)
    app.connect("autodoc-process-docstring", mark_up_docstring, priority=400)
    app.connect("autodoc-skip-member", skip_tuple_fields)
    app.connect("html-page-context", defer_scripts, priority=900)
    app.connect("build-finished", add_networks)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
