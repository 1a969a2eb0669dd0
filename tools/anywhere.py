"""Give notebooks the form in which they open and run anywhere.

    python tools/anywhere.py                       every notebook of the book
    python tools/anywhere.py book/01_paper.ipynb   only these
    python tools/anywhere.py --measure             and renew vgg_utils/lessons.json, which says how
                                                   much time, memory and training each one takes

Nothing is run but with --measure. What is written: the set-up cell, the same in every notebook but
for its name; links to other pages as published addresses, for Colab shows a notebook without its
neighbours (tools/book_site.py turns them back); folds as Colab and JupyterLab know them; metadata,
which ask Colab for a GPU where a page offers work for one. What is taken off: what Colab,
JupyterLab and VS Code leave in a notebook that they save.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from address import published, read_setting
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
MEASURED = ROOT / "vgg_utils" / "lessons.json"
REPOSITORY, BRANCH = read_setting(ROOT)
PUBLISHED = published(REPOSITORY)

# The work that a page offers and doesn't do by itself: it wants a GPU.
CHOICES = {
    "06_training": "CIFAR-10 (170 MB)",
    "09_reproduction": "CIFAR-10 (170 MB)",
    "10_localisation": "photographs of pets and VGG-16 (1.4 GB)",
    "11_transfer": "VGG-16 (553 MB)",
    "12_inside": "VGG-16 (553 MB)",
    "13_perception": "VGG-16 (553 MB)",
    "14_scaling": "layers of full size",
    "15_fast_cifar10": "CIFAR-10 (170 MB)",
}
SETUP = f"""\
# @title Set up: run this cell first
import importlib.util
import os
import subprocess
import sys

KEEP_ON_DRIVE = False  # @param {{type: "boolean"}}

if importlib.util.find_spec("vgg_utils") is None:  # the book's module
    address = "git+https://github.com/{REPOSITORY}@{BRANCH}"
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", address],
        env=os.environ | {{"GIT_TERMINAL_PROMPT": "0"}},
        capture_output=True, text=True,
    )
    if done.returncode:
        raise RuntimeError(
            done.stderr + f"\\nCould not install {{address}}."
            "\\nIs there a network? On Kaggle, switch on Settings > Internet."
            "\\nThen run this cell again. Without a network, install the"
            " module\\nfrom a copy of the book: pip install --no-deps FOLDER"
        )
    importlib.invalidate_caches()

from vgg_utils.start import start_lesson

start_lesson("LESSON", keep_on_drive=KEEP_ON_DRIVE)

from vgg_utils import plots

