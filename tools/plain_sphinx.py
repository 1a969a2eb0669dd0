"""Write a conf.py, with which Sphinx builds the book without Jupyter Book.

    pip install PACKAGES    (those named below)
    python tools/plain_sphinx.py
    sphinx-build -c _build/plain . _build/plain/html

_config.yml stays the one place of the settings: this says in Sphinx's words what stands there, and
what Jupyter Book adds by itself. A setting that it doesn't know is an error. With `--out .` the
file lands beside _toc.yml, where it can take over for good: `sphinx-build` then needs no `-c`.
"""

from __future__ import annotations

import argparse
import os
import pprint
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parent.parent
# What has to be installed, without pins, beside what the module needs.
PACKAGES = (
    "sphinx",
    "myst-nb",
    "sphinx-book-theme",
    "sphinx-copybutton",
    "sphinx-external-toc",
    "sphinx-multitoc-numbering",
    "sphinxcontrib-bibtex",
    "tinycss2",
)
HEAD = '''"""Sphinx's settings of the book, which tools/plain_sphinx.py wrote from _config.yml."""

import sys
from pathlib import Path

'''
# What Jupyter Book 1 sets unasked and this book lives by.
UNASKED: dict[str, Any] = {
    "html_theme": "sphinx_book_theme",
    "html_sourcelink_suffix": "",
    "numfig": True,
    "pygments_style": "sphinx",
    "suppress_warnings": ["myst.domains"],
    "myst_url_schemes": ["mailto", "http", "https"],
}
# Where a setting of _config.yml goes: Sphinx's name, or that of an option of the theme.
SETTINGS = {
    "title": "html_title",
    "author": "author",
    "copyright": "copyright",
    "logo": "html_logo",
    "only_build_toc_files": "external_toc_exclude_missing",
    "exclude_patterns": "exclude_patterns",
    "bibtex_bibfiles": "bibtex_bibfiles",
    "execute.execute_notebooks": "nb_execution_mode",
    "execute.stderr_output": "nb_output_stderr",
    "parse.myst_enable_extensions": "myst_enable_extensions",
    "html.favicon": "html_favicon",
}
THEME = {
    "repository.url": "repository_url",
    "repository.branch": "repository_branch",
    "repository.path_to_book": "path_to_docs",
    "launch_buttons.notebook_interface": "launch_buttons.notebook_interface",
    "launch_buttons.colab_url": "launch_buttons.colab_url",
    "html.use_repository_button": "use_repository_button",
    "html.use_issues_button": "use_issues_button",
    "html.home_page_in_navbar": "home_page_in_toc",
    "html.extra_footer": "extra_footer",
}
FROM_CONFDIR = (
    "html_logo",
    "html_favicon",
    "html_static_path",
    "templates_path",
    "bibtex_bibfiles",
)


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return Sphinx's settings for those of a _config.yml. Raises ValueError for unknown ones."""
    result = dict(UNASKED)
    theme: dict[str, Any] = {}
    for key, value in flat({key: part for key, part in config.items() if key != "sphinx"}).items():
        if key in SETTINGS:
            result[SETTINGS[key]] = value
        elif key in THEME:
            group, _, name = THEME[key].rpartition(".")
            (theme.setdefault(group, {}) if group else theme)[name] = value
        else:
            raise ValueError(f"_config.yml sets {key}, which tools/plain_sphinx.py doesn't know")
    result["html_theme_options"] = theme
    own = config.get("sphinx", {}).get("config", {})
    result |= own
    result["extensions"] = [name for name in own["extensions"] if name != "jupyter_book"]
    return result


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of all levels under names such as "html.favicon"."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            found |= {f"{key}.{name}": part for name, part in flat(value).items()}
        else:
            found[key] = value
    return found


def conf_py(root: Path, folder: Path) -> str:
    """Return the text of a conf.py for the book at `root` that stands in `folder`.

    Sphinx reads some paths from the file's folder, and Python finds local extensions on its path.
    """
    config = yaml.safe_load((root / "_config.yml").read_text("utf-8"))
    made = settings(config)

    def moved(path: str) -> str:
        return Path(os.path.relpath(root / path, folder)).as_posix()

    for key in FROM_CONFDIR:
        value = made[key]
        made[key] = moved(value) if isinstance(value, str) else [moved(one) for one in value]
    lines = [HEAD]
    for place in dict.fromkeys([*config["sphinx"].get("local_extensions", {}).values(), "."]):
        lines.append(
            f"sys.path.insert(0, str(Path(__file__).resolve().parent / {moved(place)!r}))\n"
        )
    lines += [
        f"{key} = {pprint.pformat(made[key], width=90, sort_dicts=False)}\n" for key in sorted(made)
    ]
    return "".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "_build" / "plain", help="a folder")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        text = conf_py(ROOT, options.out.resolve())
    except ValueError as error:
        sys.exit(f"error: {error}")
    (options.out / "conf.py").write_text(text, encoding="utf-8")
    print(f"{options.out / 'conf.py'} is written: sphinx-build -c {options.out} . OUTPUT")
    return 0


if __name__ == "__main__":
    sys.exit(main())
