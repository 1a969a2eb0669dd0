"""Give all pages one style sheet, which holds no rule that none of them can use.

A page with Jupyter Book's theme waits for a dozen sheets before it shows a word. Nine tenths of
them are for components and icons that this book doesn't have. So when the site is built, the sheets
become one, in their order, without the rules that name a class, an id or an element that stands on
no page and in no script, and without variables that nothing reads. Whatever a script could add is
kept: all that a script spells counts as used. The sheet for print stays apart, as no screen waits
for it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence
from hashlib import sha256
from html import unescape
from pathlib import Path
from typing import Any

import tinycss2  # type: ignore[import-untyped]
from sphinx.application import Sphinx

NAME = "book.css"
FOLDER = "_static"
LINK = re.compile(
    r'[ \t]*<link (?![^>]*media=)(?=[^>]*rel="stylesheet")[^>]*href="([^"]+)"[^>]*>\n?'
)
SCRIPT = re.compile(r"<script\b[^>]*>(.*?)</script>", re.DOTALL)
WORD = re.compile(r"[A-Za-z_][\w-]*")
ALTERNATIVES = ("is", "where", "has", "-webkit-any", "-moz-any")
Tokens = Sequence[Any]


def scripts_of(site: Path) -> list[Path]:
    files = Path(site, FOLDER).glob("**/*.js")
    return [file for file in files if "locales" not in file.parts]  # which no page loads


def words_of(pages: Iterable[str], scripts: Iterable[str]) -> set[str]:
    """Return what pages use: elements, classes and ids, and every word of a script."""
    words = {word for script in scripts for word in WORD.findall(script)}
    for page in pages:
        words.update(word for script in SCRIPT.findall(page) for word in WORD.findall(script))
        text = SCRIPT.sub("", page)
        words.update(re.findall(r"<([A-Za-z][\w-]*)", text))
        for value in re.findall(r'\s(?:class|id)="([^"]*)"', text):
            words.update(unescape(value).split())
    return words


def in_parts(tokens: Tokens) -> list[list[Any]]:
    """Split at the commas."""
    parts: list[list[Any]] = [[]]
    for token in tokens:
        if token == ",":
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def can_match(selector: Tokens, words: set[str]) -> bool:
    """Tell whether all that a selector names is among the words."""
    before: Any = None
    for token in selector:
        if token.type == "ident" and before != ":" and token.value not in words:
            return False
        if token.type == "hash" and token.value not in words:
            return False
        if token.type == "function" and token.lower_name in ALTERNATIVES:  # not in `not`
            parts = in_parts(token.arguments)
            if not any(can_match(part, words) for part in parts):
                return False
        before = token
    return True


def without_unused(css: str, words: set[str], read: set[str]) -> str:
    """Return CSS without rules that match nothing and without variables that nothing reads.

    `words` are those of the pages (`words_of`), `read` the variables that pages and scripts name. A
    variable that only an unread one reads goes too. ValueError for what is no CSS.
    """
    while True:
        rules = tinycss2.parse_stylesheet(css, skip_comments=True, skip_whitespace=True)
        shorter = joined(rules, words, read | set(re.findall(r"var\(\s*(--[\w-]+)", css)))
        if shorter == css:
            return css
        css = shorter


def joined(rules: Tokens, words: set[str], read: set[str]) -> str:
    """Return the rules that can match as CSS, one a line, with the variables that are read."""
    kept = []
    for rule in rules:
        if rule.type == "qualified-rule":
            parts = [part for part in in_parts(rule.prelude) if can_match(part, words)]
            if parts:
                selectors = ",".join(tinycss2.serialize(part).strip() for part in parts)
                kept.append(f"{selectors}{{{declarations(rule.content, read)}}}")
        elif rule.type == "at-rule" and rule.lower_at_keyword in ("media", "supports", "container"):
            inner = tinycss2.parse_rule_list(rule.content, True, True)
            if text := joined(inner, words, read):
                condition = tinycss2.serialize(rule.prelude).strip()
                kept.append(f"@{rule.at_keyword} {condition}{{{text}}}")
        elif rule.type == "at-rule" and rule.lower_at_keyword != "charset":
            kept.append(re.sub(r"\s+", " ", rule.serialize()))
        elif rule.type == "error":
            raise ValueError(f"{rule.message} at {rule.source_line}:{rule.source_column}")
    return "\n".join(kept)


def declarations(content: Tokens, read: set[str]) -> str:
    """Return the inside of a rule without comments, needless white space and unread variables."""
    lines: list[list[Any]] = [[]]
    for token in content:
        if token == ";":
            lines.append([])
        elif token.type != "comment" and (lines[-1] or token.type != "whitespace"):
            lines[-1].append(token)
    kept = [line for line in lines if line and not unread(line[0], read)]
    return ";".join(re.sub(r"\s+", " ", tinycss2.serialize(line)).strip() for line in kept)


def unread(name: Any, read: set[str]) -> bool:
    return name.type == "ident" and name.value.startswith("--") and name.value not in read


def read_sheet(site: Path, path: str) -> str:
    """Return a sheet with what it imports, its addresses as seen from the folder of the sheets."""
    folder = posixpath.dirname(path)

    def imported(match: re.Match[str]) -> str:
        return read_sheet(site, posixpath.normpath(posixpath.join(folder, match[1])))

    def address(match: re.Match[str]) -> str:
        return f'url("{posixpath.relpath(posixpath.join(folder, match[1]), FOLDER)}")'

    text = Path(site, path).read_text("utf-8")
    text = re.sub(r"url\(\s*[\"']?(?!data:|#|/|\w+:)([^\"')]+)[\"']?\s*\)", address, text)
    return re.sub(r"@import\s+\"([^\"]+)\"\s*;", imported, text)


def sheets_of(page: str) -> list[str]:
    """Return the sheets that a page waits for, in order, from the root of the site."""
    addresses = [match[1].partition("?")[0] for match in LINK.finditer(page)]
    return [address[address.index(FOLDER) :] for address in addresses]


def join_sheets(site: Path) -> None:
    """Write one sheet for a built site, and link its pages to it.

    Pages that have it already, because Sphinx had no reason to write them again, get the new one.
    ValueError if pages have different sheets.
    """
    files = [file for file in sorted(site.rglob("*.html")) if FOLDER not in file.parts]
    pages = {file: file.read_text("utf-8") for file in files}
    pages = {file: page for file, page in pages.items() if LINK.search(page)}
    target = f"{FOLDER}/{NAME}"
    lists = {tuple(sheets_of(page)) for page in pages.values()} - {(target,)}
    if not lists:
        return
    if len(lists) > 1:
        raise ValueError(f"pages have different style sheets: {sorted(lists)}")
    sheets = lists.pop()
    text = "\n".join(read_sheet(site, path) for path in sheets)
    scripts = [file.read_text("utf-8") for file in scripts_of(site)]
    words = words_of(pages.values(), scripts)
    read = {name for part in (*pages.values(), *scripts) for name in re.findall(r"--[\w-]+", part)}
    css = f"/* From {' '.join(sheets)} */\n" + without_unused(text, words, read)
    Path(site, target).write_text(css, "utf-8")
    version = sha256(css.encode()).hexdigest()[:8]
    for file, page in pages.items():
        first = LINK.search(page)
        assert first
        root = first[1][: first[1].index(FOLDER)]
        link = f'<link rel="stylesheet" href="{root}{target}?v={version}" />\n'
        head = page[: first.start()] + link + LINK.sub("", page[first.end() :])
        file.write_text(head, "utf-8")


def finish(app: Sphinx, exception: Exception | None) -> None:
    if not exception and app.builder.format == "html":
        join_sheets(Path(app.outdir))


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("build-finished", finish, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
