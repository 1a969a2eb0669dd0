"""The command lines that the book prints for training and use: their options exist, and they run.

Lesson 14 prints how ImageNet would be trained. Nobody has made that run for the book; here its very
lines run, made small by options after them, on a folder of made images.
"""

import ast
import json
import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from image_files import write_images
from torch.distributed.run import get_args_parser

from vgg_utils import train as command
from vgg_utils import trained

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "vgg_utils" / "train.py",
    ROOT / "vgg_utils" / "trained.py",
    *sorted((ROOT / "book").rglob("*.md")),
    *sorted((ROOT / "book").glob("*.ipynb")),
]
SMALL = ["--config", "A", "--size", "32", "--width", "0.02", "--hidden", "8", "--dropout", "0"]
SMALL += ["--epochs", "2", "--batch-size", "8", "--device", "cpu", "--num-workers", "0"]
COMMAND = re.compile(
    # A line of its own, or code in a sentence; `[^\s`]*/` is the folder of an environment.
    r"(?:^ *|`)((?:[^\s`]*/)?(?:torchrun|python) [^`\n]*-m vgg_utils\.train(?:ed)?\b[^`\n]*)",
    re.M,
)


def prose(path):
    """Return what a page, or a module's docstring, says; a line that goes on is joined."""
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        text = ast.get_docstring(ast.parse(text))
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, as_version=4).cells
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return re.sub(r"\\\n\s*", "", text)


def commands(path):
    """Return the command lines of a page that train or use a network, as lists of words."""
    return [shlex.split(re.split(r"  +", line)[0]) for line in COMMAND.findall(prose(path))]


PRINTED = [(path, words) for path in PAGES for words in commands(path)]
CHAPTER = [words for path, words in PRINTED if path.name == "14_scaling.ipynb"]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_mention_of_the_commands_is_found(path):
    assert len(commands(path)) == prose(path).count("-m vgg_utils.train")


def test_where_a_reader_looks_for_the_commands_they_are():
    assert {"README.md", "train.py", "06_training.ipynb"} <= {path.name for path, _ in PRINTED}


@pytest.mark.parametrize("words", [words for _, words in PRINTED], ids=" ".join)
def test_every_printed_option_exists(words, monkeypatch):
    if "vgg_utils.trained" in words:
        monkeypatch.setattr(trained, "classify", lambda run, files, k: [[] for _ in files])
        trained.main(words[words.index("vgg_utils.trained") + 1 :])  # exits at an unknown one
        return
    place = words.index("vgg_utils.train")
    command._options(command._parser(), words[place + 1 :])  # so does this
    if words[0].endswith("torchrun"):
        parsed = get_args_parser().parse_args(words[1:])
        assert (parsed.module, parsed.training_script) == (True, "vgg_utils.train")


def test_the_chapter_prints_a_line_for_one_machine_and_one_for_two():
    one, two = CHAPTER
    place = [words.index("vgg_utils.train") for words in CHAPTER]
    assert one[place[0] :] == two[place[1] :]  # the same training
    assert ("--standalone" in one, "--nnodes" in two) == (True, True)


def changed(words, **values):
    """Return words with another value after each of these options; the option must be there."""
    words = list(words)
    for name, value in values.items():
        words[words.index("--" + name.replace("_", "-")) + 1] = str(value)
    return words


def start(words, folder):
    launcher = [sys.executable, "-m", "torch.distributed.run"]
    return subprocess.Popen(
        [*launcher, *words[1:], *SMALL],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def losses(folder):
    rows = json.loads((folder / "history.json").read_text())
    assert "test_loss" in rows[-1]
    return [value for row in rows for name, value in row.items() if name.endswith("loss")]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="gloo over loopback is tested on Linux")
def test_the_printed_lines_train_alike_on_one_machine_on_two_and_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "imagenet", sizes=[(40 + k, 50) for k in range(10)], suffix=".JPEG")
    one, two = CHAPTER
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    two = changed(two, nproc_per_node=1, master_addr="127.0.0.1", master_port=port, out="two")
    teams = [
        [changed(one, nproc_per_node=2, out="one")],
        [changed(two, node_rank=rank) for rank in (0, 1)],
    ]
    for team in teams:
        running = [start(words, tmp_path) for words in team]
        for process in running:
            _, errors = process.communicate(timeout=300)
            assert process.returncode == 0, errors

    words = changed(one, out="alone")[one.index("vgg_utils.train") + 1 :]
    assert command.main([*words, *SMALL]) == 0
    alone = losses(tmp_path / "alone")
    assert len(alone) == 5  # of training, validation and, at the end, the test
    assert losses(tmp_path / "one") == pytest.approx(alone, rel=1e-3)
    assert losses(tmp_path / "two") == pytest.approx(alone, rel=1e-3)
