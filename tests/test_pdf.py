"""The book as a PDF, read back with pypdf: whole lines of code, working links, right page numbers.

The quick tests print two small pages; the slow one prints the whole book.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup
from PIL import Image
from pypdf import PdfReader
from site_files import PAGES, ROOT

from vgg_utils import explorables

sys.path.insert(0, str(ROOT / "tools"))

import pdf

PAPER, FIELD = "book/01_paper", "book/02_receptive_field"
LONG = "value = " + "+".join(f"number_{index}" for index in range(20))  # 190 characters
FULL = "for row in rows:  # " + 60 * "x"
CODE = f"<div class='cell_input'><pre>{FULL}\n{LONG}\n</pre></div>"
FIRST = f"""<article class="bd-article"><section id="title"><h1>1. Read it<a class="headerlink"
href="#title">#</a></h1><p>See <a href="https://example.org/paper">the paper</a>, and
<a href="02_receptive_field.html#stack">stacks</a>, <a href="#two">below</a>.</p>
<div class="cell"><details class="hide"><summary>Show the set-up</summary>
<pre>set_up = 1</pre></details></div>{CODE}
<p style="height: 230mm">A tall one.</p>
<section id="two"><h2>Look again</h2><p><a href="https://example.org/paper">Paper</a> and
<a href="https://example.org/code">code</a>, <a href="../_sources/book/01_paper.ipynb">file</a>.
</p><details><summary>Hint</summary><p>Count twice.</p></details></section></section></article>"""
SECOND = """<article class="bd-article"><section id="title"><h1>2. Look at fields</h1>
<p style="height: 230mm">Tall again.</p><section id="stack"><h2>Stack windows</h2>
<p><span class="math notranslate">x</span></p>LIVE</section></section></article>"""


@pytest.fixture
def small_site(tmp_path: Path) -> Path:
    """Two pages with all that paper treats in its own way."""
    site = tmp_path / "site"
    (site / "book").mkdir(parents=True)
    shutil.copytree(ROOT / "book" / "_static", site / "_static")
    (site / "_static" / "pygments.css").write_text("")
    live = explorables.seeds()
    for name, text in ((PAPER, FIRST), (FIELD, SECOND.replace("LIVE", live))):
        page = f"<!doctype html><html><body><nav>Aside</nav>{text}</body></html>"
        (site / f"{name}.html").write_text(page, encoding="utf-8")
    return site


def printed(browser: Any, site: Path, out: Path, names: list[str]) -> PdfReader:
    html = out.with_suffix(".html")
    html.write_text(pdf.whole_book(site, names), encoding="utf-8")
    page = browser.new_page()
    try:
        pages = pdf.print_page(page, html, out)
    finally:
        page.close()
    reader = PdfReader(out)
    assert len(reader.pages) == pages
    return reader


def squeezed(text: str) -> str:
    """Return a text without blanks, for lines of print break where those of a file don't."""
    return re.sub(r"\s", "", text)


def bookmarks(reader: PdfReader) -> dict[str, int]:
    """Return the page, from 1, of each bookmark by its title."""
    found: dict[str, int] = {}

    def walk(some: Any) -> None:
        for one in some:
            if isinstance(one, list):
                walk(one)
            else:
                found[str(one.title)] = (reader.get_destination_page_number(one) or 0) + 1

    walk(reader.outline)
    return found


