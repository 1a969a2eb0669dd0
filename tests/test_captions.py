"""What the site marks as a caption, where its lines may end, and how it writes formulas."""

import re
import sys
from pathlib import Path

import pytest
from docutils import nodes
from docutils.core import publish_doctree

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
book_captions = pytest.importorskip("book_captions", reason="needs Sphinx")
book_lines = pytest.importorskip("book_lines", reason="needs Sphinx")
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
    book_lines.keep_signs(None, doctree, "page")
    kept = [n.astext() for n in doctree.findall(nodes.inline) if "unbroken" in n["classes"]]
    assert kept == ["(S),", "y."]
    assert doctree.astext() == text


def test_a_sign_after_an_equals_sign_is_no_operation_between_two_numbers():
    written = book_mathematics.translate(nodes.math("", r"a \pm b = \pm 2"), block=False)
    signs = re.findall("<mo[^>]*>(?=±)", written)
    assert signs == ["<mo>", '<mo form="prefix">']


@pytest.mark.parametrize(
    "formula, apart",
    [(r"\ln 10", True), (r"\log_2 n", False), (r"\ln(2)", False), (r"\max(0, x)", False)],
)
def test_a_function_keeps_apart_from_what_stands_in_no_brackets(formula, apart):
    written = book_mathematics.translate(nodes.math("", formula), block=False)
    assert ("mspace" in written) == apart


def test_a_slash_stands_close():
    written = book_mathematics.translate(nodes.math("", "a / 2"), block=False)
    assert re.search(r'<mo[^>]*lspace="0" rspace="0">/</mo>', written)


def test_numbers_stay_with_what_they_number():
    doctree = publish_doctree(
        "`Lesson 8 <a>`__, *exercise 3.2*, App. A, VGG-16's ``table 3``: S = 384 at 7 layers.\n"
    )
    book_lines.keep_numbers(None, doctree, "page")
    assert doctree.astext() == (
        "Lesson\xa08, exercise\xa03.2, App.\xa0A, VGG-16's table 3: S\xa0=\xa0384 at 7 layers."
    )
    kept = [n.astext() for n in doctree.findall(nodes.inline) if "unbroken" in n["classes"]]
    assert kept == ["VGG-16"]


@pytest.mark.parametrize(
    "printed, wraps",
    [
        ("1 x H100: 6.2 hours, 15 dollars", True),
        ("wrong alone: 1 of 40\nby the mean: 2 of 40", True),
        ("A     11 weight layers", False),
        ("D 3.0\n  1.0", False),
    ],
)
def test_printed_sentences_wrap_and_columns_stand(printed, wraps):
    block = nodes.literal_block(printed, printed, classes=["output", "stream"])
    other = nodes.literal_block(printed, printed)  # such as code
    doctree = publish_doctree("")
    doctree += [block, other]
    book_lines.wrap_sentences(None, doctree, "page")
    assert ("sentences" in block["classes"]) == wraps
    assert "sentences" not in other["classes"]


def test_columns_of_numbers_are_marked():
    doctree = publish_doctree(
        "====  =======  =====  ======\nnet   weights  error  field\n====  =======  =====  ======\n"
        "A     133 M    29.6   \N{EN DASH}\nD     138.4    27.0   212\n"
        "====  =======  =====  ======\n"
    )
    book_lines.mark_numbers(None, doctree, "page")
    marked = [n.astext() for n in doctree.findall(nodes.entry) if "number" in n["classes"]]
    assert marked == ["error", "field", "29.6", "\N{EN DASH}", "27.0", "212"]  # M is no number
