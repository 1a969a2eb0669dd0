"""Downloads, against servers on loopback that stall, break off, lie, are missing or are fine."""

import hashlib
import http.server
import io
import os
import tarfile
import threading

import pytest

from vgg_utils import download
from vgg_utils.download import DownloadError, fetch, unpack

CONTENT = bytes(range(256)) * 2000  # 512,000 bytes
CHECKSUM = "md5:" + hashlib.md5(CONTENT).hexdigest()
HALF = len(CONTENT) // 2


class Server(http.server.BaseHTTPRequestHandler):
    """The path says how to behave; every request is noted with the range it asked for."""

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.seen.append((self.path, asked))
        if self.path == "/missing":
            return self.send_error(404)
        if self.path == "/silent":
            self.server.stop.wait(10)  # accepts, and never says a word
            return None
        content = CONTENT[::-1] if self.path == "/wrong" else CONTENT
        content = content[:1000] if self.path == "/short" else content
        start = 0
        if asked and "norange" not in self.path:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            shift = 7 if self.path == "/othersplace" else 0
            self.send_header("Content-Range", f"bytes {start + shift}-{len(content) - 1}/*")
        if self.path != "/nolength":
            length = "many" if self.path == "/oddlength" else str(len(content) - start)
            self.send_header("Content-Length", length)
        self.end_headers()
        content = content[start:]
        if self.path.startswith("/cut") and (start == 0 or "always" in self.path):
            content = content[: HALF if start == 0 else 1000]
        if self.path == "/slow" and [path for path, _ in self.server.seen].count("/slow") == 1:
            for begin in range(0, 100_000, 500):  # 10 kB a second, for its first caller
                self.wfile.write(content[begin : begin + 500])
                if self.server.stop.wait(0.05):
                    break
            return None
        if self.path == "/stall":
            self.wfile.write(content[:1000])
            self.server.stop.wait(10)
            return None
        self.wfile.write(content)
        return None


