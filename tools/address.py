"""Write the repository's address everywhere: python tools/address.py owner/name [branch].

The address is the setting `repository` and `branch` under [tool.book] in pyproject.toml. It is
replaced in every text file that git tracks; writing the old one again restores every byte.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACEHOLDER = "OWNER"  # of a repository that has no address yet
# GitHub's rules for names, and a branch.
ADDRESS = r"[a-z\d](-?[a-z\d]){0,38}/(?!\.{1,2} |\S*\.git )[\w.-]{1,100} \w[\w./-]*"


def read_setting(root: Path) -> tuple[str, str]:
    """Return the repository, as owner/name, and the branch."""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    repository, branch = re.findall(r'^(?:repository|branch) = "(.+)"$', text, re.MULTILINE)
    return repository, branch


def published(repository: str) -> str:
    """Return the address at which GitHub Pages serves a repository, given as owner/name."""
    return f"https://{repository.replace('/', '.github.io/')}/"


def write_address(root: Path, repository: str, branch: str) -> int:
    """Change the address in the files under `root`, and return how many files changed."""
    if not re.fullmatch(ADDRESS, f"{repository} {branch}", re.ASCII | re.IGNORECASE):
        raise ValueError(f"'{repository} {branch}' is no address: octocat/my-book main is one")
    old, old_branch = read_setting(root)
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=root, encoding="utf-8")
    files = [root / name for name in listed.split("\0") if (root / name).is_file()]
    data = {path: path.read_bytes() for path in files}
    texts = {path: data[path].decode() for path in files if b"\0" not in data[path]}

    def whole(name: str) -> str:
        return rf"(?<![\w.-]){re.escape(name)}(?![\w-])"  # not a part of a longer name

    for path, text in texts.items():
        if repository != old and re.search(whole(repository), text):
            raise ValueError(f"{path.relative_to(root)} names {repository} as another's work")
        for form in ('branch = "{}"', "branch: {}", "branches: [{}]"):
            text = text.replace(form.format(old_branch), form.format(branch))
        for kind in ("blob", "raw", "tree", "edit"):
            text = text.replace(f"{old}/{kind}/{old_branch}/", f"{old}/{kind}/{branch}/")
        text = text.replace(f"{old}@{old_branch}", f"{old}@{branch}")
        text = re.sub(whole(old), repository, text)
        site = whole(old.replace("/", ".github.io/"))
        texts[path] = re.sub(site, repository.replace("/", ".github.io/"), text)
    changed = [path for path in texts if texts[path].encode() != data[path]]
    for path in changed:
        path.write_bytes(texts[path].encode())
    return len(changed)


if __name__ == "__main__":
    try:
        repository, branch = (*sys.argv[1:], *read_setting(ROOT)[len(sys.argv) - 1 :])
        count = write_address(ROOT, repository, branch)
    except ValueError as error:
        sys.exit(f"error: {error}")
    print(f"The address is {repository}, branch {branch}; {count} files changed.")