plots.use_book_style()"""
LINKS = (  # at the head of every page
    f"[Run on Colab](https://colab.research.google.com/github/{REPOSITORY}/blob/{BRANCH}/book/"
    f"LESSON.ipynb) · [Download the notebook]({PUBLISHED}_sources/book/LESSON.ipynb)"
)
FOLDED = {"hide-input", "remove-cell"}  # tags of cells whose code teaches nothing
UNSEEN_TITLE = "# @title A check for the book's tests"
TITLE = re.compile(r"\A# @title .*\n")
CELL_METADATA = {"tags", "mystnb"}
LINK = re.compile(r"\]\((?:(?P<page>[\w./-]+)\.(?:ipynb|md))?(?P<anchor>#[\w-]+)?\)")
BADGE = re.compile(r'\A<a href="https://colab\.research\.google\.com/.*colab-badge\.svg.*</a>\Z')


def give_form(notebook: Any, name: str) -> None:
    """Change the notebook of this name (the file's, without .ipynb) in place."""
    take_off(notebook)
    notebook.metadata = nbformat.from_dict(metadata(name))
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    first.source = SETUP.replace("LESSON", name)
    first.metadata.tags = ["hide-input", "nbval-ignore-output"]
    head = notebook.cells[0]
    head.source = re.sub(r"\[Run on Colab\].*", LINKS.replace("LESSON", name), head.source)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = with_published_links(cell.source, name)
        else:
            fold(cell)


def take_off(notebook: Any) -> None:
    """Take off what other editors leave: Colab's badge and old format, metadata, empty cells."""
    notebook.cells = [
        cell for cell in notebook.cells if cell.source.strip() and not BADGE.match(cell.source)
    ]
    taken: set[str] = set()
    for cell in notebook.cells:
        # Colab stores format 4.0, in which the cell's name has moved into the metadata.
        known = cell.get("id") or cell.metadata.get("id", "")
        if known in taken or not re.fullmatch(r"[\w-]{1,64}", known, re.ASCII):
            known = nbformat.v4.new_raw_cell().id
        taken.add(known)
        cell.id = known
        cell.source = cell.source.replace("\r\n", "\n")
        kept = {key: cell.metadata[key] for key in CELL_METADATA if key in cell.metadata}
        cell.metadata = nbformat.from_dict(kept)
        if not cell.get("attachments", True):
            del cell["attachments"]
    notebook.nbformat, notebook.nbformat_minor = 4, 5


def metadata(name: str) -> dict[str, Any]:
    """Return a notebook's own metadata; a GPU is asked for where there is work for one."""
    said: dict[str, Any] = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    if name in CHOICES:
        said |= {"accelerator": "GPU", "colab": {"gpuType": "T4", "provenance": []}}
    return said


def with_published_links(text: str, name: str) -> str:
    """Return markdown whose links to the book's pages, and into this page, are addresses.

    Fenced code is left alone, and so is what is an address already.
    """

    def published(match: re.Match[str]) -> str:
        page, anchor = match["page"] or name, match["anchor"] or ""
        return f"]({PUBLISHED}book/{page}.html{anchor})" if page != name or anchor else match[0]

    parts = re.split(r"(^```.*?^```$)", text, flags=re.M | re.S)
    parts[::2] = [LINK.sub(published, part) for part in parts[::2]]
    return "".join(parts)


def fold(cell: Any) -> None:
    """Fold a cell of code that the site hides: for Colab a form with a title, for JupyterLab."""
    cell.source = source = TITLE.sub("", cell.source) if not is_setup(cell) else cell.source
    if not FOLDED & set(cell.metadata.get("tags", [])):
        return
    cell.metadata |= {"cellView": "form", "jupyter": {"source_hidden": True}}
    if not is_setup(cell):
        prompt = cell.metadata.get("mystnb", {}).get("code_prompt_show", "")
        title = f"# @title {prompt.replace('Show the', 'The', 1)}" if prompt else UNSEEN_TITLE
        cell.source = f"{title}\n{source}"


def is_setup(cell: Any) -> bool:
    return bool(cell.source.startswith(SETUP.partition("\n")[0]))


# What a page takes

COUNT = """\
import resource, time

from torch.optim.optimizer import register_optimizer_step_pre_hook

from vgg_utils.start import pace

_steps, _pace = [], pace(time.process_time)
register_optimizer_step_pre_hook(lambda *_: _steps.append(1))"""
TELL = """\
_used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(
    "measured", sum(used.ru_utime + used.ru_stime for used in _used), _pace,
    max(used.ru_maxrss for used in _used) / 1e6, len(_steps),
)"""


def measure(path: Path) -> dict[str, Any]:
    """Run a notebook in a fresh kernel, on Linux; return what `vgg_utils.start` says of it.

    Its time, and that of the piece of work that it's held against, are the processor's: with one
    thread those of an idle machine, however busy this one is.
    """
    notebook = nbformat.read(path, as_version=4)
    begin, end = (nbformat.v4.new_code_cell(source) for source in (COUNT, TELL))
    notebook.cells = [*notebook.cells[:2], begin, *notebook.cells[2:], end]
    NotebookClient(
        notebook,
        timeout=1200,
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    _, seconds, pace, peak, steps = end.outputs[-1].text.split()
    return {
        "seconds": round(float(seconds)),
        "pace": round(float(pace), 4),
        "gigabytes": round(float(peak), 1),
        "steps": int(steps),
        "choice": CHOICES.get(path.stem, ""),
    }


def store(name: str, takes: dict[str, Any]) -> None:
    """Enter what a page takes, so that its first cell knows it."""
    measured = json.loads(MEASURED.read_text("utf-8")) | {name: takes}
    text = json.dumps(dict(sorted(measured.items())), indent=1)
    MEASURED.write_text(text + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all in book/")
    parser.add_argument("--measure", action="store_true", help="run them, and store what they take")
    options = parser.parse_args()
    for path in options.notebooks or sorted(BOOK.glob("[0-9][0-9]_*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        give_form(notebook, path.stem)
        nbformat.validate(notebook)
        nbformat.write(notebook, path)
        if options.measure:
            store(path.stem, {"seconds": 0, "pace": 1, "gigabytes": 0, "steps": 0, "choice": ""})
            takes = measure(path)
            store(path.stem, takes)
            print(path.stem, takes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
