"""Mathematics as MathML, written when the site is built.

Every browser draws MathML since 2023 and hands it to screen readers, so a page needs no script for
its formulas: MathJax was 240 kB of it. Docutils, on which Sphinx stands, does the translation.
book/_static/stix-two-math.woff2 is the font: browsers without one for mathematics draw brackets and
roots that don't grow. book/_static/custom.css asks for it.
"""

from __future__ import annotations

import html
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
        return tex2mathml(node.astext(), as_block=block)
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
