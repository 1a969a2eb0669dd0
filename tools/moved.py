"""Pages that have moved: at the old address, a page that leads to the new one.

In _config.yml, under sphinx: config, `moved_pages: {book/old: book/new}` names pages as _toc.yml
does. An anchor in the old address is passed on.
"""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ConfigError

LEADING = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>This page has moved</title>
<meta http-equiv="refresh" content="0; url={to}"><link rel="canonical" href="{to}">
<script>location.replace("{to}" + location.hash)</script></head>
<body><p>This page has moved: <a href="{to}">go to where it is now</a>.</p></body></html>
"""


def lead_on(app: Sphinx, exception: Exception | None) -> None:
    """Write a page for each old name. Raises ConfigError if it is a page, or the new one is not."""
    if exception or app.builder.format != "html":
        return
    for old, new in app.config.moved_pages.items():
        if old in app.env.found_docs or new not in app.env.found_docs:
            raise ConfigError(f"moved_pages: {old} must be no page, and {new} one")
        file = Path(app.outdir, f"{old}.html")
        file.parent.mkdir(parents=True, exist_ok=True)
        to = Path(os.path.relpath(f"{new}.html", Path(old).parent)).as_posix()
        file.write_text(LEADING.format(to=escape(to)), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_config_value("moved_pages", {}, "html", [dict])
    app.connect("build-finished", lead_on)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
