"""Write the repository's address everywhere it stands: links, setup cells, settings.

    python tools/address.py                     say what the address is, and where it stands
    python tools/address.py owner/name          change it
    python tools/address.py owner/name --branch trunk

The address is the setting `repository` (and `branch`) under [tool.book] in pyproject.toml. Files
are changed as text, in place, and only where the old address is part of a link or of a setting;
running it again with the same address changes nothing, and with the old one restores every byte.
"""

import argparse
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SUFFIXES = {".bib", ".cff", ".css", ".html", ".ipynb", ".js", ".md", ".py", ".toml", ".yml"}
SKIPPED = {"_build", "build", "dist", "node_modules", "shared"}
# GitHub's own rules for names.
NAME = re.compile(r"[A-Za-z0-9](?:-?[A-Za-z0-9]){0,38}/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}")
BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")


def read_setting(root: Path) -> tuple[str, str]:
    """Return the repository, as owner/name, and the branch from pyproject.toml."""
    text = (root / "pyproject.toml").read_bytes().decode("utf-8")
    table = text.partition("[tool.book]")[2].partition("\n[")[0]
    found = dict(re.findall(r'^(repository|branch) = "(.+)"\r?$', table, flags=re.MULTILINE))
    if set(found) != {"repository", "branch"}:
        raise ValueError("pyproject.toml: [tool.book] must set `repository` and `branch`")
    return found["repository"], found["branch"]


def text_files(root: Path) -> list[Path]:
    """Return the files that may hold the address."""
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = [
            name
            for name in folders
            if name == ".github" or not (name.startswith(".") or name in SKIPPED)
        ]
        found += [Path(folder, name) for name in files if Path(name).suffix in SUFFIXES]
    return sorted(found)


def pattern(repository: str, branch: str) -> re.Pattern[str]:
    """Match what changes with the address, in links and in the two settings files.

    Groups: `repository` or `site`, and `branch` where a link names it.
    """
    owner, name = repository.split("/")
    end = r"(?![A-Za-z0-9_-])"  # the name must not go on
    links = (
        rf"(?<=github\.com/)(?P<repository>{re.escape(repository)}){end}"
        rf"(?:(?P<kind>/(?:blob|raw|tree|edit)/)(?P<branch>{re.escape(branch)})(?=/))?"
    )
    # Colab's links name the repository after /github/.
    colab = links.replace(r"github\.com/", r"\.com/github/").replace("(?P<", "(?P<colab_")
    site = rf"(?P<site>{re.escape(owner)}\.github\.io/{re.escape(name)}){end}"
    return re.compile(f"{links}|{colab}|{site}")


def rewrite(text: str, path: Path, old: tuple[str, str], new: tuple[str, str]) -> tuple[str, int]:
    """Return the text with the new address, and in how many places the old one stood."""
    owner, name = new[0].split("/")

    def replace(match: re.Match[str]) -> str:
        if match["site"]:
            return f"{owner}.github.io/{name}"
        kind = match["kind"] or match["colab_kind"]
        return f"{new[0]}{kind}{new[1]}" if kind else new[0]

    text, count = pattern(*old).subn(replace, text)
    setting = {
        "pyproject.toml": (r'(?m)^(repository = "){}(?=")', r'(?m)^(branch = "){}(?=")'),
        "_config.yml": (None, r"(?m)^(  branch: ){}(?=\s)"),
    }.get(path.name, ())
    for form, was, will_be in zip(setting, old, new):  # noqa: B905 (runs on Python 3.9 too)
        if form:
            text, found = re.subn(
                form.format(re.escape(was)), lambda m, value=will_be: m[1] + value, text
            )
            count += found
    return text, count


def write_address(root: Path, new: tuple[str, str]) -> dict[Path, int]:
    """Change the address under `root`; return the number of places by file.

    Raises ValueError, and changes nothing, if the new address is malformed or already belongs to
    another link of the book, such as a source it cites.
    """
    if not NAME.fullmatch(new[0]) or new[0].endswith(".git"):
        raise ValueError(f"{new[0]!r} is no address: give it as owner/name, like octocat/my-book")
    if not BRANCH.fullmatch(new[1]):
        raise ValueError(f"{new[1]!r} is no name of a branch")
    old = read_setting(root)
    places, changed = {}, {}
    for path in text_files(root):
        text = path.read_bytes().decode("utf-8")  # bytes: line ends stay as they are
        if new[0] != old[0] and pattern(*new).search(text):
            raise ValueError(f"{path.relative_to(root)} already links to {new[0]}, as another work")
        after, count = rewrite(text, path.relative_to(root), old, new)
        if count:
            places[path.relative_to(root)] = count
        if after != text:
            changed[path] = after
    for path, text in changed.items():
        path.write_bytes(text.encode("utf-8"))
    return places


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("repository", nargs="?", help="owner/name on GitHub")
    parser.add_argument("--branch", help="the branch that links point to")
    arguments = parser.parse_args()
    try:
        old = read_setting(ROOT)
        new = (arguments.repository or old[0], arguments.branch or old[1])
        places = write_address(ROOT, new)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    verb = "is" if new == old else "is now"
    print(f"The address {verb} {new[0]}, branch {new[1]}, in {sum(places.values())} places:")
    for path, count in places.items():
        print(f"{count:6}  {path.as_posix()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
