"""How the site is found, shared and searched: what no reader of a page sees, and the lesson's line.

Each page says in one sentence what it is, for search engines and for whoever shares its address,
and has a picture for that. The text is the page's own lead, so that nothing is written twice. What
needs the site's address (canonical links, the sitemap, the pictures' addresses) is left out as long
as the repository has none.

Sphinx's search drops numbers, and knows no word that a page does not use. Here decimals are words,
and `book/search.yml` says where a reader's words lead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

import yaml  # type: ignore[import-untyped]
from book_site import HAS_ADDRESS, PUBLISHED
from docutils import nodes
from social import draw_card
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.search.en import SearchEnglish

ROOT = Path(__file__).resolve().parent.parent
WORDS = ROOT / "book" / "search.yml"
SECONDS = ROOT / "vgg_utils" / "lessons.json"
LESSON = re.compile(r"book/(\d\d)_\w+")
MINUTES = re.compile(r"^\d+ minutes to study · ")
LONGEST = 200  # characters of a description; what search engines show ends near here
NOT_FOUND = "404"


# The line under a lesson's title


def lessons(app: Sphinx) -> list[str]:
    """Return the lessons' pages in their order."""
    return sorted(page for page in app.env.found_docs if LESSON.fullmatch(page))


def place_in_book(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Say which lesson of how many this is, and how long it runs, in the line with the minutes."""
    lesson = LESSON.fullmatch(page)
    known = lesson and json.loads(SECONDS.read_text("utf-8")).get(page.removeprefix("book/"))
    if not lesson or not known:
        return
    number, total = int(lesson[1]), len(lessons(app))
    for line in doctree.findall(nodes.paragraph):
        if line.children and (minutes := MINUTES.match(line[0].astext())):
            place, run = f"Lesson {number} of {total} ·", f"in {known['seconds']} s ·"
            unbroken = place, minutes[0].strip(), "runs", run
            before = " ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in unbroken)
            line[0:1] = [nodes.Text(f"{before} {line[0].astext()[minutes.end() :]}")]
            line["classes"].append("lesson-line")
            share = f'style="--done: {number / total:.1%}"'
            bar = f'<div class="lesson-bar" {share} aria-hidden="true"></div>'
            line.parent.insert(line.parent.index(line) + 1, nodes.raw("", bar, format="html"))
            return


# Descriptions, pictures, addresses


def sentences(text: str) -> str:
    """Return as many whole sentences as a description holds, or the beginning of the first."""
    found = ""
    for sentence in re.split(r"(?<=[.?!])\s+", " ".join(text.split())):
        if len(found) + len(sentence) > LONGEST:
            break
        found = f"{found} {sentence}".strip()
    return re.sub(":$", ".", found) or text[:LONGEST].rpartition(" ")[0] + "…"


def description(doctree: nodes.document) -> str:
    """Return a page's own `html_meta` description, or else the beginning of its lead."""
    for tag in doctree.findall(nodes.meta):
        if tag.get("name") == "description":
            return str(tag["content"])
    section = next(doctree.findall(nodes.section))
    lead = next(part for part in section.children if isinstance(part, nodes.paragraph))
    return sentences(lead.astext())


def add_tags(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Put the description and what social networks read into a page's head."""
    if doctree is None:  # the search page, and the one for what isn't found
        context["pageurl"] = None
        if page == "search":
            says = f"Search the lessons and the reference pages of {app.config.html_title}."
            context["metatags"] = context.get("metatags", "") + tag("description", says)
        return
    title = app.env.titles[page].astext()
    says = description(doctree)
    tags = {
        "og:type": "website" if page == app.config.root_doc else "article",
        "og:site_name": app.config.html_title,
        "og:locale": "en_GB",
        "og:title": title,
        "og:description": says,
        "twitter:card": "summary_large_image",
    }
    if HAS_ADDRESS:
        tags["og:url"] = f"{PUBLISHED}{page}.html"
        tags["og:image"] = f"{PUBLISHED}{card_of(page)}"
        tags |= {"og:image:width": "1200", "og:image:height": "630"}
        tags["og:image:alt"] = f"The title, {title}, beside a figure of the page"
    lines = [] if 'name="description"' in context["metatags"] else [tag("description", says)]
    lines += [tag(name, text) for name, text in tags.items()]
    context["metatags"] += "\n" + "\n".join(lines) + "\n"


def tag(name: str, text: str) -> str:
    key = "property" if name.startswith("og:") else "name"
    return f'<meta {key}="{name}" content="{escape(text, {chr(34): "&quot;"})}">'


def card_of(page: str) -> str:
    """Return the address of a page's picture: a lesson's own, or the book's."""
    name = page.removeprefix("book/") if LESSON.fullmatch(page) else "book"
    return f"_static/social/{name}.png"


def draw_cards(app: Sphinx, exception: Exception | None) -> None:
    """Draw the pictures, 1200x630, from each lesson's title and its first figure."""
    if exception or app.builder.format != "html":
        return
    pages = lessons(app)
    for number, page in enumerate(pages, 1):
        below = [f"Lesson {number} of {len(pages)}", app.config.html_title]
        title, file = app.env.titles[page].astext(), Path(app.outdir) / card_of(page)
        draw_card(file, title, below, ROOT / f"{page}.ipynb")
    front = Path(app.outdir) / card_of(app.config.root_doc)
    below = [f"{len(pages)} lessons to read,", "to run and to teach"]
    draw_card(front, app.config.html_title, below, ROOT / f"{pages[0]}.ipynb")


def write_sitemap(app: Sphinx, exception: Exception | None) -> None:
    """List the pages for search engines."""
    if exception or app.builder.format != "html" or not HAS_ADDRESS:
        return
    rows = [f"<url><loc>{PUBLISHED}{page}.html</loc></url>" for page in sorted(app.env.found_docs)]
    schema = "http://www.sitemaps.org/schemas/sitemap/0.9"
    text = f'<?xml version="1.0" encoding="utf-8"?>\n<urlset xmlns="{schema}">\n'
    folder = Path(app.outdir)
    (folder / "sitemap.xml").write_text(text + "\n".join(rows) + "\n</urlset>\n", "utf-8")
    robots = f"User-agent: *\nAllow: /\nSitemap: {PUBLISHED}sitemap.xml\n"
    (folder / "robots.txt").write_text(robots, "utf-8")


def make_not_found(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Make the page that GitHub Pages serves for an address that is none, at whatever depth."""
    base = urlsplit(PUBLISHED).path if HAS_ADDRESS else "/"
    front = app.builder.get_target_uri(app.config.root_doc)
    head = f'<base href="{base}"><meta name="robots" content="noindex">'
    yield NOT_FOUND, {"title": "Page not found", "metatags": head, "front": front}, "404.html"


# Search


class Search(SearchEnglish):
    """Sphinx's search in English, to which 2.303 is a word, in the index and in the search box."""

    lang = "en"
    _word_re = re.compile(r"\d+\.\d+|\w+")
    js_splitter_code = r"var splitQuery = (text) => text.match(/\d+\.\d+|[\p{L}\p{N}_]+/gu) ?? [];"


def lead_words(app: Sphinx, doctree: nodes.document) -> None:
    """Enter the words of book/search.yml in the search index, at the sections that they name."""
    page = app.env.docname
    app.env.note_dependency(str(WORDS))
    sections = list(doctree.findall(nodes.section))
    ids = {one: part for part in sections for one in part["ids"]} | {"": sections[0]}
    for word, places in yaml.safe_load(WORDS.read_text("utf-8")).items():
        for place in places:
            where, _, anchor = place.partition("#")
            if where == page and anchor not in ids:
                raise ExtensionError(f"{WORDS.name}: {word!r} leads to {place}, no such section")
            if where == page:
                entry = addnodes.index(entries=[("single", word, anchor, "main", None)])
                ids[anchor].insert(1, entry)


def use_address(app: Sphinx, config: Any) -> None:
    """Let pages name their canonical address."""
    config.html_baseurl = PUBLISHED if HAS_ADDRESS else ""


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_search_language(Search)
    app.connect("config-inited", use_address, priority=900)
    app.connect("doctree-read", lead_words)
    app.connect("doctree-resolved", place_in_book)
    app.connect("html-page-context", add_tags)
    app.connect("html-collect-pages", make_not_found)
    app.connect("build-finished", draw_cards)
    app.connect("build-finished", write_sitemap)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
