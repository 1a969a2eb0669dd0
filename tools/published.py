"""What only the published site says in its footer; the workflow that publishes sets it.

BOOK_VERIFIED=2026-11-30: the day on which the links out of the book, and its pages, were checked.
BOOK_PDF=vggnet-book.pdf: the file of the whole book that lies beside the pages.

A site that you build yourself says neither.
"""

from __future__ import annotations

import os
from datetime import date
from html import escape
from typing import Any

from book_site import HAS_ADDRESS, PUBLISHED
from sphinx.application import Sphinx
from sphinx.errors import ConfigError


def footer(verified: str, pdf: str) -> str:
    """Return what the footer says beside the licence. Raises ConfigError for what is no date."""
    said = []
    if verified:
        try:
            day = date.fromisoformat(verified)
        except ValueError:
            raise ConfigError(f"BOOK_VERIFIED={verified} is no date: 2026-11-30 is one") from None
        said.append(
            f'<span class="verified">Last verified on {day.day} {day:%B %Y}: '
            "the pages in a browser, the links to other sites.</span>"
        )
    if pdf and HAS_ADDRESS:
        said.append(f'<a href="{escape(PUBLISHED + pdf)}">The whole book as one PDF.</a>')
    return " ".join(said)


def add_footer(app: Sphinx, config: Any) -> None:
    more = footer(os.environ.get("BOOK_VERIFIED", ""), os.environ.get("BOOK_PDF", ""))
    if more:
        options = config.html_theme_options
        config.html_theme_options = options | {
            "extra_footer": f"{options.get('extra_footer', '')} {more}"
        }


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("config-inited", add_footer, priority=800)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
