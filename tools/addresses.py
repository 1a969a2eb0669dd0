"""Keep the addresses that a published site has: python tools/addresses.py [SITE].

tests/addresses.txt records every page of the site and every anchor in it that has a name of its
own: headings, exercises, terms, names of the module. Others link to them, so none may get lost.

    python tools/addresses.py              says what the built site has lost, and what is new
    python tools/addresses.py --add        records what is new
    python tools/addresses.py --renew      records what there is and forgets what is lost, which is
                                           right as long as the book isn't published
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parent.parent
RECORDED = ROOT / "tests" / "addresses.txt"
HEAD = "# Every address of the site, written by tools/addresses.py. A test refuses to lose one.\n"
# Names that tools count up, and change when something is added before.
COUNTED = re.compile(r"(id|footnote-reference-|footcite|live-)-?\d+")
REMEDY = """\
Others may link there. So give the old place back: in a page that stays, write <a id="old-name"></a>
before the heading; for a page that moves, add its old name and its new one to `moved_pages` in
_config.yml. Only before the book is first published: make addresses RENEW=1, and commit."""


def addresses_of(site: Path, through: bool = False) -> set[str]:
    """Return the addresses of a built site: pages, files of notebooks, anchors with a name.

    `through` gives a page that leads to another one the anchors of that one, which it passes on.
    """
    anchors: dict[str, set[str]] = {}
    leading: dict[str, str] = {}
    for path in sorted(site.rglob("*.html")):
        page = path.relative_to(site).as_posix()
        if page.startswith("_"):
            continue
        soup = BeautifulSoup(path.read_text("utf-8"), "html.parser")
        if refresh := soup.select_one('meta[http-equiv="refresh" i]'):
            target = str(refresh["content"]).partition("url=")[2]
            leading[page] = urlsplit(urljoin(f"/{page}", target)).path.lstrip("/")
        anchors[page] = {
            str(one.get("id") or one.get("name"))
            for one in soup.select("article [id], article a[name]")
            if not one.find_parent(["svg", "form"]) and not one.find_parent(class_="live")
        }
    if through:
        for page, target in leading.items():
            anchors[page] |= anchors.get(target, set())
    found = {
        f"{page}#{name}"
        for page, names in anchors.items()
        for name in names
        if not COUNTED.fullmatch(name)
    }
    files = {path.relative_to(site).as_posix() for path in site.glob("_sources/**/*.ipynb")}
    return found | set(anchors) | files


def recorded(file: Path = RECORDED) -> set[str]:
    """Return the addresses that are recorded."""
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    return {line for line in lines if line and not line.startswith("#")}


def record(addresses: set[str], file: Path = RECORDED) -> None:
    file.write_text(HEAD + "".join(f"{one}\n" for one in sorted(addresses)), encoding="utf-8")


def lost(site: Path, file: Path = RECORDED) -> str:
    """Return which recorded addresses a site lacks and what to do about it, or nothing."""
    missing = sorted(recorded(file) - addresses_of(site, through=True))
    return "\n".join(["The site has lost:", *missing, REMEDY]) if missing else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site", nargs="?", type=Path, default=ROOT / "_build" / "html")
    parser.add_argument("--add", action="store_true", help="record what is new")
    parser.add_argument("--renew", action="store_true", help="and forget what is lost")
    options = parser.parse_args()
    if not (options.site / "index.html").exists():
        sys.exit(f"error: no site in {options.site}: build it first, with `make book`")
    there, known = addresses_of(options.site), recorded()
    if options.add or options.renew:
        record(there if options.renew else there | known)
    gone = lost(options.site)
    print(f"{len(there - known)} addresses are new", *sorted(there - known)[:20], sep="\n  ")
    print(gone or "none is lost")
    return int(bool(gone))


if __name__ == "__main__":
    sys.exit(main())