def test_pages_become_one_pdf(browser: Any, small_site: Path, tmp_path: Path) -> None:
    reader = printed(browser, small_site, tmp_path / "two.pdf", [PAPER, FIELD])
    texts = [page.extract_text() for page in reader.pages]
    whole = "\n".join(texts)
    at = bookmarks(reader)
    order = ["Contents", "1. Read it", "Look again", "2. Look at fields", "Stack windows"]
    assert [title for title in at if title in order] == order
    for title in order:
        assert title in texts[at[title] - 1], title
    assert at["2. Look at fields"] > at["Look again"] > at["1. Read it"]

    # Numbers of pages: in the contents, beside a link to another page, and at the foot.
    contents = re.sub(r"\s+", " ", texts[1])
    assert f"1. Read it {at['1. Read it']}" in contents
    assert f"2. Look at fields {at['2. Look at fields']}" in contents
    assert f"stacks (p. {at['Stack windows']})" in re.sub(r"\s+", " ", whole)
    assert "below (p." not in whole
    foot = at["Stack windows"]
    assert texts[foot - 1].strip().startswith("2. Look at fields")  # the running title
    assert re.search(rf"(?m)^{foot}$", texts[foot - 1])

    # What is folded; what a screen alone needs.
    assert "Count twice." in whole
    for absent in ("set_up", "Aside", "#", "Show the set-up"):
        assert absent not in whole.replace(FULL, ""), absent
    assert squeezed(FULL) in squeezed(whole)
    assert squeezed(LONG) in squeezed(whole)

    # Addresses: each once in the list, with its number at each of its links.
    assert re.search(r"Addresses\s+1\. https://example.org/paper\s+2\. https://exam", whole)
    assert re.search(r"the paper\s*1\b.*Paper\s*1\s+and\s+code\s*2\b", whole, re.DOTALL)
    leads = [
        one.get_object()["/A"]["/URI"]
        for page in reader.pages
        for one in page.get("/Annots", [])
        if "/URI" in one.get_object().get("/A", {})
    ]
    assert leads.count("https://example.org/paper") == 3
    assert not [link for link in leads if link.startswith("file:")]

    # The live figure: its static table, and none of its controls.
    assert "Draw again" not in whole
    assert "How many seeds" in whole or "seeds" in texts[at["Stack windows"] - 1]


def test_figure_with_two_sides_is_printed_once_in_the_light_one(
    browser: Any, small_site: Path, tmp_path: Path
) -> None:
    tags = ""
    for side, colour in (("light", "white"), ("dark", "black")):
        Image.new("RGB", (600, 400), colour).save(small_site / f"{side}.png")
        tags += f'<img class="on-{side}" src="../{side}.png" alt="" loading="lazy">'
    file = small_site / f"{FIELD}.html"
    far_down = f'<p style="height: 2000mm"></p>{tags}</article>'
    file.write_text(file.read_text("utf-8").replace("</article>", far_down), encoding="utf-8")
    reader = printed(browser, small_site, tmp_path / "figure.pdf", [FIELD])
    (drawn,) = [one.image for page in reader.pages for one in page.images]
    assert drawn.convert("L").getextrema() == (255, 255)


def test_what_is_too_wide_for_paper_is_refused(
    browser: Any, small_site: Path, tmp_path: Path
) -> None:
    file = small_site / f"{FIELD}.html"
    wide = '<div style="width: 300mm">much too wide</div>'
    file.write_text(file.read_text("utf-8").replace("</h1>", f"</h1>{wide}"), encoding="utf-8")
    with pytest.raises(ValueError, match=r"wider than the paper:\n02_receptive_field: .*much too"):
        printed(browser, small_site, tmp_path / "wide.pdf", [FIELD])


def test_pages_that_are_not_there_are_named(small_site: Path) -> None:
    with pytest.raises(ValueError, match="no page book/of_dreams: choose from book/intro, "):
        pdf.whole_book(small_site, ["book/of_dreams"])
    with pytest.raises(FileNotFoundError, match=r"03_chains.html is missing: .* `make book`"):
        pdf.whole_book(small_site, ["book/03_chains"])
    with pytest.raises(FileNotFoundError, match=r"intro\.html is missing"):
        pdf.whole_book(small_site)


@pytest.mark.slow
def test_whole_book_is_one_pdf(browser: Any, site: Path, tmp_path: Path) -> None:
    reader = printed(browser, site, tmp_path / "book.pdf", [])
    texts = [page.extract_text() for page in reader.pages]
    assert not [number for number, text in enumerate(texts, 1) if len(text) < 20]
    at = bookmarks(reader)
    starts = []
    for name in PAGES:
        page = BeautifulSoup((site / f"{name}.html").read_text("utf-8"), "html.parser")
        for one in page.select("a.headerlink, details.hide, .live, script"):
            one.decompose()
        title = page.select_one("article h1")
        assert title
        starts.append((at[title.get_text()], page))  # which a title over two lines wouldn't have
    assert starts == sorted(starts, key=lambda start: start[0])
    ends = [start for start, _ in starts[1:]] + [len(texts) + 1]
    for (start, page), end in zip(starts, ends, strict=True):
        paper = squeezed("".join(texts[start - 1 : end - 1]))
        for line in [line for one in page.select("pre") for line in one.get_text().split("\n")]:
            assert squeezed(line) in paper, line
        for link in page.select('article a[href^="http"]'):
            assert squeezed(str(link["href"])) in paper, link["href"]
