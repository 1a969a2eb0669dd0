"""Check the links that leave the book: python tools/links.py.

Sphinx's own link check asks for each address. What is gone (404, 410, no such host) is an error.
Servers that refuse robots, ask for a login, or don't answer in time are listed and are none: from
here nobody can tell.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import plain_sphinx

ROOT = Path(__file__).resolve().parent.parent
# A redirect is no error, and an anchor is often made by a script.
OPTIONS = ("linkcheck_anchors=0", "linkcheck_timeout=30", "linkcheck_retries=3")
CANNOT_TELL = re.compile(
    r"\b(401|403|405|406|408|409|418|425|429|5\d\d) (Client|Server) Error|unauthorized|"
    r"too many requests|timed? ?out|ConnectionReset|RemoteDisconnected|rate.limited",
    re.IGNORECASE,
)


class Found(NamedTuple):
    """What a check found: how many addresses answered, and a line for each that didn't."""

    working: int
    gone: list[str]
    cannot_tell: list[str]


def check(source: Path, conf: Path, out: Path) -> Found:
    """Check every outside link of the pages in `source`, with the conf.py in `conf`.

    Raises RuntimeError if the pages can't be read.
    """
    command = [sys.executable, "-m", "sphinx", "-b", "linkcheck", "-q"]
    command += ["-c", str(conf), str(source), str(out)]
    for option in OPTIONS:
        command += ["-D", option]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    file = out / "output.json"
    if not file.exists():
        raise RuntimeError(f"the link check did not run:\n{done.stderr[-3000:]}")
    working, gone, cannot_tell = 0, [], []
    for line in file.read_text("utf-8").splitlines():
        one = json.loads(line)
        said = f"{one['filename']}:{one['lineno']}: {one['uri']}: {one['info']}"
        if one["status"] in ("working", "redirected"):
            working += 1
        elif one["status"] == "broken" and not CANNOT_TELL.search(one["info"]):
            gone.append(said)
        elif one["info"]:  # also "ignored": a server out of service, in words of Sphinx's own
            cannot_tell.append(said)
    return Found(working, gone, cannot_tell)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        conf = Path(folder)
        (conf / "conf.py").write_text(plain_sphinx.conf_py(ROOT, conf), encoding="utf-8")
        found = check(ROOT, conf, conf / "out")
    for title, lines in (("nobody can tell", found.cannot_tell), ("gone", found.gone)):
        print(f"{len(lines)} {title}", *lines, sep="\n  ")
    print(f"{found.working} answered")
    # Without a network nothing answers, and nothing has been checked.
    return int(bool(found.gone) or not found.working)


if __name__ == "__main__":
    sys.exit(main())
