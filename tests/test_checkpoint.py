"""Checkpoints: written whole or not at all, two kept, damaged and foreign ones passed over."""

import errno
import os
import stat
import sys

import pytest
import torch

from vgg_utils import checkpoint
from vgg_utils.checkpoint import CheckpointError, load_latest, save


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_last_two_are_kept_and_the_newest_is_read(tmp_path):
    for number in (0, 5, 10):
        save(tmp_path, number, {"weights": torch.full((3,), number)})
    assert names(tmp_path) == ["checkpoint-000000005.pt", "checkpoint-000000010.pt"]
    path, state = load_latest(tmp_path)
    assert path.name == "checkpoint-000000010.pt"
    assert state["weights"].tolist() == [10, 10, 10]


def test_weights_load_with_pytorch_alone(tmp_path):
    layer = torch.nn.Linear(2, 3)
    path = save(tmp_path, 1, {"model": layer.state_dict(), "progress": {"epoch": 2, "history": []}})
    state = torch.load(path, weights_only=True)["model"]
    torch.testing.assert_close(state, layer.state_dict(), rtol=0, atol=0)


def test_empty_folder_has_none_given_as_path_or_as_text(tmp_path):
    assert load_latest(tmp_path) is None
    assert load_latest(str(tmp_path)) is None
    save(tmp_path, 3, {"number": 3})
    assert load_latest(str(tmp_path))[1]["number"] == 3


def test_mistyped_folder_or_file_is_an_error(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "none", tmp_path / "file"):
        with pytest.raises(CheckpointError, match=f"{path.name} is no folder"):
            load_latest(path)
    with pytest.raises(CheckpointError, match=r"there is no file .*best\.pt"):
        checkpoint.load(tmp_path / "best.pt")


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def empty(path):
    path.write_bytes(b"")


def flip_a_bit_of_the_weights(path):
    content = bytearray(path.read_bytes())
    content[content.index(bytes([7]) * 400)] ^= 1
    path.write_bytes(content)


def text(path):
    path.write_text("not a checkpoint")


def foreign(path):
    torch.save({"state_dict": {}}, path)


class Unsafe:
    def __reduce__(self):
        return (os.mkdir, ("made-by-a-checkpoint",))


def code(path):
    torch.save({"format": checkpoint.FORMAT, "x": Unsafe()}, path)


@pytest.mark.parametrize("harm", [cut, empty, flip_a_bit_of_the_weights, text, foreign, code])
def test_bad_checkpoint_is_named_and_the_one_before_is_used(tmp_path, monkeypatch, harm):
    monkeypatch.chdir(tmp_path)
    save(tmp_path, 1, {"number": 1})
    harm(save(tmp_path, 2, {"weights": torch.full((400,), 7, dtype=torch.uint8)}))
    with pytest.warns(UserWarning, match=r"checkpoint-000000002\.pt"):
        path, state = load_latest(tmp_path)
    assert (path.name, state["number"]) == ("checkpoint-000000001.pt", 1)
    assert not (tmp_path / "made-by-a-checkpoint").exists()

    (tmp_path / "checkpoint-000000001.pt").write_bytes(b"")
    with (
        pytest.warns(UserWarning, match="tried"),
        pytest.raises(CheckpointError, match="none of the 2 checkpoints"),
    ):
        load_latest(tmp_path)


def test_new_checkpoint_is_never_the_one_deleted(tmp_path):
    """After a damaged newer one was passed over, the run writes lower numbers again."""
    for number in (10, 20):
        save(tmp_path, number, {"number": number})
    for number in (12, 14):
        save(tmp_path, number, {"number": number})
    assert {"checkpoint-000000012.pt", "checkpoint-000000014.pt"} <= set(names(tmp_path))


def test_copy_under_another_name_is_neither_read_nor_deleted(tmp_path):
    copies = ["checkpoint-000000001-mine.pt", "checkpoint-best.pt"]
    for name in copies:
        (tmp_path / name).write_bytes(b"the reader's")
    assert load_latest(tmp_path) is None
    for number in (2, 3, 4):
        save(tmp_path, number, {})
    assert names(tmp_path) == [
        copies[0],
        "checkpoint-000000003.pt",
        "checkpoint-000000004.pt",
        copies[1],
    ]


@pytest.mark.skipif(os.name != "posix", reason="only there a folder can be forced to the disk")
def test_file_and_then_its_name_are_forced_to_the_disk(tmp_path, monkeypatch):
    forced = []

    def note(descriptor):
        forced.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), names(tmp_path)))

    monkeypatch.setattr(os, "fsync", note)
    checkpoint.write_atomically(tmp_path / "a", lambda file: file.write(b"content"))
    assert forced == [(False, ["a.partial"]), (True, ["a"])]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_full_disk_loses_nothing_and_says_what_is_safe(tmp_path, monkeypatch, call):
    save(tmp_path, 1, {"number": 1})

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(OSError, match=r"000000002.*safe: checkpoint-000000001\.pt") as caught:
            save(tmp_path, 2, {"number": 2})
    assert os.strerror(errno.ENOSPC) in str(caught.value)
    assert names(tmp_path) == ["checkpoint-000000001.pt"]
    assert load_latest(tmp_path)[1]["number"] == 1


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are Unix's")
def test_write_that_stops_half_way_leaves_what_was_there(tmp_path):
    """The operating system itself stops the write, at 1,000 bytes."""
    import resource

    save(tmp_path, 1, {"number": 1})
    checkpoint.write_atomically(tmp_path / "history.json", lambda file: file.write(b"[]"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"000000002.*safe: checkpoint-000000001\.pt"):
            save(tmp_path, 2, {"weights": torch.zeros(1000)})
        with pytest.raises(OSError, match="File too large"):
            checkpoint.write_atomically(tmp_path / "history.json", lambda f: f.write(bytes(2000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names(tmp_path) == ["checkpoint-000000001.pt", "history.json"]
    assert load_latest(tmp_path)[1]["number"] == 1
    assert (tmp_path / "history.json").read_bytes() == b"[]"


def test_partial_file_of_a_killed_process_is_ignored_and_cleared(tmp_path):
    (tmp_path / "checkpoint-000000009.pt.partial").write_bytes(b"half")
    assert load_latest(tmp_path) is None
    (tmp_path / "film.mkv.partial").write_bytes(b"the reader's own download")
    save(tmp_path, 1, {})
    assert names(tmp_path) == ["checkpoint-000000001.pt", "film.mkv.partial"]


def test_folder_of_another_run_is_refused_though_none_of_it_can_be_read(tmp_path):
    cut(save(tmp_path, 1, {"settings": {}}))
    with pytest.raises(FileExistsError, match="holds checkpoints already"):
        checkpoint.load_to_resume(tmp_path, False, {})
    assert names(tmp_path) == ["checkpoint-000000001.pt"]
