"""Print the built book as one PDF: python tools/pdf.py [PAGE ...].

All pages of _toc.yml, in their order, become one long page of HTML, which Chromium prints with the
style sheet book/_static/print.css. Ids get their page's name in front, so that links between pages
become links within the PDF, and say on which page of it they end. Links that leave the book are
numbered, and their addresses listed at the end of each of its pages. No scripts run, so live
figures show their static form. Of a drawn figure's two sides the light one is printed. Folded text
is open. Folded code, which only sets up or draws, is left out.

It needs Chromium or Chrome, and the built site. What is wider than the paper is an error.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

import yaml  # type: ignore[import-untyped]
from address import PLACEHOLDER, published, read_setting
from bs4 import BeautifulSoup, Tag
from chromium import find_chromium
from playwright.sync_api import Page, sync_playwright
from pypdf import PdfReader

ROOT = Path(__file__).resolve().parent.parent
STYLES = ("pygments.css", "custom.css", "accessibility.css", "figures.css", "print.css")
WIDTH, HEIGHT = 643, 930  # the text of an A4 page in pixels: 170 mm, and less than its 257 mm
REFERRING = ("for", "aria-labelledby", "aria-describedby", "aria-controls")
# What a page shows on a screen and paper has no use for.
LEFT_OUT = "a.headerlink, button, script, details.hide, .toctree-wrapper, .backrefs, img.on-dark"
ABOUT = """These are the pages of the site, in its order. Hints and solutions, which are folded
there, stand open here, and figures that move stand still. Left out is the code that a lesson folds
because it only sets up or draws; the notebooks have it. A small number behind a link is that of its
address, listed at the end of the lesson."""
TOO_WIDE = """width => [...document.querySelectorAll('article *')]
  .filter(e => !e.closest('svg') && e.getClientRects().length)
  .filter(e => e.getBoundingClientRect().right > width + 1 ||
    (e.matches('pre, div, table') && e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0))
  .map(e => e.closest('article').id + ': ' + e.tagName.toLowerCase() + ' ' +
    e.textContent.trim().slice(0, 60))"""
FILL = """pages => document.querySelectorAll('[data-page-of]').forEach(e => {
  e.textContent = pages[e.dataset.pageOf] || '';
})"""


class Part(NamedTuple):
    """A part of the book: its caption, empty for the front page, and its pages' names."""

    caption: str
    pages: list[str]


def parts_of(toc: Path) -> list[Part]:
    """Return the parts that a _toc.yml names, the front page first."""
    said = yaml.safe_load(toc.read_text("utf-8"))
    parts = [Part("", [said["root"]])]
    for part in said["parts"]:
        parts.append(Part(part["caption"], [chapter["file"] for chapter in part["chapters"]]))
    return parts


def key_of(name: str) -> str:
    """Return what the ids of a page begin with: "book/reference/api" gives "reference-api"."""
    return name.removeprefix("book/").replace("/", "-")


class Printed:
    """One page of the site in its form for paper."""

    def __init__(self, site: Path, name: str, names: Sequence[str]) -> None:
        self.site, self.name, self.names = site, name, names
        self.key = key_of(name)
        self.addresses: list[str] = []
        file = site / f"{name}.html"
        if not file.is_file():
            raise FileNotFoundError(f"{file} is missing: build the site first, with `make book`")
        page = BeautifulSoup(file.read_text("utf-8"), "html.parser")
        found, title = page.select_one("article"), page.select_one("article h1")
        if found is None or title is None:
            raise ValueError(f"{file} has no article with a title")
        self.article = found
        for element in self.article.select(LEFT_OUT):
            element.decompose()
        self.title = title.get_text().strip()
        self._prefix_ids()
        for fold in self.article.select("details"):
            fold["open"] = ""
        for image in self.article.select("img[src]"):
            image.attrs.pop("loading", None)  # a lazy one waits to be scrolled to
            source = str(image["src"])
            if not urlsplit(source).scheme:
                image["src"] = (site / self._path(source)).as_uri()
        for link in self.article.select("a[href]"):
            self._print_link(link)

    def _path(self, link: str) -> str:
        """Return the path within the site of a link on this page."""
        return unquote(urlsplit(urljoin(f"/{self.name}.html", link)).path).lstrip("/")

    def _prefix_ids(self) -> None:
        own = {}
        for element in self.article.select("[id]"):
            if not element.find_parent("svg"):  # a drawing refers to its own parts
                own[str(element["id"])] = element["id"] = f"{self.key}--{element['id']}"
        for attribute in REFERRING:
            for element in self.article.select(f"[{attribute}]"):
                element[attribute] = " ".join(
                    own.get(one, one) for one in str(element[attribute]).split()
                )

    def _print_link(self, link: Tag) -> None:
        """Let a link lead into the PDF, or give it the number of its address."""
        href = str(link["href"])
        parts = urlsplit(href)
        if parts.scheme in ("http", "https"):
            if href not in link.get_text():  # it would say the same twice
                if href not in self.addresses:
                    self.addresses.append(href)
                number = self.addresses.index(href) + 1
                link.insert_after(new(f'<sup class="address-number">{number}</sup>'))
            return
        target = self._path(href).removesuffix(".html") if parts.path else self.name
        if target not in self.names:
            link.unwrap()  # a file of the site, or a page that is not printed
            return
        anchor = f"{key_of(target)}--{parts.fragment}" if parts.fragment else key_of(target)
        link["href"] = f"#{anchor}"
        if target != self.name:
            link.insert_after(new(f'<span class="page-of" data-page-of="{anchor}"></span>'))

    def html(self, caption: str) -> str:
        """Return the page as an article, with its part's caption on top and its addresses below."""
        top = f'<p class="part">{escape(caption)}</p>' if caption else ""
        lines = [f'<li><a href="{escape(one)}">{escape(one)}</a></li>' for one in self.addresses]
        below = ""
        if lines:
            below = (
                f'<section class="addresses"><h2>Addresses</h2><ol>{"".join(lines)}</ol></section>'
            )
        inside = self.article.decode_contents()
        page = f'id="{self.key}" style="page: {css_name(self.key)}"'
        return f'<article class="bd-article" {page}>{top}{inside}{below}</article>'


