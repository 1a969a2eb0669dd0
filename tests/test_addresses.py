"""No address of the site gets lost: how that's found, and how a page that moves keeps its old one.

The site itself is held against tests/addresses.txt in test_site.py, which has it built.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sphinx.application import Sphinx
from sphinx.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import addresses  # noqa: E402

PAGE = """<html><body><nav id="sidebar"></nav><article><h1 id="title">T</h1><h2 id="one">One</h2>
<a name="old"></a><span id="id7"></span><svg><g id="line"></g></svg>
<div class="live"><p id="control"></p></div></article></body></html>"""
LEADS = '<meta http-equiv="refresh" content="0; url=book/first.html"><p>Go</p>'


@pytest.fixture
def site(tmp_path: Path) -> Path:
    made = tmp_path / "site"
    (made / "book").mkdir(parents=True)
    (made / "_static").mkdir()
    (made / "_sources" / "book").mkdir(parents=True)
    (made / "book" / "first.html").write_text(PAGE)
    (made / "index.html").write_text(LEADS)
    (made / "_static" / "part.html").write_text(PAGE)
    (made / "_sources" / "book" / "first.ipynb").write_text("{}")
    return made


def test_addresses_are_pages_files_and_named_anchors(site: Path) -> None:
    assert addresses.addresses_of(site) == {
        "_sources/book/first.ipynb",
        "book/first.html",
        "book/first.html#old",
        "book/first.html#one",
        "book/first.html#title",
        "index.html",
    }


@pytest.mark.parametrize("gone", ['id="one"', 'name="old"', 'id="title"'])
def test_lost_anchor_is_refused_with_what_to_do(gone: str, site: Path, tmp_path: Path) -> None:
    file = tmp_path / "addresses.txt"
    addresses.record(addresses.addresses_of(site), file)
    assert addresses.lost(site, file) == ""
    (site / "book" / "first.html").write_text(PAGE.replace(gone, ""))
    said = addresses.lost(site, file).splitlines()
    assert said[:2] == ["The site has lost:", f"book/first.html#{gone.split(chr(34))[1]}"]
    assert "make addresses RENEW=1" in said[-1]


def test_lost_page_is_refused_and_one_that_leads_on_is_not(site: Path, tmp_path: Path) -> None:
    file = tmp_path / "addresses.txt"
    addresses.record(addresses.addresses_of(site), file)
    old = site / "book" / "first.html"
    new = old.rename(site / "book" / "second.html")
    assert "\nbook/first.html\n" in addresses.lost(site, file)
    old.write_text(LEADS.replace("book/first", "second"))
    assert addresses.lost(site, file) == ""
    new.write_text(PAGE.replace('id="one"', ""))
    assert "\nbook/first.html#one\n" in addresses.lost(site, file)


def test_what_is_new_is_not_lost(site: Path, tmp_path: Path) -> None:
    file = tmp_path / "addresses.txt"
    addresses.record(addresses.addresses_of(site), file)
    (site / "book" / "first.html").write_text(PAGE.replace("<h2", "<h2 id='two'>Two</h2><h2", 1))
    assert addresses.lost(site, file) == ""
    assert "book/first.html#two" in addresses.addresses_of(site) - addresses.recorded(file)


def build(folder: Path, moved: dict[str, str]) -> Path:
    """Build a site of two pages with plain Sphinx and the extension for pages that have moved."""
    (folder / "book").mkdir()
    (folder / "index.rst").write_text("Index\n=====\n\n.. toctree::\n\n   book/new\n")
    (folder / "book" / "new.rst").write_text("New\n===\n\nPart\n----\n")
    Sphinx(
        folder,
        None,
        folder / "out",
        folder / "trees",
        "html",
        confoverrides={"extensions": ["moved"], "moved_pages": moved},
        status=None,
        warning=None,
    ).build()
    return folder / "out"


def test_moved_page_leads_on_with_its_anchor(page: Any, tmp_path: Path) -> None:
    site = build(tmp_path, {"old/place": "book/new"})
    page.goto(f"{(site / 'old' / 'place.html').as_uri()}#part")
    page.wait_for_url("**/book/new.html#part")
    assert page.locator("section h1").inner_text().startswith("New")
    file = tmp_path / "addresses.txt"
    addresses.record({"old/place.html", "old/place.html#part"}, file)
    # The theme of this test has no <article>.
    new = site / "book" / "new.html"
    new.write_text(
        new.read_text("utf-8").replace("<body", "<article").replace("</body", "</article")
    )
    assert addresses.lost(site, file) == ""


@pytest.mark.parametrize("moved", [{"book/new": "index"}, {"book/old": "book/newer"}])
def test_moved_page_that_makes_no_sense_is_refused(moved: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be no page, and"):
        build(tmp_path, moved)


def test_recorded_addresses_are_those_of_the_book() -> None:
    """Every page and notebook in _toc.yml is recorded; tests/test_site.py looks at the rest."""
    listed = subprocess.check_output(["git", "ls-files", "book"], cwd=ROOT, encoding="utf-8")
    pages = {name for name in listed.split() if name.endswith((".ipynb", ".md"))}
    expected = {f"{name.rpartition('.')[0]}.html" for name in pages}
    expected |= {f"_sources/{name}" for name in pages if name.endswith(".ipynb")}
    assert expected <= addresses.recorded()
