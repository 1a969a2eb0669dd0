"""A run killed at any moment and resumed is, on the CPU, the run never interrupted, to the bit."""

import errno
import multiprocessing
import os
import random
import shlex
import signal
import sys
import time

import numpy as np
import pytest
import torch
from image_files import write_images
from torch.utils.data import TensorDataset

from vgg_utils import checkpoint
from vgg_utils import train as command
from vgg_utils.augmentation import random_shift
from vgg_utils.data import ImageData, load_folder
from vgg_utils.model import VGGNet
from vgg_utils.training import fit

KILLS = 20
SLOW_TO_IMPORT = ["torch._dynamo", "torchvision.datasets", "vgg_utils.train"]
OPTIONS = {"epochs": 3, "batch_size": 4, "patience": 1, "save_every": 2, "progress": False}


def small_data(count=41):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, 1, 8, 8, generator=generator)
    half = TensorDataset(images, torch.randint(0, 10, (count,), generator=generator))
    return ImageData(half, half, [str(d) for d in range(10)], torch.zeros(1))


def small_sets(count=41):
    data = small_data(count)
    return data.train, data.test


def folder_data(path):
    """Images in files: 20 to train on, each rescaled, cut, mirrored and coloured by chance."""
    if not (path / "train").exists():
        write_images(path, sizes=[(10 + k, 14) for k in range(10)])
    return load_folder(path, size=8, scale=(9, 12))


def small_net(channels=1):
    torch.manual_seed(0)
    return VGGNet(
        channels, 10, [(3, 4), "M"], batch_norm=True, pool_size=2, hidden_features=8, dropout=0.5
    )


def noisy(images):
    """Draw from every random generator that a run may use."""
    return random_shift(images, 1) + 0.1 * random.random() + 0.1 * np.random.rand()


