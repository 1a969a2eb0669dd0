"""Downloads that can be trusted: checked, resumed, and tried at one address after another."""

from __future__ import annotations

import hashlib
import http.client
import shutil
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm


class DownloadError(RuntimeError):
    """A file that no address gave; the message says of each what happened."""


class _TooSlow(DownloadError):
    """A server that gives the file, but would take hours."""


def fetch(
    addresses: Sequence[str],
    path: str | Path,
    *,
    checksum: str,
    timeout: float = 20.0,
    attempts: int = 5,
    least_speed: float = 100e3,
) -> Path:
    """Download one file and return its path; a file already there and right is not fetched again.

    The addresses (http or https) are of copies of the same file, tried in turn; each is asked up to
    `attempts` times, as long as each time brings the file further. Until it is whole and has the
    `checksum` ("md5:c58f...", or another algorithm of hashlib), the file is `path` + ".part"; after
    a break the rest alone is asked for (HTTP Range). After `timeout` seconds without a byte a
    server counts as stalled. One that in as many seconds sends fewer than `least_speed` bytes a
    second is left for the next; if no other gives the file, it may take its time.

    One process at a time may fetch the same path. Raises DownloadError if no address gives the
    file, ValueError for an address of another kind, and OSError if the disk does not take it.
    """
    path, part = Path(path), Path(f"{path}.part")
    if wrong := [one for one in addresses if not one.startswith(("http://", "https://"))]:
        raise ValueError(f"an address starts with http:// or https://, got {wrong[0]!r}")
    if _matches(path, checksum):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    if _matches(part, checksum):  # all came, but the last step did not
        return part.replace(path)

    failures, waiting = [], [(address, least_speed) for address in addresses]
    for address, least in waiting:
        for _ in range(attempts):
            before = _size(part)
            try:
                _receive(address, part, checksum, timeout, least)
                return part.replace(path)
            except DownloadError as error:
                problem, slow = str(error), isinstance(error, _TooSlow)
            if slow or _size(part) == before:  # no further; else the rest, or anew
                break
        if slow:
            waiting.append((address, 0.0))  # once more, after all the others
        else:
            failures.append(f"  {address}\n    {problem}")
        tqdm.write(f"{address}: {problem}", file=sys.stderr)
    if part.exists():
        failures.append(f"{_size(part)} bytes are kept; the next try goes on from there.")
    raise DownloadError("\n".join([f"could not download {path.name}:", *failures]))


def unpack(archive: Path, folder: Path) -> None:
    """Put the top folder of a tar archive at `folder`, which bears its name: whole, or not at all.

    What was at `folder` is replaced. Raises ValueError if the archive has no such folder.
    """
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=folder.parent) as scratch:
        with tarfile.open(archive) as tar:
            tar.extractall(scratch, filter="data")
        fresh = Path(scratch) / folder.name
        if not fresh.is_dir():
            raise ValueError(f"{archive} holds no folder {folder.name}")
        shutil.rmtree(folder, ignore_errors=True)
        fresh.replace(folder)


def _receive(address: str, part: Path, checksum: str, timeout: float, least: float) -> None:
    """Bring `part` to its full length from one address, from where it stands if that can be.

    Raises DownloadError; _TooSlow for fewer than `least` bytes a second, over `timeout` seconds.
    """
    start = _size(part)
    headers = {"User-Agent": "vgg-utils"} | ({"Range": f"bytes={start}-"} if start else {})
    request = urllib.request.Request(address, headers=headers)
    with _ask(lambda: urllib.request.urlopen(request, timeout=timeout), part, timeout) as response:
        if response.status != 206:  # the whole file, whatever was asked
            start = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise DownloadError("the server sent another part of the file than asked for")
        end = None if response.length is None else start + response.length
        bar = tqdm(desc=part.stem, total=end, initial=start, unit="B", unit_scale=True, leave=False)
        with part.open("ab" if start else "wb") as file, bar:
            began, came = time.monotonic(), 0
            while piece := _ask(lambda: response.read1(1 << 18), part, timeout):
                bar.update(file.write(piece))
                came, took = came + len(piece), time.monotonic() - began
                if took >= timeout:
                    if came < least * took:
                        raise _TooSlow(f"too slow: {came / took / 1e3:.1f} kB a second")
                    began, came = time.monotonic(), 0
    if end is not None and _size(part) < end:
        raise DownloadError(f"cut off after {_size(part)} of {end} bytes")
    if not _matches(part, checksum):
        part.unlink()
        raise DownloadError(f"sent other bytes than expected (not those of {checksum})")


def _ask(call: Callable[[], Any], part: Path, timeout: float) -> Any:
    """Return what the server gives; what goes wrong on the way there becomes a DownloadError."""
    try:
        return call()
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # no bytes after those kept, which must be wrong
            part.unlink(missing_ok=True)
        problem = f"the server answered {error.code} {error.reason}"
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        problem = f"no connection or a broken one ({str(reason) or type(error).__name__})"
        if isinstance(reason, TimeoutError):
            problem = f"stalled: nothing came for {timeout:g} seconds"
    raise DownloadError(problem)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _matches(path: Path, checksum: str) -> bool:
    """Whether the file is there and has the checksum, given as "algorithm:hexadecimal digits"."""
    algorithm, _, expected = checksum.partition(":")
    digest = hashlib.new(algorithm, usedforsecurity=False)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest() == expected.lower()
