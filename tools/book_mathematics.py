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
# What TeX sets otherwise than browsers do: patterns in MathML, and what stands for them.
SPACES = (
    # A sign after "=" belongs to what follows; browsers would set it apart from both sides.
    (r"(=</mo>\s*)<mo>(?=[±∓])", r'\1<mo form="prefix">'),
    # max and min are no operations between what stands beside them.
    (r"<mo>(max|min)</mo>(?=\s*<mo[^>]*>\()", r"<mi>\1</mi>"),
    # The name of a function keeps a little apart from its argument, unless that is in brackets.
    (r"(&ApplyFunction;</mo>)(?!\s*<mo[^>]*>[(\[{])", r'\1<mspace width="0.1667em"/>'),
    # A slash does not.
    (r"<mo[^>]*>/</mo>", '<mo stretchy="false" lspace="0" rspace="0">/</mo>'),
    # The star of a convolution stands at the height of a minus.
    (r"<mo>\*</mo>", "<mo>\N{ASTERISK OPERATOR}</mo>"),
)


def translate(node: nodes.Element, block: bool) -> str:
    """Return a formula's MathML; warn of what docutils can't read, which stops the build.

    Large brackets need a side: `\\Bigl(` and `\\Bigr)`, not `\\Big(`. Norms that shall not grow are
    `\\lVert x \\rVert`, and what stands below a brace is set there by `\\underset`.
    """
    try:
        written = tex2mathml(node.astext(), as_block=block)
        for wrong, right in SPACES:
            written = re.sub(wrong, right, written)
        return written
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
