"""Mathematics as MathML, written when the site is built.

Every browser draws MathML since 2023 and hands it to screen readers, so a page needs no script for
its formulas: MathJax was 240 kB of it. Docutils, on which Sphinx stands, does the translation.
book/_static/stix-two-math.woff2 is the font: browsers without one for mathematics draw brackets and
roots that don't grow. book/_static/accessibility.css asks for it.
"""

from __future__ import annotations

import html
import re
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)


def translate(node: nodes.Element, block: bool) -> str:
    """Return a formula's MathML; warn of what docutils can't read, which stops the build.

    Large brackets need a side: `\\Bigl(` and `\\Bigr)`, not `\\Big(`. Norms that shall not grow are
    `\\lVert x \\rVert`, and what stands below a brace is set there by `\\underset`.
    """
    try:
        written = tex2mathml(node.astext(), as_block=block)
        # A sign after "=" belongs to what follows; browsers would set it apart from both sides.
        return re.sub(r"(=</mo>\s*)<mo>(?=[±∓])", r'\1<mo form="prefix">', written)
    except MathError as error:
        logger.warning("no MathML for %s: %s", node.astext(), error, location=node)
        return f"<code>{html.escape(node.astext())}</code>"


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


def write_inline(translator: Any, node: nodes.math) -> None:
    translator.body += ['<span class="math">', translate(node, block=False), "</span>"]
    raise nodes.SkipNode


def write_block(translator: Any, node: nodes.math_block) -> None:
    translator.body += [translator.starttag(node, "div", CLASS="math"), translate(node, block=True)]
    translator.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer("mathml", (write_inline, None), (write_block, None))
    app.connect("doctree-resolved", keep_signs)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
