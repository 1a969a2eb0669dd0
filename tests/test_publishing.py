"""Publishing: outside links, checked against servers on loopback; dates; previews; workflows."""

from __future__ import annotations

import http.server
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from sphinx.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import links  # noqa: E402
import published  # noqa: E402

WORKFLOWS = ROOT / ".github" / "workflows"


class Answers(http.server.BaseHTTPRequestHandler):
    """Answer /200 with 200 and so on; /moved leads to /200."""

    def do_GET(self) -> None:
        moved = self.path == "/moved"
        self.send_response(302 if moved else int(self.path.strip("/")))
        if moved:
            self.send_header("Location", "/200")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_links_that_are_gone_are_told_from_those_that_refuse(server: str, tmp_path: Path) -> None:
    paths = ["200", "moved", "404", "410", "403", "503"]
    away = "http://no-such-host.invalid/page"
    text = "\n\n".join([f"`{path} <{server}/{path}>`__" for path in paths] + [f"`away <{away}>`__"])
    (tmp_path / "index.rst").write_text(f"Title\n=====\n\n{text}\n")
    (tmp_path / "conf.py").write_text("linkcheck_retries = 1\n")
    found = links.check(tmp_path, tmp_path, tmp_path / "out")
    assert found.working == 2
    assert sorted(line.split(": ")[1] for line in found.gone) == sorted(
        [f"{server}/404", f"{server}/410", away]
    )
    assert {line.split(": ")[1] for line in found.cannot_tell} == {f"{server}/403", f"{server}/503"}
    assert all(line.startswith("index.rst:") for line in found.gone)


def test_link_check_that_cannot_run_says_so(tmp_path: Path) -> None:
    (tmp_path / "conf.py").write_text("extensions = ['no_such_extension']\n")
    with pytest.raises(RuntimeError, match=r"did not run:\n[\s\S]*no_such_extension"):
        links.check(tmp_path, tmp_path, tmp_path / "out")


def footer_of(monkeypatch: pytest.MonkeyPatch, address: bool = True, **variables: str) -> str:
    for name in ("BOOK_VERIFIED", "BOOK_PDF"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(published, "HAS_ADDRESS", address)
    config = SimpleNamespace(html_theme_options={"extra_footer": "Licence."})
    published.add_footer(None, config)  # type: ignore[arg-type]
    return config.html_theme_options["extra_footer"]


def test_only_a_published_site_bears_a_date(monkeypatch: pytest.MonkeyPatch) -> None:
    assert footer_of(monkeypatch) == "Licence."
    assert footer_of(monkeypatch, BOOK_VERIFIED="") == "Licence."  # a link was dead
    said = footer_of(monkeypatch, BOOK_VERIFIED="2026-11-09")
    assert said.startswith("Licence. ")
    assert "Last verified on 9 November 2026:" in said
    with pytest.raises(ConfigError, match="BOOK_VERIFIED=yesterday is no date"):
        footer_of(monkeypatch, BOOK_VERIFIED="yesterday")


def test_pdf_is_linked_where_the_site_has_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    assert footer_of(monkeypatch, address=False, BOOK_PDF="book.pdf") == "Licence."
    said = footer_of(monkeypatch, BOOK_PDF="book.pdf")
    assert f'href="{published.PUBLISHED}book.pdf"' in said


def workflow(name: str) -> dict[Any, Any]:
    return yaml.safe_load((WORKFLOWS / f"{name}.yml").read_text("utf-8"))


def test_preview_runs_strangers_code_with_no_rights() -> None:
    said = workflow("preview")
    assert list(said[True]) == ["pull_request"]  # YAML reads `on` as a truth value
    text = (WORKFLOWS / "preview.yml").read_text("utf-8")
    assert "secrets." not in text and "id-token" not in text
    (job,) = said["jobs"].values()
    assert "permissions" not in job
    assert job["steps"][0]["with"] == {"persist-credentials": False}
    commands = [step.get("run", step.get("uses", "")) for step in job["steps"]]
    check = next(i for i, command in enumerate(commands) if "tests/test_site.py" in command)
    upload = next(i for i, command in enumerate(commands) if "upload-artifact@" in command)
    assert check < upload
    assert job["steps"][check]["env"]["BOOK_SITE"] == job["steps"][upload]["with"]["path"]


def test_publishing_checks_links_every_week_and_dates_the_site() -> None:
    said = workflow("publish")
    assert len(said[True]["schedule"]) == 1
    jobs = said["jobs"]
    commands = [step.get("run", "") for step in jobs["links"]["steps"]]
    checked = next(i for i, command in enumerate(commands) if command.startswith("make links"))
    dated = next(i for i, command in enumerate(commands) if "GITHUB_OUTPUT" in command)
    assert checked < dated  # a dead link leaves no date
    build = next(s for s in jobs["build"]["steps"] if s.get("run", "").startswith("make book"))
    assert build["env"]["BOOK_VERIFIED"] == "${{ needs.links.outputs.date }}"
    assert jobs["build"]["needs"] == "links"
    assert "needs.links.result == 'success'" in jobs["build"]["if"]
    assert "needs.build.result == 'success'" in jobs["deploy"]["if"]
    pdf = next(s["run"] for s in jobs["build"]["steps"] if "tools/pdf.py" in s.get("run", ""))
    assert pdf.endswith(f"_build/html/{build['env']['BOOK_PDF']}")
