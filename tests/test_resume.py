"""A run killed at any moment and resumed is, on the CPU, the run never interrupted, to the bit."""

import multiprocessing
import os
import random
import signal
import sys
import time

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from vgg_utils import checkpoint, command_line
from vgg_utils.augment import random_shift
from vgg_utils.data import ImageData
from vgg_utils.model import VGGNet
from vgg_utils.train import fit

KILLS = 20
OPTIONS = {"epochs": 3, "batch_size": 4, "plateau": 1, "save_every": 2, "progress": False}


def small_data(count=41):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, 1, 8, 8, generator=generator)
    half = TensorDataset(images, torch.randint(0, 10, (count,), generator=generator))
    return ImageData(half, half, [str(d) for d in range(10)], torch.zeros(1))


def small_net():
    torch.manual_seed(0)
    return VGGNet(
        1, 10, [(3, 4), "M"], batch_norm=True, pool_size=2, hidden_features=8, dropout=0.5
    )


def noisy(images):
    """Draw from every random generator that a run may use."""
    return random_shift(images, 1) + 0.1 * random.random() + 0.1 * np.random.rand()


def slow_write(path, content, _write=checkpoint.write_atomically):
    """Write in two halves with a pause, so that a kill often falls into the writing."""
    with open(path.with_name(path.name + ".partial"), "wb") as file:
        file.write(content[: len(content) // 2])
        file.flush()
        time.sleep(0.01)
    _write(path, content)


def run(folder, pause):
    """Train slowly, on from where the folder's run stands, and leave the result there."""
    torch.set_num_threads(1)
    checkpoint.write_atomically = slow_write

    def augment(images):
        time.sleep(pause)
        return noisy(images)

    net = small_net()
    history = fit(net, small_data(), augment=augment, out=folder / "run", resume=True, **OPTIONS)
    torch.save({"history": history, "model": net.state_dict()}, folder / "result.pt")


def test_twenty_kills_change_nothing(tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    net = small_net()
    history = fit(net, small_data(), augment=noisy, out=tmp_path / "whole", **OPTIONS)
    torch.set_num_threads(threads)

    context = multiprocessing.get_context("spawn" if os.name == "nt" else "forkserver")
    if os.name != "nt":
        context.set_forkserver_preload(["torch._dynamo", "vgg_utils.train"])  # slow to import
    chance = random.Random(1)
    kills = written = partial = runs = 0
    while kills < KILLS:
        runs += 1
        folder = tmp_path / f"run{runs}"
        folder.mkdir()
        while not (folder / "result.pt").exists():
            before = {path.name for path in (folder).glob("run/*")}
            process = context.Process(target=run, args=(folder, 0.02))
            process.start()
            # The clock starts when the resumed run has written something, so that it gets on.
            while process.is_alive() and before == {p.name for p in folder.glob("run/*")}:
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
        result = torch.load(folder / "result.pt", weights_only=True)
        assert result["history"] == history
        for name, value in net.state_dict().items():
            assert torch.equal(result["model"][name], value), name
    assert kills >= KILLS and written > KILLS // 2
    assert partial > 0  # some fell into the writing of a checkpoint


def test_resumed_from_every_step_is_the_whole_run(tmp_path, monkeypatch):
    """Without processes: stop after each checkpoint in turn, half of them inside an epoch."""
    net = small_net()
    history = fit(net, small_data(), augment=noisy, **OPTIONS)

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
            resumed = small_net()
            try:
                found = fit(
                    resumed, small_data(), augment=noisy, out=tmp_path, resume=True, **OPTIONS
                )
                break
            except Stop:
                stops += 1
    assert stops == 15  # 10 steps an epoch, a checkpoint every 2
    assert found == history
    for name, value in net.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


@pytest.fixture
def finished(tmp_path):
    fit(small_net(), small_data(), out=tmp_path, **OPTIONS)
    return tmp_path


def test_run_is_not_overwritten(finished):
    with pytest.raises(FileExistsError, match="holds checkpoints already"):
        fit(small_net(), small_data(), out=finished, **OPTIONS)


def test_finished_run_resumes_to_itself_and_can_be_made_longer(finished):
    net = small_net()
    history = fit(net, small_data(), out=finished, resume=True, **OPTIONS)
    assert len(history) == 3
    options = {**OPTIONS, "epochs": 4}
    whole = fit(small_net(), small_data(), **options)
    assert fit(net, small_data(), out=finished, resume=True, **options) == whole


@pytest.mark.parametrize(
    ("change", "says"),
    [({"batch_size": 8}, "batch_size is 4 there and 8 here"), ({"seed": 1}, "seed is 0")],
)
def test_checkpoint_of_other_settings_is_refused(finished, change, says):
    with pytest.raises(checkpoint.CheckpointError, match=says):
        fit(small_net(), small_data(), out=finished, resume=True, **{**OPTIONS, **change})


def test_checkpoint_of_another_network_or_data_is_refused(finished):
    other = VGGNet(1, 10, [(3, 5), "M"], batch_norm=True, pool_size=2, hidden_features=8)
    with pytest.raises(checkpoint.CheckpointError, match=r"model is .*Conv2d\(1, 4,.*\(1, 5,"):
        fit(other, small_data(), out=finished, resume=True, **OPTIONS)
    with pytest.raises(checkpoint.CheckpointError, match=r"data is \(41.*\(42"):
        fit(small_net(), small_data(42), out=finished, resume=True, **OPTIONS)


def test_disk_that_fills_up_is_a_warning_and_training_goes_on(tmp_path, monkeypatch):
    calls = []

    def full(descriptor, _fsync=os.fsync):
        calls.append(descriptor)
        if len(calls) > 8:
            raise OSError(28, "No space left on device")
        _fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(UserWarning, match=r"No space left.*safe: checkpoint.*training goes on"):
        history = fit(small_net(), small_data(), out=tmp_path, **OPTIONS)
    assert len(history) == 3
    assert checkpoint.load_latest(tmp_path) is not None


def test_folder_that_cannot_be_made_stops_before_training(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="cannot make the folder"):
        fit(small_net(), small_data(), out=tmp_path / "file" / "run", **OPTIONS)


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent otherwise there")
def test_control_c_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    def interrupt(images):
        os.kill(os.getpid(), signal.SIGINT)
        return images

    monkeypatch.setattr(command_line, "load_dataset", lambda *a, **k: small_data())
    monkeypatch.setattr(command_line, "_augmentation", lambda data, options: interrupt)
    monkeypatch.setattr(command_line, "VGGNet", lambda *a, **k: small_net())
    arguments = ["--out", str(tmp_path), "--width", "0.1", "--hidden", "8"]
    assert command_line.main(arguments) == 130
    assert f"python -m vgg_utils.train --out {tmp_path} --width 0.1" in capsys.readouterr().out