def slow_write(path, write, _write=checkpoint.write_atomically):
    """Pause in the middle of a file, so that a kill often falls into the writing."""

    def paused(file):
        write(file)
        end = file.tell()
        file.truncate(end // 2)
        file.flush()
        time.sleep(0.01)
        file.seek(0)
        write(file)

    _write(path, paused)


def train(images, **options):
    """Train on images in memory, or on those in the folder `images`; return the result."""
    if images is None:
        net, data = small_net(), small_data()
        options = {"augment": noisy, **options}
    else:
        net, data = small_net(3), folder_data(images)
    history = fit(net, data.train, data.test, **OPTIONS, **options)
    return {"history": history, "model": net.state_dict()}


def run(folder, pause, images):
    """Train slowly, on from where the folder's run stands, and leave the result there."""
    torch.set_num_threads(1)
    checkpoint.write_atomically = slow_write

    def slow_step(optimizer, closure=None, _step=torch.optim.SGD.step):
        time.sleep(pause)
        return _step(optimizer, closure)

    torch.optim.SGD.step = slow_step
    torch.save(train(images, out=folder / "run", resume=True), folder / "result.pt")


def assert_same(one, other):
    assert one["history"] == other["history"]
    for name, value in one["model"].items():
        assert torch.equal(other["model"][name], value), name


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "least"), [("memory", KILLS), ("files", KILLS // 2)])
def test_twenty_kills_change_nothing(tmp_path, kind, least):
    images = tmp_path / "images" if kind == "files" else None
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    whole = train(images, out=tmp_path / "whole")
    torch.set_num_threads(threads)

    context = multiprocessing.get_context("spawn" if os.name == "nt" else "forkserver")
    if os.name != "nt":
        context.set_forkserver_preload(SLOW_TO_IMPORT)
    chance = random.Random(1)
    kills = written = partial = runs = 0
    while kills < least:
        runs += 1
        folder = tmp_path / f"run{runs}"
        folder.mkdir()
        while not (folder / "result.pt").exists():
            before = set(folder.glob("run/checkpoint-*.pt"))
            process = context.Process(target=run, args=(folder, 0.02, images))
            process.start()
            # The clock starts when the resumed run has written a checkpoint, so that it gets on.
            while process.is_alive() and before == set(folder.glob("run/checkpoint-*.pt")):
                time.sleep(0.001)
            process.join(chance.uniform(0, 0.15))
            if process.is_alive() and not (folder / "result.pt").exists():
                process.kill()
                process.join()
                kills += 1
                written += any(folder.glob("run/checkpoint-*.pt"))
                partial += any(folder.glob("run/*.partial"))
            else:
                process.join()
                assert process.exitcode == 0
        assert_same(whole, torch.load(folder / "result.pt", weights_only=True))
    assert kills >= least and written > least // 2
    assert partial > 0  # some fell into the writing of a checkpoint


@pytest.mark.parametrize(
    ("kind", "options", "count"),
    [("memory", {}, 15), ("files", {}, 9), ("files", {"num_workers": 2}, 9)],
)
def test_resumed_from_every_step_is_the_whole_run(tmp_path, monkeypatch, kind, options, count):
    """Without processes: stop after each checkpoint in turn, most of them inside an epoch."""
    images = tmp_path / "images" if kind == "files" else None
    whole = train(images)

    class Stop(Exception):
        pass

    def stop_after(*arguments, _save=checkpoint.save):
        _save(*arguments)
        if arguments[1]:
            raise Stop

    stops = 0
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", stop_after)
        for _ in range(100):
            try:
                resumed = train(images, out=tmp_path / "run", resume=True, **options)
                break
            except Stop:
                stops += 1
    assert stops == count  # 10 or 5 steps an epoch, a checkpoint every 2
    assert_same(whole, resumed)


@pytest.fixture
def finished(tmp_path):
    fit(small_net(), *small_sets(), out=tmp_path, **OPTIONS)
    return tmp_path


def test_cut_off_checkpoint_costs_the_steps_since_the_one_before(finished):
    """Of the last two, the newer is cut off: the run goes on from the older, to the same end."""
    whole = fit(small_net(), *small_sets(), **OPTIONS)
    newest = sorted(finished.glob("checkpoint-*.pt"))[-1]
    newest.write_bytes(newest.read_bytes()[:-100])
    with pytest.warns(UserWarning, match=rf"{newest.name} is damaged.*before it is tried"):
        assert fit(small_net(), *small_sets(), out=finished, resume=True, **OPTIONS) == whole


def test_run_is_not_overwritten(finished):
    with pytest.raises(FileExistsError, match="holds checkpoints already"):
        fit(small_net(), *small_sets(), out=finished, **OPTIONS)


def test_finished_run_resumes_to_itself_and_can_be_made_longer(finished):
    net = small_net()
    history = fit(net, *small_sets(), out=finished, resume=True, **OPTIONS)
    assert len(history) == 3
    options = {**OPTIONS, "epochs": 4}
    whole = fit(small_net(), *small_sets(), **options)
    assert fit(net, *small_sets(), out=finished, resume=True, **options) == whole


def test_cycle_resumes_in_the_middle_of_itself_and_cannot_be_made_longer(tmp_path):
    options = {**OPTIONS, "patience": None, "one_cycle": True, "batch_size": 8}
    whole = small_net()
    history = fit(whole, *small_sets(), out=tmp_path / "whole", **options)
    part = tmp_path / "part"  # all that a run has written by the middle of its second epoch
    part.mkdir()
    state = checkpoint.load(tmp_path / "whole" / sorted(os.listdir(tmp_path / "whole"))[0])
    assert 0 < state["progress"]["epoch"] <= 3
    checkpoint.save(part, 0, state)
    net = small_net()
    assert fit(net, *small_sets(), out=part, resume=True, **options) == history
    torch.testing.assert_close(net.state_dict(), whole.state_dict(), rtol=0, atol=0)
    with pytest.raises(checkpoint.CheckpointError, match="one_cycle is 3 there and 4 here"):
        fit(net, *small_sets(), out=part, resume=True, **{**options, "epochs": 4})


def test_last_checkpoint_holds_the_weights_that_the_run_ends_with(tmp_path):
    net, read = small_net(), small_net()
    fit(net, *small_sets(), out=tmp_path, **OPTIONS)
    read.load_state_dict(checkpoint.load_latest(tmp_path)[1]["model"])
    torch.testing.assert_close(read.state_dict(), net.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"batch_size": 8}, "batch_size is 4 there and 8 here"),
        ({"seed": 1}, "seed is 0"),
        ({"learning_rate": 0.1}, "learning_rate is 0.01"),
        ({"momentum": 0.8}, "momentum is 0.9"),
        ({"weight_decay": 0.1}, "weight_decay is 0.0005"),
        ({"patience": 2}, "patience is 1"),
        ({"patience": None, "milestones": [1]}, r"milestones is \[\] there"),
        ({"patience": None, "one_cycle": True}, "patience is 1"),
        ({"augment": noisy}, "augment is False"),
        ({"precision": "bfloat16"}, "precision is float32"),
    ],
)
def test_checkpoint_of_other_settings_is_refused(finished, change, says):
    with pytest.raises(checkpoint.CheckpointError, match=says):
        fit(small_net(), *small_sets(), out=finished, resume=True, **{**OPTIONS, **change})


