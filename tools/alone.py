"""Run notebooks as a stranger does: one file, an empty folder, no module, other versions.

    python tools/alone.py                       in a copy of this Python's packages, and the outputs
                                                have to be those stored
    python tools/alone.py --versions colab      in an environment made of tools/colab.txt
    python tools/alone.py --versions oldest     in one of the lower bounds of pyproject.toml
    python tools/alone.py --versions here       in this Python itself, as in Colab's own image
    python tools/alone.py --python python3.13 --versions colab book/01_paper.ipynb

Each notebook's first cell fetches the module from the book's address, which git is told to take for
this checkout (its files as they are, committed or not). Then all cells run. Afterwards no package
that was there may have another version. With other versions than those pinned, outputs aren't
compared: libraries print numbers otherwise.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from address import read_setting

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
REPOSITORY, BRANCH = read_setting(ROOT)
COLAB = ROOT / "tools" / "colab.txt"
RUNNER = ["ipykernel", "nbval", "pytest"]
UV = [sys.executable, "-m", "uv"]


class Place(NamedTuple):
    """A Python without the book's module, and the settings that send git to this checkout."""

    python: Path
    settings: dict[str, str]
    compare: bool  # the outputs with those stored


def make_place(folder: Path, versions: str | None = None, python: str = sys.executable) -> Place:
    """Make an environment in the folder: of "colab", "oldest", "here", or a copy of this one.

    The copy needs no network: its packages are links to this Python's. Raises CalledProcessError
    if packages cannot be had, and ValueError without uv, which fetches them, and for "here" if the
    module is there already.
    """
    settings = redirected_to(snapshot(folder / "checkout"))
    python = os.path.abspath(shutil.which(python) or python)
    if versions == "here":
        if "vgg_utils" in packages(Path(python), settings):
            raise ValueError(f"{python} has the module already: run `pip uninstall vgg-utils`")
        return Place(Path(python), settings, compare=False)
    made = folder / "environment" / ("Scripts" if os.name == "nt" else "bin") / "python"
    if versions is None:
        subprocess.run([python, "-m", "venv", folder / "environment"], check=True)
        uninstall(made, "setuptools", settings)  # Python 3.11 brings an old one
        link_packages(made, folder / "packages")
        # Nothing may be fetched but the module, whose builder is among the packages. (0 is pip's
        # way to say that this is so: "no isolation" is a flag stored upside down.)
        settings |= {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}
        return Place(made, settings, compare=True)
    if find_spec("uv") is None:
        raise ValueError("uv makes this environment: run `pip install uv`")
    wanted = ["-r", str(COLAB)]
    if versions == "oldest":
        wanted = ["--resolution", "lowest-direct", "-r", str(ROOT / "pyproject.toml")]
    subprocess.run([*UV, "venv", "--seed", "--python", python, folder / "environment"], check=True)
    for what in (wanted, RUNNER):
        subprocess.run([*UV, "pip", "install", "-q", "-p", made, *what], check=True)
    return Place(made, settings, compare=False)


def snapshot(folder: Path) -> Path:
    """Return a repository of one commit, on the setting's branch, with this checkout's files."""
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, encoding="utf-8")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    author = ["-c", "user.name=alone", "-c", "user.email=alone@localhost"]
    for command in (["init", "-b", BRANCH], ["add", "-A"], [*author, "commit", "-m", "files"]):
        subprocess.run(["git", *command], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder


def redirected_to(repository: Path) -> dict[str, str]:
    """Return environment variables by which git takes the book's address for a local repository."""
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{repository.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": f"https://github.com/{REPOSITORY}",
    }


def link_packages(python: Path, folder: Path, without: str = "vgg_utils") -> None:
    """Let an environment see this Python's packages, all but those whose files a pattern finds."""
    folder.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not re.search(without, path.name):
            (folder / path.name).symlink_to(path)
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = subprocess.check_output([python, "-c", ask], text=True).strip()
    Path(own, "linked.pth").write_text(f"{folder}\n", encoding="utf-8")


def uninstall(python: Path, package: str, settings: dict[str, str]) -> None:
    """Take a package out, if it is there."""
    command = [str(python), "-m", "pip", "uninstall", "-q", "-y", package]
    subprocess.run(command, env=environment(settings), check=True, capture_output=True)


def environment(settings: dict[str, str]) -> dict[str, str]:
    """Return the variables of a reader who has set none of his own, with these settings."""
    ours = ("PYTHONPATH", "PYTHONHOME", "OMP_NUM_THREADS", "OMP_WAIT_POLICY")
    return {key: value for key, value in os.environ.items() if key not in ours} | settings


def packages(python: Path, settings: dict[str, str]) -> dict[str, str]:
    """Return the version of each package that a Python has."""
    code = """if True:
        from importlib.metadata import distributions
        for one in distributions():
            print(one.metadata["Name"].lower().replace("-", "_"), one.version)"""
    # -I: without what lies in the folder that this is called from.
    said = subprocess.check_output([python, "-I", "-c", code], env=environment(settings), text=True)
    return dict(line.split() for line in reversed(said.splitlines()))  # the first one counts


def run_alone(place: Place, notebook: Path) -> str:
    """Run a notebook by itself; return what went wrong, or nothing. The place stays as it was."""
    before = packages(place.python, place.settings)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(notebook, folder)
        Path(folder, "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        comparing = "--nbval" if place.compare else "--nbval-lax"
        done = subprocess.run(
            [place.python, "-m", "pytest", comparing, "--nbval-current-env", "-q", "-x"],
            cwd=folder,
            env=environment(place.settings),
            capture_output=True,
            text=True,
            check=False,
        )
    after = packages(place.python, place.settings)
    uninstall(place.python, "vgg-utils", place.settings)
    if done.returncode:
        return done.stdout + done.stderr
    new = {name: version for name, version in after.items() if before.get(name) != version}
    lost = before.keys() - after.keys()
    if new.keys() != {"vgg_utils"} or lost:
        return f"packages changed: new {new}, lost {sorted(lost)}"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all in book/")
    parser.add_argument("--versions", choices=["colab", "oldest", "here"])
    parser.add_argument("--python", default=sys.executable, help="to make the environment with")
    options = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="alone-") as folder:
        try:
            place = make_place(Path(folder), options.versions, options.python)
        except ValueError as error:
            sys.exit(f"error: {error}")
        except subprocess.CalledProcessError:
            sys.exit("error: the environment could not be made (the reason stands above)")
        known = packages(place.python, place.settings)
        said = (f"{name} {known.get(name, '-')}" for name in ("torch", "torchvision", "numpy"))
        print("In an environment with", ", ".join(said))
        for notebook in options.notebooks or sorted(BOOK.glob("[0-9][0-9]_*.ipynb")):
            begin = time.perf_counter()
            problem = run_alone(place, notebook)
            took = f"{time.perf_counter() - begin:.0f} s"
            print(f"{notebook.name}: {'FAILED' if problem else 'to its end'}, {took}", flush=True)
            print(problem, end="")
            wrong += bool(problem)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
