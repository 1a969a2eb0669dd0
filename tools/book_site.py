"""What the site needs beyond Jupyter Book: numbers, docstrings, and pages that are light to load.

- A chapter's number comes from its file name, so that a missing chapter leaves a gap.
- Docstrings are plain text; their lists and formulas are marked up here for the API page.
- The theme's icon script (0.5 MB compressed, two thousand icons) is replaced by a style sheet with
  the few icons the pages use; MathJax is left out of pages without mathematics.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

from docutils import nodes  # type: ignore[import-untyped]
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

CHAPTER = re.compile(r"book/(\d\d)_\w+$")


def number_chapters(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Give each numbered page the number in its file name; return the pages to write again."""
    changed = []
    for page, sections in env.toc_secnumbers.items():
        match = CHAPTER.match(page)
        if not match:
            continue
        number = int(match[1])
        for anchor, old in sections.items():
            if old and old[0] != number:
                sections[anchor] = (number, *old[1:])
                changed.append(page)
        if "secnumber" in env.titles[page]:
            env.titles[page]["secnumber"] = (number,)
        for reference in env.tocs[page].findall(nodes.reference):
            if reference.get("secnumber"):
                reference["secnumber"] = (number, *reference["secnumber"][1:])
    return changed


def mark_up_docstring(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Turn plain text into reStructuredText: lists of quoted names, and indented blocks as code.

    Sections such as "Arguments:" are left to sphinx.ext.napoleon.
    """
    result: list[str] = []
    previous, kind = "", "text"
    for line in lines:
        indented = line.startswith(" ")
        if not line.strip():
            kind = kind if kind in ("section", "code") else "text"
        elif not indented and re.match(r"(Arguments|Returns|Raises|Yields):$", line):
            kind = "section"
        elif not indented and re.match(r'"[^"]+": ', line):
            if kind != "list":
                result.append("")
            kind = "list"
            line = re.sub(r'^("[^"]+"): ', r"* ``\1``: ", line)
        elif not indented:
            if kind == "list":
                result.append("")
            kind = "text"
        elif kind == "list":
            line = "  " + line.strip()
        elif kind == "text":
            result += ["", "::", ""] if previous.strip() else ["::", ""]
            kind = "code"
        result.append(line)
        previous = line
    lines[:] = [*result, ""]


def skip_tuple_fields(
    app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out the fields of named tuples, whose generated docstrings say nothing."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def drop_unused_scripts(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Leave MathJax out of a page that has no mathematics."""
    has_math = doctree is not None and any(
        isinstance(node, nodes.math | nodes.math_block) for node in doctree.findall()
    )
    if not has_math:
        context["script_files"] = [
            script
            for script in context["script_files"]
            if "mathjax" not in f"{script} {getattr(script, 'attributes', '')}".lower()
        ]


def slim_icons(app: Sphinx, exception: Exception | None) -> None:
    """Replace the theme's icon script and fonts by a style sheet that holds the icons in use."""
    static = Path(app.outdir) / "_static"
    script = static / "scripts/fontawesome.js"
    if exception or not script.exists():
        return
    pages = {path: path.read_text("utf-8") for path in Path(app.outdir).rglob("*.html")}
    source = script.read_text("utf-8")
    rules = ICON_RULES
    for name in sorted(set(re.findall(r"\bfa-([a-z0-9-]+)", " ".join(pages.values())))):
        rules += icon_rule(source, name)
    (static / "icons.css").write_text(rules, "utf-8")

    for path, text in pages.items():
        slim = re.sub(
            r'<script defer src="([^"]*?)_static/scripts/fontawesome\.js[^"]*"></script>',
            r'<link rel="stylesheet" href="\1_static/icons.css" />',
            text,
        )
        if slim != text:
            path.write_text(slim, "utf-8")
    for style in (static / "styles").glob("*.css"):
        text = style.read_text("utf-8")
        text = re.sub(r"@font-face\{[^}]*Font Awesome[^}]*\}", "", text)
        text = re.sub(r'(?:\.fa-[\w-]+:before,?)+\{content:"[^"]*"\}', "", text)
        style.write_text(text, "utf-8")
    # What no page asks for: the script itself, its fonts, source maps, the theme's templates.
    shutil.rmtree(static / "vendor/fontawesome", ignore_errors=True)
    for pattern in ("scripts/fontawesome*", "*/*.map", "*webpack-macros.html"):
        for leftover in static.glob(pattern):
            leftover.unlink()


# MathJax part by part, without its context menu, which is two fifths of the ready-made bundle.
# The hidden MathML for screen readers stays.
MATHJAX_PARTS = ["input/tex", "output/chtml", "a11y/assistive-mml"]


def slim_mathjax(app: Sphinx, exception: Exception | None) -> None:
    """Keep of MathJax's 24 MB what a page can ask for."""
    mathjax = Path(app.outdir) / "_static/mathjax"
    keep = tuple(f"{part}.js" for part in ["startup", "core", *MATHJAX_PARTS])
    keep += ("input/tex/extensions/", "output/chtml/fonts/")
    if exception or not mathjax.exists():
        return
    for path in mathjax.rglob("*"):
        if path.is_file() and not path.relative_to(mathjax).as_posix().startswith(keep):
            path.unlink()


ICON_RULES = """\
/* Written by tools/book_site.py when the site is built: the Font Awesome icons its pages use. */
:is(i, span)[class*="fa-"] {
  font-family: inherit;
}
:is(i, span)[class*="fa-"]::before {
  content: "";
  display: inline-block;
  width: 1em;
  height: 1em;
  vertical-align: -0.125em;
  background: currentColor;
  -webkit-mask: var(--icon) center / contain no-repeat;
  mask: var(--icon) center / contain no-repeat;
}
/* The few marks that the theme writes in the icon font. */
:root {
  --fa-font-solid: normal 700 1em/1 sans-serif;
  --pst-icon-search-minus: "\\00d7";
  --pst-icon-external-link: "\\2197";
  --pst-icon-download: "\\2193";
}
.admonition > .admonition-title::after,
.bd-sidebar-secondary.hide:not(:hover) .onthispage::after {
  content: none;
}
"""


def icon_rule(source: str, name: str) -> str:
    """Write one icon, found in the icon script by its name or an alias, as a style rule."""
    shape = r'\[(\d+),(\d+),\[([^\]]*)\],"[0-9a-f]+","([^"]+)"\]'
    match = re.search(rf'[{{,]"?{name}"?:{shape}', source) or next(
        (found for found in re.finditer(shape, source) if f'"{name}"' in found[3]), None
    )
    if match is None:
        return ""  # a class that is no icon, such as fa-solid
    svg = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {match[1]} {match[2]}'>"
        f"<path d='{match[4]}'/></svg>"
    )
    address = quote(svg, safe="/ '=:;,.-")
    return f'.fa-{name} {{ --icon: url("data:image/svg+xml,{address}"); }}\n'


def setup(app: Sphinx) -> dict[str, Any]:
    # Jupyter Book always sets this option, also where no comments are wanted.
    app.add_config_value("comments_config", {}, "env")
    app.config.mathjax_path = "mathjax/startup.js"
    app.config.mathjax3_config = {"loader": {"load": MATHJAX_PARTS}}
    app.connect("env-get-updated", number_chapters, priority=900)
    app.connect("autodoc-process-docstring", mark_up_docstring, priority=400)
    app.connect("autodoc-skip-member", skip_tuple_fields)
    app.connect("html-page-context", drop_unused_scripts, priority=900)
    app.connect("build-finished", slim_icons)
    app.connect("build-finished", slim_mathjax, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
