"""What the site marks as a caption, and which signs it keeps beside a formula."""

import re
import sys
from pathlib import Path

import pytest
from docutils import nodes
from docutils.core import publish_doctree

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
book_captions = pytest.importorskip("book_captions", reason="needs Sphinx")
book_mathematics = pytest.importorskip("book_mathematics", reason="needs Sphinx")


def test_a_caption_is_a_paragraph_wholly_in_italics():
    doctree = publish_doctree(
        "*White is an edge.*\n\nThat is *overfitting*: one word.\n\n*a* *b*\n"
    )
    book_captions.mark_captions(None, doctree)
    marked = [p.astext() for p in doctree.findall(nodes.paragraph) if p["classes"]]
    assert marked == ["White is an edge."]


def test_a_formula_keeps_the_signs_beside_it():
    doctree = publish_doctree("A fixed (:math:`S`), then :math:`x` grows; :math:`y`.\n")
    text = doctree.astext()
    book_mathematics.keep_signs(None, doctree, "page")
    kept = [n.astext() for n in doctree.findall(nodes.inline) if "unbroken" in n["classes"]]
    assert kept == ["(S),", "y."]
    assert doctree.astext() == text


def test_a_sign_after_an_equals_sign_is_no_operation_between_two_numbers():
    written = book_mathematics.translate(nodes.math("", r"a \pm b = \pm 2"), block=False)
    signs = re.findall("<mo[^>]*>(?=±)", written)
    assert signs == ["<mo>", '<mo form="prefix">']