def test_checkpoint_of_another_network_or_data_is_refused(finished):
    other = VGGNet(1, 10, [(3, 5), "M"], batch_norm=True, pool_size=2, hidden_features=8)
    with pytest.raises(checkpoint.CheckpointError, match=r"model is .*Conv2d\(1, 4,.*\(1, 5,"):
        fit(other, *small_sets(), out=finished, resume=True, **OPTIONS)
    with pytest.raises(checkpoint.CheckpointError, match=r"training set is \(41.*\(42"):
        fit(small_net(), *small_sets(42), out=finished, resume=True, **OPTIONS)


def test_disk_that_fills_up_is_a_warning_and_training_goes_on(tmp_path, monkeypatch):
    calls = []

    def full(descriptor, _fsync=os.fsync):
        calls.append(descriptor)
        if len(calls) > 16:
            raise OSError(28, "No space left on device")
        _fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(UserWarning, match=r"No space left.*safe: checkpoint.*training goes on"):
        history = fit(small_net(), *small_sets(), out=tmp_path, **OPTIONS)
    assert len(history) == 3
    assert checkpoint.load_latest(tmp_path) is not None


def test_history_that_a_power_failure_took_is_there_after_resuming(tmp_path):
    fit(small_net(), *small_sets(), out=tmp_path, **OPTIONS)
    written = (tmp_path / "history.json").read_text("utf-8")
    (tmp_path / "history.json").write_text("")
    fit(small_net(), *small_sets(), out=tmp_path, resume=True, **OPTIONS)
    assert (tmp_path / "history.json").read_text("utf-8") == written


def test_folder_that_cannot_be_made_or_written_to_stops_before_training(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    net = small_net()
    with pytest.raises(OSError, match="cannot make the folder"):
        fit(net, *small_sets(), out=tmp_path / "file" / "run", **OPTIONS)

    def refuse(path, mode):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(checkpoint, "open", refuse, raising=False)
    with pytest.raises(OSError, match=r"could not write .*Permission denied.*safe: none"):
        fit(net, *small_sets(), out=tmp_path / "run", **OPTIONS)
    for name, value in small_net().state_dict().items():
        assert torch.equal(net.state_dict()[name], value), name


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent otherwise there")
def test_control_c_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    def interrupt(images):
        os.kill(os.getpid(), signal.SIGINT)
        return images

    monkeypatch.setattr(command, "load_dataset", lambda *a, **k: small_data())
    monkeypatch.setattr(command, "_augmentation", lambda data, options: interrupt)
    monkeypatch.setattr(command, "VGGNet", lambda *a, **k: small_net())
    arguments = ["--out", str(tmp_path / "My Drive"), "--width", "0.1", "--hidden", "8"]
    assert command.main(arguments) == 130
    printed = capsys.readouterr().out.splitlines()[-1]
    assert shlex.split(printed) == ["python", "-m", "vgg_utils.train", *arguments, "--resume"]
