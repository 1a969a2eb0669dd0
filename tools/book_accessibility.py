"""What assistive technology needs and Sphinx's HTML lacks.

Each function writes a node in place of Sphinx's own method, so that the page is right as it's made.
What the theme's templates lack stands in book/_templates, what its style sheets lack in
book/_static/accessibility.css. tests/test_site_quality.py looks at every page.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode, depart_HideCellInput, visit_HideCellInput
from sphinx import addnodes
from sphinx.application import Sphinx


def open_citation(translator: Any, node: nodes.citation) -> None:
    """Write an entry of the bibliography as an item of its list.

    Docutils gives it the role doc-biblioentry, which ARIA has withdrawn: a list whose entries are
    no items is read as an empty one.
    """
    if not isinstance(node.previous_sibling(), nodes.citation):
        translator.body.append('<div role="list" class="citation-list">\n')
    translator.body.append(translator.starttag(node, "div", CLASS="citation", ROLE="listitem"))


def close_citation(translator: Any, node: nodes.citation) -> None:
    type(translator).depart_citation(translator, node)


def open_parameters(translator: Any, node: addnodes.desc_parameterlist) -> None:
    """Write parameters that stand one a line as a list; Sphinx writes definitions of no term."""
    type(translator).visit_desc_parameterlist(translator, node)
    if translator.multi_line_parameter_list:
        translator.body[-1] = '<ul class="sig-params">\n'  # was <dl>


def close_parameters(translator: Any, node: addnodes.desc_parameterlist) -> None:
    if node.get("multi_line_parameter_list"):
        translator.body.append(f'</ul>\n<span class="sig-paren">{translator.context.pop()}</span>')
    else:
        type(translator).depart_desc_parameterlist(translator, node)


def open_parameter(translator: Any, node: addnodes.desc_parameter) -> None:
    start = len(translator.body)
    type(translator).visit_desc_parameter(translator, node)
    if translator.multi_line_parameter_list:
        translator.body[start] = "<li>"  # was <dd>


def close_parameter(translator: Any, node: addnodes.desc_parameter) -> None:
    type(translator).depart_desc_parameter(translator, node)
    if translator.multi_line_parameter_list:
        translator.body[-1] = "</li>\n"  # was </dd>


def open_folded_cell(translator: Any, node: HideCodeCellNode) -> None:
    """Let the summary's own words name it: "Show the imports", not "Toggle hidden content"."""
    start = len(translator.body)
    visit_HideCellInput(translator, node)
    label = ' aria-label="Toggle hidden content"'
    translator.body[start:] = [text.replace(label, "") for text in translator.body[start:]]


def setup(app: Sphinx) -> dict[str, Any]:
    for node, visit, depart in (
        (nodes.citation, open_citation, close_citation),
        (addnodes.desc_parameterlist, open_parameters, close_parameters),
        (addnodes.desc_parameter, open_parameter, close_parameter),
        (HideCodeCellNode, open_folded_cell, depart_HideCellInput),
    ):
        app.add_node(node, override=True, html=(visit, depart))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
