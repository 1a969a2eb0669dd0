"""Mathematics as MathML, written when the site is built.

Every browser draws MathML since 2023 and hands it to screen readers, so a page needs no script for
its formulas: MathJax was 240 kB of it. Docutils, on which Sphinx stands, does the translation.
book/_static/stix-two-math.woff2 is the font: browsers without one for mathematics draw brackets and
roots that don't grow. book/_static/accessibility.css asks for it.
"""

from __future__ import annotations

import html
from typing import Any
from xml.etree import ElementTree

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)
SCRIPTS = {"msub", "msup", "msubsup", "munder", "mover", "munderover"}
MATHML = "http://www.w3.org/1998/Math/MathML"


def close_up(tree: ElementTree.Element) -> None:
    """Set spaces and heights as TeX does, where browsers set them otherwise."""
    for parent in list(tree.iter()):
        children = list(parent)
        for place, node in enumerate(children):
            if node.tag != "mo":
                continue
            before = children[place - 1] if place else None
            after = next(iter(children[place + 1 :]), None)
            sign = (node.text or "").strip()
            if sign == "/":
                node.attrib |= {"stretchy": "false", "lspace": "0", "rspace": "0"}
            elif sign == "‖" and "maxsize" not in node.attrib:
                node.set("stretchy", "false")
            elif sign == "*":  # as high as a minus
                node.text = "\N{ASTERISK OPERATOR}"
            elif sign in {"±", "∓"} and before is not None and before.text == "=":
                node.set("form", "prefix")  # belongs to what follows
            elif sign in {"max", "min"} and opens(after):
                node.tag = "mi"  # no operation between its neighbours
            elif sign == "\N{FUNCTION APPLICATION}" and not opens(after):
                space = ElementTree.Element("mspace", width="0.1667em")
                parent.insert(list(parent).index(node) + 1, space)
        if parent.tag in SCRIPTS:
            for script in children[1:]:
                for operator in script.iter("mo"):
                    operator.attrib |= {"lspace": "0", "rspace": "0"}
        if parent.tag in {"msub", "msup", "msubsup"} and len(children[0].text or "") == 1:
            # Scripts stand on one line, whatever letter they belong to.
            box = ElementTree.Element("mpadded", height="0.48em", depth="0")
            box.append(children[0])
            parent[0] = box


def opens(node: ElementTree.Element | None) -> bool:
    return node is not None and node.tag == "mo" and (node.text or "") in {"(", "[", "{"}


def translate(node: nodes.Element, block: bool) -> str:
    """Return a formula's MathML; warn of what docutils can't read, which stops the build.

    Large brackets need a side: `\\Bigl(` and `\\Bigr)`, not `\\Big(`. Norms are
    `\\lVert x \\rVert`, or `\\biggl\\|` and `\\biggr\\|` where they shall be large.
    """
    try:
        written = tex2mathml(node.astext(), as_block=block)
        written = written.replace("&ApplyFunction;", "\N{FUNCTION APPLICATION}")
        tree = ElementTree.fromstring(written.replace(f' xmlns="{MATHML}"', ""))
        close_up(tree)
        tree.set("xmlns", MATHML)
        return ElementTree.tostring(tree, encoding="unicode")
    except MathError as error:
        logger.warning("no MathML for %s: %s", node.astext(), error, location=node)
        return f"<code>{html.escape(node.astext())}</code>"


def write_inline(translator: Any, node: nodes.math) -> None:
    translator.body += ['<span class="math">', translate(node, block=False), "</span>"]
    raise nodes.SkipNode


def write_block(translator: Any, node: nodes.math_block) -> None:
    translator.body += [translator.starttag(node, "div", CLASS="math"), translate(node, block=True)]
    translator.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer("mathml", (write_inline, None), (write_block, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
