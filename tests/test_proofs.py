"""Slow proofs that the notebooks hold on a reader's machine too, not on that of the tests alone.

The other tests, and what is stored in the notebooks, come from one thread and the repository. Here
every notebook runs alone where the module isn't installed, and with its trainings disturbed a
little, and some with two threads. Keep these tests in one module: pytest-xdist (`--dist loadscope`)
then runs them one after another.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import alone  # noqa: E402

NOTEBOOKS = sorted((ROOT / "book").glob("*.ipynb"))
RUNS = 3  # of each notebook, disturbed; some minutes in all

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> alone.Place:
    """An environment with the pinned packages and without the book's module."""
    return alone.make_place(tmp_path_factory.mktemp("place"))


@every_notebook
def test_a_notebook_says_what_is_stored_alone_where_the_module_is_not_installed(
    path: Path, place: alone.Place
) -> None:
    assert alone.run_alone(place, path) == ""


def test_the_place_has_no_module_and_no_way_to_the_repository(place: alone.Place) -> None:
    command = [place.python, "-I", "-c", "import torch, vgg_utils"]
    done = subprocess.run(
        command, env=alone.environment(place.settings), capture_output=True, text=True, check=False
    )
    assert "No module named 'vgg_utils'" in done.stderr


def test_who_has_no_network_is_told_what_to_do(place: alone.Place, tmp_path: Path) -> None:
    nowhere = place._replace(settings=place.settings | alone.redirected_to(tmp_path / "nowhere"))
    said = alone.run_alone(nowhere, NOTEBOOKS[0])
    assert f"Could not install git+https://github.com/{alone.REPOSITORY}@{alone.BRANCH}." in said
    assert "Is there a network? On Kaggle" in said
    assert "Then run this cell again." in said


def test_a_package_that_changed_is_told(
    place: alone.Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known = iter([{"numpy": "2.1", "tqdm": "4.6"}, {"numpy": "2.2", "vgg_utils": "0.1.0"}])
    monkeypatch.setattr(alone, "packages", lambda *_: next(known))
    said = alone.run_alone(place, planted(tmp_path, "answer = 6 * 7"))
    assert said == ("packages changed: new {'numpy': '2.2', 'vgg_utils': '0.1.0'}, lost ['tqdm']")


@pytest.mark.parametrize("name", ["06_training", "11_transfer", "14_scaling"])
def test_a_notebook_says_what_is_stored_with_two_threads(name: str, tmp_path: Path) -> None:
    """As for readers who ask for more than one; waiting, they leave the core to others."""
    path = ROOT / "book" / f"{name}.ipynb"
    shutil.copy(path, tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-q"],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def disturbed(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "tools/disturb.py", path, "--runs", str(RUNS), *options],
        capture_output=True,
        text=True,
        check=False,
    )


@every_notebook
def test_a_notebook_holds_when_its_trainings_are_disturbed(path: Path, tmp_path: Path) -> None:
    shutil.copy(path, tmp_path)
    done = disturbed(tmp_path / path.name)
    assert done.returncode == 0, done.stdout + done.stderr


IGNORED = "nbval-ignore-output"
# w -> 4 w (1 - w), written as a step of SGD down the slope w - 4 w (1 - w), doubles a difference:
# 30 steps make all of 1e-7, and next to nothing of 1e-15.
CHAOS = """\
import torch

w = torch.full((1,), 0.3, dtype=torch.float64, requires_grad=True)
sgd = torch.optim.SGD([w], lr=1.0)
for _ in range(30):
    sgd.zero_grad()
    (4 * w**3 / 3 - 3 * w**2 / 2).sum().backward()
    sgd.step()"""
LUCKY = 0.3
for _ in range(30):
    LUCKY = 4 * LUCKY * (1 - LUCKY)
# Each training is disturbed, but one and the same start always in the same way.
ALIKE = """\
import torch

torch.manual_seed(0)
drawn = torch.rand(3)


def new():
    torch.manual_seed(1)
    net = torch.nn.Linear(4, 3)
    return net, torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)


def train(net, sgd, steps):
    for _ in range(steps):
        sgd.zero_grad()
        net(torch.ones(2, 4)).square().sum().backward()
        sgd.step()


(whole, sgd), (half, first), (resumed, second) = new(), new(), new()
torch.manual_seed(0)
train(whole, sgd, 4)
train(half, first, 2)
resumed.load_state_dict(half.state_dict())
second.load_state_dict(first.state_dict())
train(resumed, second, 2)
assert torch.equal(torch.rand(3), drawn)
assert torch.equal(resumed.weight, whole.weight)"""


def planted(folder: Path, *cells: str, tags: tuple[str, ...] = ()) -> Path:
    """Write a notebook of these cells; the tags are the last one's."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    notebook.cells[-1].metadata["tags"] = list(tags)
    nbformat.write(notebook, folder / "planted.ipynb")
    return folder / "planted.ipynb"


def test_an_assertion_true_of_one_lucky_run_is_caught(tmp_path: Path) -> None:
    path = planted(tmp_path, CHAOS, f"assert abs(w.item() - {LUCKY}) < 0.01", tags=(IGNORED,))
    assert disturbed(path, "--scale", "1e-15").returncode == 0
    done = disturbed(path)
    assert done.returncode == 1
    assert re.search(r"^cell \[2\], not compared: assert abs.*\n  failed in", done.stdout, re.M)


def test_a_compared_output_that_moves_is_caught_and_its_range_told(tmp_path: Path) -> None:
    done = disturbed(planted(tmp_path, CHAOS, 'print(f"exact {6 * 7}, w {w.item():.3f}")'))
    assert done.returncode == 1
    said = re.search(r"^cell \[2\]: .*\n  exact 42, w \[(\S+) to (\S+)\]$", done.stdout, re.M)
    assert said, done.stdout
    assert 0 <= float(said[1]) < float(said[2]) <= 1


def test_trainings_that_start_alike_stay_alike_and_no_seed_is_touched(tmp_path: Path) -> None:
    """Else a notebook could not show that a resumed run ends where a whole one does."""
    number = "print(whole.weight.double().norm().item())"
    done = disturbed(planted(tmp_path, ALIKE, number, tags=(IGNORED,)))
    assert done.returncode == 0, done.stdout
    assert re.search(r"^cell \[2\], not compared: .*\n  \[\S+ to \S+\]$", done.stdout, re.M)
