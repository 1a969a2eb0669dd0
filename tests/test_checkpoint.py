"""Checkpoints: written whole or not at all, two kept, damaged and foreign ones passed over."""

import errno
import os
import random
import stat
import sys
import zipfile

import numpy as np
import pytest
import torch

from vgg_utils import checkpoint
from vgg_utils.checkpoint import CheckpointError, load_latest, pack


def save(folder, number, state):
    return checkpoint.save(folder, number, pack(state))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_last_two_are_kept_and_the_newest_is_read(tmp_path):
    for number in (0, 5, 10):
        save(tmp_path, number, {"weights": torch.full((3,), number)})
    assert names(tmp_path) == ["checkpoint-000000005.pt", "checkpoint-000000010.pt"]
    path, state = load_latest(tmp_path)
    assert path.name == "checkpoint-000000010.pt"
    assert state["weights"].tolist() == [10, 10, 10]


def test_what_changes_after_packing_is_not_in_the_checkpoint(tmp_path):
    weights = torch.zeros(3)
    content = pack({"weights": weights})
    weights += 1
    checkpoint.save(tmp_path, 1, content)
    assert load_latest(tmp_path)[1]["weights"].tolist() == [0, 0, 0]


def test_tensors_come_back_as_they_were(tmp_path):
    numbers = torch.arange(24.0)
    state = {
        "a row": numbers,
        "channels last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "one number": {"in a dictionary": torch.tensor(7), "another": torch.tensor(True)},
        "none": torch.empty(0, 3),
        "a part": numbers[3:9].view(2, 3),
        "with gaps": numbers[::5],
        "turned": numbers.view(4, 6).T,
        "expanded": torch.ones(1).expand(5),
        "in a list": [torch.tensor([1, 2])],
        "with a gradient": torch.ones(2, requires_grad=True),
        "half": torch.tensor([0.1], dtype=torch.float16),
    }
    save(tmp_path, 1, state)
    back = load_latest(tmp_path)[1]
    assert list(back) == list(state)
    torch.testing.assert_close(back, {**state, "with a gradient": torch.ones(2)}, rtol=0, atol=0)
    for name in ("channels last", "turned"):
        assert back[name].stride() == state[name].stride()


def test_tensors_that_were_read_hold_no_others_memory(tmp_path):
    save(tmp_path, 1, {"large": torch.zeros(1000), "small": torch.zeros(2)})
    assert load_latest(tmp_path)[1]["small"].untyped_storage().nbytes() == 8


def test_a_network_of_many_tensors_is_a_file_of_few(tmp_path):
    layers = torch.nn.Sequential(*[torch.nn.Linear(2, 2) for _ in range(50)])
    path = save(tmp_path, 1, {"model": layers.state_dict()})
    with zipfile.ZipFile(path) as archive:
        assert len([name for name in archive.namelist() if "/data/" in name]) == 1


def test_empty_folder_has_none(tmp_path):
    assert load_latest(tmp_path) is None


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
    checkpoint.write_atomically(tmp_path / "a", b"content")
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
    assert caught.value.errno == errno.ENOSPC
    assert names(tmp_path) == ["checkpoint-000000001.pt"]
    assert load_latest(tmp_path)[1]["number"] == 1


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are Unix's")
def test_write_that_stops_half_way_leaves_what_was_there(tmp_path):
    """The operating system itself stops the write, at 1,000 bytes."""
    import resource

    save(tmp_path, 1, {"number": 1})
    checkpoint.write_atomically(tmp_path / "history.json", b"[]")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"000000002.*safe: checkpoint-000000001\.pt"):
            save(tmp_path, 2, {"weights": torch.zeros(1000)})
        with pytest.raises(OSError, match="File too large"):
            checkpoint.write_atomically(tmp_path / "history.json", bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names(tmp_path) == ["checkpoint-000000001.pt", "history.json"]
    assert load_latest(tmp_path)[1]["number"] == 1
    assert (tmp_path / "history.json").read_bytes() == b"[]"


def test_partial_file_of_a_killed_process_is_ignored_and_cleared(tmp_path):
    (tmp_path / "checkpoint-000000009.pt.partial").write_bytes(b"half")
    assert load_latest(tmp_path) is None
    save(tmp_path, 1, {})
    assert names(tmp_path) == ["checkpoint-000000001.pt"]


def test_every_random_generator_goes_on_where_it_was(tmp_path):
    draw = lambda: (torch.rand(1).item(), random.gauss(0, 1), np.random.standard_normal())  # noqa: E731
    draw()  # an odd number of normal draws leaves one in store
    save(tmp_path, 1, checkpoint.random_state(torch.device("cpu")))
    expected = draw(), draw()
    checkpoint.set_random_state(load_latest(tmp_path)[1], torch.device("cpu"))
    assert (draw(), draw()) == expected
