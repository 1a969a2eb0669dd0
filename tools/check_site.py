"""Tell whether a built site is whole: the front page and every page of _toc.yml, with content.

    python tools/check_site.py               the site in _build/html
    python tools/check_site.py some/folder   another

Publishing depends on this. An empty or partial site ends with an error that names what is missing.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
LEAST_TEXT = 400  # characters of running text; the shortest page has well above


class Article(HTMLParser):
    """Collect a page's running text, its first heading and where it sends the reader."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.redirect = ""
        self.headings = 0
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "article":
            self._depth += 1
        elif tag == "h1" and self._depth:
            self.headings += 1
        elif tag == "meta" and (values.get("http-equiv") or "").lower() == "refresh":
            self.redirect = re.sub(r"(?i)^.*url=", "", values.get("content") or "").strip("'\" ")

    def handle_endtag(self, tag: str) -> None:
        if tag == "article":
            self._depth -= 1

    def handle_data(self, data: str) -> None:
        if self._depth:
            self.text += data.strip() + " "


def pages(toc: Any) -> Iterator[str]:
    """Yield the pages that a table of contents names, the root first."""
    if isinstance(toc, list):
        for entry in toc:
            yield from pages(entry)
    elif isinstance(toc, dict):
        for key, value in toc.items():
            if key in ("root", "file"):
                yield value
            elif key in ("parts", "chapters", "sections", "subtrees", "entries"):
                yield from pages(value)


def problems(site: Path, toc: Path) -> list[str]:
    """Return what keeps the site from being published, or nothing."""
    names = list(pages(yaml.safe_load(toc.read_text(encoding="utf-8"))))
    found = [] if names else [f"{toc.name} names no page"]
    for name in ["index", *names]:
        path = site / f"{name}.html"
        if not path.is_file():
            found.append(f"{name}.html is missing")
            continue
        article = Article()
        article.feed(path.read_text(encoding="utf-8"))
        if name == "index" and article.redirect:
            if not (site / article.redirect).is_file():
                found.append(f"index.html leads to {article.redirect}, which is missing")
        elif not article.headings or len(article.text) < LEAST_TEXT:
            found.append(
                f"{name}.html has {article.headings} headings and {len(article.text)} characters "
                "of text: is it empty?"
            )
    if not (site / "searchindex.js").is_file():
        found.append("searchindex.js is missing: search would find nothing")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site", nargs="?", type=Path, default=ROOT / "_build" / "html")
    parser.add_argument("--toc", type=Path, default=ROOT / "_toc.yml")
    arguments = parser.parse_args()
    found = problems(arguments.site, arguments.toc)
    for problem in found:
        print(f"error: {problem}", file=sys.stderr)
    if not found:
        print(f"{arguments.site} is whole.")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