@pytest.fixture
def server():
    instance = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    instance.daemon_threads = True
    instance.seen, instance.stop = [], threading.Event()
    instance.at = lambda name: f"http://127.0.0.1:{instance.server_port}/{name}"
    thread = threading.Thread(target=instance.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield instance
    instance.stop.set()
    instance.shutdown()
    instance.server_close()
    thread.join()


@pytest.fixture
def get(server, tmp_path):
    def from_addresses(*names, **options):
        options = {"checksum": CHECKSUM, "timeout": 1.0} | options
        return fetch([server.at(name) for name in names], tmp_path / "new" / "file.bin", **options)

    return from_addresses


def arrived(path):
    return path.read_bytes() == CONTENT and os.listdir(path.parent) == [path.name]


def test_good_server_gives_the_file_and_is_asked_once(server, get):
    assert arrived(get("fine"))
    assert arrived(get("fine", "missing"))
    assert server.seen == [("/fine", None)]
    assert arrived(get("missing", checksum="sha256:" + hashlib.sha256(CONTENT).hexdigest()))


def test_one_server_after_the_other_until_one_is_right(server, get, capsys):
    """Of one that stalls, one that breaks off and one that lies, nothing is left in the file."""
    assert arrived(get("stall", "cut-norange", "wrong", "fine"))
    paths = [path for path, _ in server.seen]
    assert list(dict.fromkeys(paths)) == ["/stall", "/cut-norange", "/wrong", "/fine"]
    assert server.seen[-1] == ("/fine", None)
    shown = capsys.readouterr().err
    for text in ("stalled", "cut off after", "sent other bytes"):  # as it happens, one line each
        assert text in shown
    assert "/512k" in shown  # the bar, with how much there is to come


def test_file_that_is_there_but_wrong_is_fetched_anew(get, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "file.bin").write_bytes(CONTENT[:-1])
    assert arrived(get("fine"))


@pytest.mark.parametrize("name", ["nolength", "oddlength"])
def test_server_that_gives_no_length_is_fine(get, name):
    assert arrived(get(name))


@pytest.mark.parametrize("name", ["stall", "silent"])
def test_stalled_server_is_left_for_the_next(server, get, name):
    assert arrived(get(name, "fine", attempts=1))
    kept = {"stall": "bytes=1000-", "silent": None}[name]
    assert server.seen == [(f"/{name}", None), ("/fine", kept)]


def test_mirror_that_is_too_slow_is_left_for_the_next(server, get, capsys):
    """What it has given by then is kept, and the next gives the rest."""
    assert arrived(get("slow", "fine", least_speed=50e3))
    (first, _), (second, kept) = server.seen
    assert (first, second) == ("/slow", "/fine")
    start = int(kept.removeprefix("bytes=").removesuffix("-"))
    assert 500 <= start < 50_000
    assert "/slow: too slow: " in capsys.readouterr().err


def test_slow_mirror_may_take_its_time_if_no_other_gives_the_file(server, get):
    assert arrived(get("slow", "missing", least_speed=50e3))
    assert [path for path, _ in server.seen] == ["/slow", "/missing", "/slow"]


def test_mirror_fast_enough_is_not_left(server, get):
    with pytest.raises(DownloadError, match="cut off after 100000 of"):
        get("slow", attempts=1, least_speed=1e3, timeout=0.5)
    assert [path for path, _ in server.seen] == ["/slow"]


def test_cut_off_download_asks_the_same_server_for_the_rest(server, get):
    assert arrived(get("cut"))
    assert server.seen == [("/cut", None), ("/cut", f"bytes={HALF}-")]


def test_server_without_range_that_cuts_off_is_left_and_the_bytes_kept_are_used(server, get):
    assert arrived(get("cut-norange", "fine"))
    assert server.seen == [
        ("/cut-norange", None),
        ("/cut-norange", f"bytes={HALF}-"),
        ("/fine", f"bytes={HALF}-"),
    ]


def test_server_without_range_starts_over(server, get, tmp_path):
    with pytest.raises(DownloadError):
        get("cut-norange")
    assert arrived(get("norange"))


def test_next_run_goes_on_where_the_last_broke_off(server, get, tmp_path):
    with pytest.raises(DownloadError, match="258000 bytes are kept"):
        get("cut-always", attempts=3)
    assert not (tmp_path / "new" / "file.bin").exists()
    server.seen.clear()
    assert arrived(get("fine"))
    assert server.seen == [("/fine", "bytes=258000-")]


@pytest.mark.parametrize("name", ["wrong", "short"])
def test_wrong_bytes_are_thrown_away_and_the_next_server_asked(server, get, name):
    assert arrived(get(name, "fine"))
    assert server.seen == [(f"/{name}", None), ("/fine", None)]


def test_bytes_kept_from_a_wrong_file_do_not_spoil_a_right_one(server, get, tmp_path):
    (tmp_path / "new").mkdir()
    for kept in (b"foreign", CONTENT + b"too long"):
        (tmp_path / "new" / "file.bin.part").write_bytes(kept)
        assert arrived(get("fine"))
        assert server.seen[-1] == ("/fine", None)
        (tmp_path / "new" / "file.bin").unlink()


def test_whole_file_that_was_not_renamed_needs_no_server(server, get, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "file.bin.part").write_bytes(CONTENT)
    assert arrived(get())
    assert server.seen == []


def test_another_range_than_asked_for_is_refused(get, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "file.bin.part").write_bytes(CONTENT[:10])
    with pytest.raises(DownloadError, match="another part of the file"):
        get("othersplace")


def test_error_says_of_each_address_what_happened(server, get, tmp_path, capsys):
    closed = "http://127.0.0.1:1/file"  # nothing listens on port 1
    names = ["missing", "silent", "stall", "cut-norange", "wrong"]
    with pytest.raises(DownloadError) as caught:
        fetch(
            [closed] + [server.at(name) for name in names],
            tmp_path / "file.bin",
            checksum=CHECKSUM,
            timeout=1.0,
        )
    lines = str(caught.value).splitlines()
    assert lines[0] == "could not download file.bin:"
    said = dict(zip(lines[1::2], lines[2::2], strict=True))
    expected = [
        "no connection",
        "404 Not Found",
        "stalled: nothing came for 1 seconds",
        "stalled",
        f"cut off after {HALF} of {len(CONTENT)} bytes",
        "sent other bytes than expected (not those of md5:",
    ]
    for address, text in zip([closed] + [server.at(n) for n in names], expected, strict=True):
        assert text in said[f"  {address}"]
    shown = capsys.readouterr().err
    assert "file.bin" in shown and "404 Not Found" in shown  # the bar, and the line between


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
def test_full_disk_is_no_fault_of_the_server(get, monkeypatch, tmp_path):
    """The error of the disk comes through; no further address is bothered."""
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "file.bin.part").symlink_to("/dev/full")
    monkeypatch.setattr(download, "_matches", lambda path, checksum: False)
    with pytest.raises(OSError, match="No space left"):
        get("fine", "fine")


def test_address_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ValueError, match="http"):
        fetch(["file:///etc/hostname"], tmp_path / "file", checksum=CHECKSUM)


def make_archive(path, folder="things"):
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo(f"{folder}/inside.txt")
        member.size = 5
        tar.addfile(member, io.BytesIO(b"hello"))
    return path


def test_unpacking_replaces_a_half_unpacked_folder(tmp_path):
    archive = make_archive(tmp_path / "things.tgz")
    (tmp_path / "things").mkdir()
    (tmp_path / "things" / "half").touch()
    unpack(archive, tmp_path / "things")
    assert [p.name for p in (tmp_path / "things").iterdir()] == ["inside.txt"]
    assert sorted(os.listdir(tmp_path)) == ["things", "things.tgz"]


def test_unpacking_a_broken_archive_leaves_what_was_there(tmp_path):
    archive = make_archive(tmp_path / "things.tgz")
    archive.write_bytes(archive.read_bytes()[:-20])
    (tmp_path / "things").mkdir()
    with pytest.raises((EOFError, tarfile.ReadError)):
        unpack(archive, tmp_path / "things")
    with pytest.raises(ValueError, match="no folder other"):
        unpack(make_archive(tmp_path / "things.tgz"), tmp_path / "other")
    assert sorted(os.listdir(tmp_path)) == ["things", "things.tgz"]
