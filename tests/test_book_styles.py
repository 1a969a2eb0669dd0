"""The one style sheet of all pages (tools/book_styles.py)."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from site_files import PAGES, ROOT

sys.path.insert(0, str(ROOT / "tools"))
import book_styles

# Every property of one element of each kind; the theme's transitions would be caught half-way.
STILL = "*, ::before, ::after { transition: none !important; animation: none !important; }"
STYLES = """() => {
  const seen = new Map();
  const kind = element => element && `${element.localName}.${element.getAttribute("class")}`;
  for (const element of document.querySelectorAll("body *")) {
    if (element.closest("script, style, math")) continue;
    const name = `${kind(element.parentElement)} > ${kind(element)}`;
    if (seen.has(name)) continue;
    seen.set(name, [null, "::before", "::after"].map(part => {
      const style = getComputedStyle(element, part);
      return part && style.content === "none" ? "" :
        [...style].filter(property => !property.startsWith("--"))
          .map(property => `${property}: ${style.getPropertyValue(property)}`).join("\\n");
    }).join("\\n"));
  }
  return Object.fromEntries(seen);
}"""
TAKE_ALL = """async sheets => {
  const one = document.querySelector('link[href*="book.css"]');
  const links = sheets.map(sheet => {
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = one.href.replace(/_static.*/, sheet);
    one.before(link);
    return new Promise(resolve => { link.onload = resolve; });
  });
  await Promise.all(links);
  one.remove();
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", [PAGES[0], "book/02_receptive_field", "search"])
def test_one_sheet_does_what_all_do(
    name: str, scheme: str, page: Any, address: str, site: Path
) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{address}/{name}.html", wait_until="load")
    page.add_style_tag(content=STILL)
    page.wait_for_timeout(300)
    with_one = page.evaluate(STYLES)
    assert len(with_one) > 50
    first = (site / "_static" / book_styles.NAME).read_text("utf-8").partition("\n")[0]
    page.evaluate(TAKE_ALL, first.removeprefix("/* From ").removesuffix(" */").split())
    with_all = page.evaluate(STYLES)
    port = re.compile(r"url\([^)]*\)")  # resolved against another folder
    differ = {
        kind: [
            lines
            for lines in zip(style.split("\n"), with_all[kind].split("\n"), strict=True)
            if port.sub("", lines[0]) != port.sub("", lines[1])
        ]
        for kind, style in with_one.items()
        if style != with_all[kind]
    }
    assert not {kind: lines for kind, lines in differ.items() if lines}


PAGE = """<html><head><link rel="stylesheet" href="{root}_static/styles/a.css?v=1" />
<link rel="stylesheet" type="text/css" href="{root}_static/b.css">
<link media="print" rel="stylesheet" href="{root}_static/print.css"></head>
<body class="used more"><p id="here">Not a class: prose</p>
<script>element.className = "added";</script></body></html>"""


def make_site(folder: Path) -> Path:
    (folder / "_static/styles").mkdir(parents=True)
    (folder / "book").mkdir()
    (folder / "_static/styles/a.css").write_text(
        '@import "../base.css";\n/* note; */ .used, .prose { color: red; --seen: 1; --unseen: 2 }'
        "@media (width > 9px) { .none { top: 0 } .added:hover::before { top: 1px; } }"
        "@media print { .none { top: 0 } }"
        '@font-face { font-family: F; src: url("../f.woff2") } .other { src: url(x.png) }'
    )
    (folder / "_static/base.css").write_text("p > span, #here:not(.none) { left: var(--seen) }")
    (folder / "_static/b.css").write_text(":is(.none, .more) a, .more :is(.none) { right: 0 }")
    (folder / "index.html").write_text(PAGE.format(root=""))
    (folder / "book/x.html").write_text(PAGE.format(root="../") + "<a>")
    return folder


def test_sheets_are_joined_in_order_without_what_matches_nothing(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    book_styles.join_sheets(site)
    css = (site / "_static/book.css").read_text()
    assert css.split("\n") == [
        "/* From _static/styles/a.css _static/b.css */",
        "#here:not(.none){left: var(--seen)}",
        ".used{color: red;--seen: 1}",
        "@media (width > 9px){.added:hover::before{top: 1px}}",
        '@font-face { font-family: F; src: url("f.woff2") }',
        ":is(.none, .more) a{right: 0}",
    ]
    for file, root in ((site / "index.html", ""), (site / "book/x.html", "../")):
        links = re.findall(r'<link[^>]*href="([^"]+)"', file.read_text())
        assert len(links) == 2 and links[1] == f"{root}_static/print.css"
        assert re.fullmatch(re.escape(root) + r"_static/book\.css\?v=[0-9a-f]{8}", links[0])


def test_a_page_written_anew_changes_the_sheet_of_all(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    book_styles.join_sheets(site)
    before = (site / "book/x.html").read_text()
    (site / "index.html").write_text(PAGE.format(root="").replace("more", "prose"))
    book_styles.join_sheets(site)
    assert ".used,.prose{" in (site / "_static/book.css").read_text()
    assert (site / "book/x.html").read_text() != before
    book_styles.join_sheets(site)  # nothing is new
    assert book_styles.sheets_of((site / "book/x.html").read_text()) == ["_static/book.css"]


def test_pages_with_other_sheets_are_refused(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    page = (site / "index.html").read_text().replace("b.css", "c.css")
    (site / "index.html").write_text(page)
    with pytest.raises(ValueError, match=r"different style sheets: .*c\.css"):
        book_styles.join_sheets(site)
