"""The book builds with plain Sphinx, the newest that the extensions allow, from the same sources.

Jupyter Book's own translation of _config.yml measures ours. The slow test needs a network.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import addresses  # noqa: E402
import alone  # noqa: E402
import plain_sphinx  # noqa: E402

CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
# What Jupyter Book sets and plain Sphinx either has as its default or doesn't know.
JUPYTER_BOOK_S_OWN = {"comments_config", "html_baseurl", "latex_engine", "nb_execution_cache_path"}
JUPYTER_BOOK_S_OWN |= {"nb_execution_allow_errors", "nb_execution_excludepatterns"}
JUPYTER_BOOK_S_OWN |= {"nb_execution_in_temp", "nb_execution_timeout", "use_jupyterbook_latex"}
JUPYTER_BOOK_S_OWN |= {"use_multitoc_numbering"}


def test_settings_are_those_that_jupyter_book_makes() -> None:
    from jupyter_book.config import get_final_config

    theirs, _ = get_final_config(
        user_yaml=ROOT / "_config.yml", sourcedir=ROOT, cli_config={"latex_individualpages": False}
    )
    ours = plain_sphinx.settings(CONFIG)
    assert theirs.keys() - ours.keys() == JUPYTER_BOOK_S_OWN
    assert ours.keys() - theirs.keys() == set()
    for key in ours.keys() - {"extensions", "html_theme_options", "exclude_patterns"}:
        assert ours[key] == theirs[key], key
    added = {"jupyter_book", "sphinx_jupyterbook_latex"}
    assert set(ours["extensions"]) == set(theirs["extensions"]) - added
    assert set(ours["exclude_patterns"]) <= set(theirs["exclude_patterns"])

    def told(options: dict[str, Any]) -> dict[str, Any]:
        """Leave out what is empty, switched off, or leads to services that the book has not."""
        other = {"analytics", "search_bar_text"}
        return {
            key: told(value) if isinstance(value, dict) else value
            for key, value in options.items()
            if value and key not in other
        }

    assert told(ours["html_theme_options"]) == told(theirs["html_theme_options"])


def test_unknown_setting_is_named() -> None:
    with pytest.raises(ValueError, match=r"sets html\.baseurl, which tools/plain_sphinx\.py"):
        plain_sphinx.settings({**CONFIG, "html": {"baseurl": "https://example.org"}})


@pytest.mark.parametrize("folder", ["", "_build/plain"])
def test_conf_py_names_files_that_exist(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it stands, for Sphinx reads these paths from its folder."""
    place = ROOT / folder
    monkeypatch.setattr(sys, "path", list(sys.path))
    file = place / "conf.py"
    code = compile(plain_sphinx.conf_py(ROOT, place), str(file), "exec")
    made: dict[str, Any] = {"__file__": str(file)}
    exec(code, made)
    for key in plain_sphinx.FROM_CONFDIR:
        for path in [made[key]] if isinstance(made[key], str) else made[key]:
            assert Path(os.path.normpath(place / path)).exists(), (key, path)
    assert [Path(path).resolve() for path in sys.path[:2]] == [ROOT, ROOT / "tools"]


def make_environment(folder: Path) -> Path:
    """Make an environment with the newest versions of what plain Sphinx needs; return its Python.

    Of what is installed here it sees all but Sphinx, its extensions and Jupyter Book, for the
    reference imports the module.
    """
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    subprocess.run([*pip, *plain_sphinx.PACKAGES], check=True)
    own = "sphinx|myst|docutils|jupyter_book|pydata|pybtex|pygments|vgg_utils|__editable__"
    alone.link_packages(python, folder / "linked", rf"(?i)^({own})|\.pth$")
    return python


@pytest.mark.slow
def test_newest_sphinx_builds_the_same_pages_and_anchors(tmp_path: Path) -> None:
    python = make_environment(tmp_path / "environment")
    code = "import importlib.util, sphinx; print(sphinx.version_info[0], end=' '); "
    code += "print(importlib.util.find_spec('jupyter_book'))"
    newest, found = subprocess.check_output([python, "-c", code], text=True).split()
    assert int(newest) > 7  # newer than what Jupyter Book 1 allows
    assert found == "None"
    conf = tmp_path / "conf"
    conf.mkdir()
    (conf / "conf.py").write_text(plain_sphinx.conf_py(ROOT, conf), encoding="utf-8")
    site = tmp_path / "site"
    command = [python, "-m", "sphinx", "-W", "-n", "--keep-going", "-q", "-c", conf, ROOT, site]
    command += ["-d", tmp_path / "trees"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
    missing = addresses.lost(site)
    assert not missing, missing
    lessons = sorted(site.glob("book/[0-9]*.html"))
    assert len(lessons) == len(list(ROOT.glob("book/[0-9]*.ipynb")))
    for page in lessons:
        number = int(page.name[:2])
        assert f'<span class="section-number">{number}. </span>' in page.read_text("utf-8")