def new(html: str) -> Tag:
    """Return an element made of HTML."""
    made = BeautifulSoup(html, "html.parser").find()
    assert isinstance(made, Tag)
    return made


def css_name(key: str) -> str:
    return "page-" + re.sub(r"\W", "-", key)


def css_string(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def contents_of(parts: Sequence[Part], pages: dict[str, Printed]) -> str:
    """Return the table of contents; the numbers of pages are filled in once they are known."""
    lines = []
    for part in parts:
        shown = [pages[name] for name in part.pages if name in pages]
        if shown and part.caption:
            lines.append(f'<li class="part">{escape(part.caption)}</li>')
        for one in shown:
            link = f'<a href="#{one.key}">{escape(one.title)}</a>'
            lines.append(f'<li>{link}<span data-page-of="{one.key}"></span></li>')
    return f'<nav class="contents"><h1>Contents</h1><ol>{"".join(lines)}</ol></nav>'


def whole_book(site: Path, only: Sequence[str] = ()) -> str:
    """Return the built site as one page of HTML for paper, or only the pages of these names.

    Raises FileNotFoundError if a page isn't built, ValueError for a name that isn't in _toc.yml.
    """
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    parts = parts_of(ROOT / "_toc.yml")
    known = [name for part in parts for name in part.pages]
    if strange := [name for name in only if name not in known]:
        raise ValueError(f"no page {', '.join(strange)}: choose from {', '.join(known)}")
    names = [name for name in known if not only or name in only]
    pages = {name: Printed(site, name, names) for name in names}
    articles = []
    for part in parts:
        shown = [name for name in part.pages if name in pages]
        articles += [pages[name].html(part.caption if name == shown[0] else "") for name in shown]
    styles = [
        f'<link rel="stylesheet" href="{(site / "_static" / one).as_uri()}">' for one in STYLES
    ]
    heads = [
        f"@page {css_name(one.key)} {{ @top-left {{ content: {css_string(one.title)}; }} }}"
        for one in pages.values()
    ]
    repository, _ = read_setting(ROOT)
    address, is_placeholder = published(repository), repository.startswith(f"{PLACEHOLDER}/")
    where = "" if is_placeholder else f'<p><a href="{address}">{address}</a></p>'
    title, footer = config["title"], config["html"]["extra_footer"]
    return f"""<!doctype html>
<html lang="en" data-theme="light"><head><meta charset="utf-8"><title>{escape(title)}</title>
<meta name="author" content="{escape(config["author"])}">
{"".join(styles)}<style>{" ".join(heads)}</style></head>
<body class="paper"><header class="cover"><p class="title">{escape(title)}</p>
<p>{escape(config["author"])}</p>{where}<p class="about">{ABOUT}</p><p>{footer}</p></header>
{contents_of(parts, pages)}{"".join(articles)}</body></html>"""


def print_page(page: Page, file: Path, out: Path) -> int:
    """Print HTML as a PDF in which the numbers of pages are right; return how many pages it has.

    Raises ValueError if something is wider than the paper, and then says what.
    """
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    page.emulate_media(media="print", color_scheme="light", reduced_motion="reduce")
    known: dict[str, int] = {}
    for _ in range(5):  # numbers have a width, and may move what follows them
        page.goto(file.as_uri())  # anew, for a page printed again may break elsewhere
        page.evaluate("document.fonts.ready")
        page.evaluate("Promise.all([...document.images].map(i => i.decode().catch(() => {})))")
        page.evaluate(FILL, known)
        if wide := page.evaluate(TOO_WIDE, WIDTH):
            raise ValueError("wider than the paper:\n" + "\n".join(wide))
        page.pdf(
            path=out, prefer_css_page_size=True, print_background=True, tagged=True, outline=True
        )
        found, count = pages_of(out)
        if found == known:
            return count
        known = found
    raise ValueError("the numbers of the pages don't come to rest")


def pages_of(file: Path) -> tuple[dict[str, int], int]:
    """Return the page, from 1, of everything in a PDF that a link leads to; and how many pages."""
    with PdfReader(file) as pdf:
        places = {
            name.lstrip("/"): (pdf.get_destination_page_number(place) or 0) + 1
            for name, place in pdf.named_destinations.items()
        }
        return places, len(pdf.pages)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", help="default: all; book/01_paper is one")
    parser.add_argument("--site", type=Path, default=ROOT / "_build" / "html")
    parser.add_argument("--out", type=Path, default=ROOT / "_build" / "pdf" / "vggnet-book.pdf")
    options = parser.parse_args(arguments)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
            file = Path(folder, "book.html")
            file.write_text(whole_book(options.site.resolve(), options.pages), encoding="utf-8")
            program = find_chromium()
            if program is None:
                raise FileNotFoundError(
                    "no Chromium or Chrome found to print with: install one, or name it in CHROMIUM"
                )
            browser: Any = playwright.chromium.launch(
                executable_path=program, args=["--headless", "--no-sandbox"]
            )
            count = print_page(browser.new_page(), file, options.out)
            browser.close()
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"{options.out}: {count} pages, {options.out.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
