"""Measure the built site with Lighthouse, as a browser on a desk and on a phone meets it.

    python tools/lighthouse.py                  # performance, the median of three runs
    python tools/lighthouse.py --runs 1 book/03_chains

It prints a score for each page and ends with an error where one is below its limit. The site is
_build/html, or the one that BOOK_SITE names; it's served compressed, as GitHub Pages does. Run it
on a quiet machine: a busy one lowers the scores. The last figure is Lighthouse's own measure of the
machine in the slowest run: below 1,000 the scores say nothing of the page.

Accessibility, best practices and SEO don't depend on the machine: tests/test_site_quality.py holds
every page to 100 there.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from chromium import find_chromium

ROOT = Path(__file__).resolve().parent.parent
# Of the versions that run on Node 18, which Debian 12 has, the newest.
LIGHTHOUSE = "lighthouse@12.8.2"
NO_NODE = (
    "nothing runs Lighthouse here: install Node.js 18 or later with npm (Debian, Ubuntu: "
    "sudo apt-get install nodejs npm; macOS: brew install node)"
)
# The front page, a lesson with mathematics, one with live figures, the longest page.
PAGES = ("book/intro", "book/06_training", "book/03_chains", "book/reference/api")
LIMITS = {"desktop": 98, "mobile": 95}


class Handler(SimpleHTTPRequestHandler):
    """Serve files as GitHub Pages does: what is text goes compressed."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "max-age=600")
        super().end_headers()

    def send_head(self) -> Any:
        path = Path(self.translate_path(self.path))
        if path.suffix not in (".css", ".html", ".js", ".svg", ".txt") or not path.is_file():
            return super().send_head()
        body = gzip.compress(path.read_bytes())
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return io.BytesIO(body)


@contextmanager
def served(site: Path) -> Iterator[str]:
    """Serve a site on the loopback interface while the block runs; yield its address."""
    handler = functools.partial(Handler, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def find_npx() -> str | None:
    """Return npx, which comes with Node, or None without one that's new enough."""
    node, npx = shutil.which("node"), shutil.which("npx")
    if node is None or npx is None:
        return None
    version = subprocess.run([node, "--version"], capture_output=True, encoding="utf-8").stdout
    return npx if int(version.lstrip("v").partition(".")[0]) >= 18 else None


def report(url: str, categories: Sequence[str], mobile: bool = True) -> dict[str, Any]:
    """Return Lighthouse's report on a page. RuntimeError without npx, or if the page won't load.

    CHROMIUM names the browser; without it Lighthouse looks for one.
    """
    npx = find_npx()
    if npx is None:
        raise RuntimeError(NO_NODE)
    command = [npx, "--yes", LIGHTHOUSE, url, "--quiet", "--output=json"]
    command += [f"--only-categories={','.join(categories)}"]
    command += ["--chrome-flags=--headless=new --no-sandbox --disable-gpu"]
    command += [] if mobile else ["--preset=desktop"]
    program = find_chromium()
    environment = os.environ | ({"CHROME_PATH": program} if program else {})
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment)
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise RuntimeError(f"Lighthouse fails on {url}: {done.stderr[-2000:]}") from None
    if found.get("runtimeError"):
        raise RuntimeError(f"Lighthouse fails on {url}: {found['runtimeError']['message']}")
    return found


def scores(found: dict[str, Any]) -> dict[str, int]:
    """Return a report's scores out of 100, by category."""
    return {name: round(100 * c["score"]) for name, c in found["categories"].items()}


def complaints(found: dict[str, Any]) -> list[str]:
    """Return what costs points: the audits that count and aren't passed, with where."""
    lines = []
    for category in found["categories"].values():
        for reference in category["auditRefs"]:
            audit = found["audits"][reference["id"]]
            if reference["weight"] and audit["score"] is not None and audit["score"] < 0.9:
                items = (audit.get("details") or {}).get("items", [])
                where = [i["node"]["selector"] for i in items if i.get("node")]
                value = audit.get("displayValue", "")
                lines.append(f"{audit['id']}: {audit['title']} {value} {where[:3] or ''}".rstrip())
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure how fast pages of the built site load.")
    parser.add_argument("pages", nargs="*", default=PAGES, help="book/intro, for instance")
    parser.add_argument("--runs", type=int, default=3, help="take the median of as many (3)")
    options = parser.parse_args()
    site = Path(os.environ.get("BOOK_SITE") or ROOT / "_build/html").resolve()
    if not (site / "index.html").is_file():
        parser.error(f"there is no site in {site}; run `make book`")
    slow = []
    with served(site) as address:
        for page in options.pages:
            for form, limit in LIMITS.items():
                url = f"{address}/{page}.html"
                try:
                    runs = [
                        report(url, ["performance"], mobile=form == "mobile")
                        for _ in range(options.runs)
                    ]
                except RuntimeError as error:
                    print(error, file=sys.stderr)
                    return 2
                results = [scores(run)["performance"] for run in runs]
                median = statistics.median(results)
                speed = round(min(run["environment"]["benchmarkIndex"] for run in runs))
                print(f"{page:30} {form:8} {median:5g}  of {results}, at {speed}", flush=True)
                if median < limit:
                    slow.append(f"{page}, {form}: {median:g} is below {limit}")
                    print(*(f"    {line}" for line in complaints(runs[-1])), sep="\n")
    print(*slow, sep="\n")
    return bool(slow)


if __name__ == "__main__":
    sys.exit(main())
