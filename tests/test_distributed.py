"""Several processes on this machine train as one does, and take up each other's checkpoints."""

import json
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
import torch
import torch.distributed as dist
from image_files import write_images
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from vgg_utils import train as command
from vgg_utils.augmentation import random_shift
from vgg_utils.data import ImageData, load_folder
from vgg_utils.distributed import rank_zero_first
from vgg_utils.download import DownloadError
from vgg_utils.evaluation import predict
from vgg_utils.model import VGGNet
from vgg_utils.train import main
from vgg_utils.training import fit

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="gloo over loopback is tested on Linux"
)
SLOW_TO_IMPORT = ["torch._dynamo", "torchvision.datasets", "vgg_utils.train"]
OPTIONS = {"batch_size": 8, "milestones": [2], "save_every": 3, "progress": False}


def small_data(count=35):  # the last batch has three images: shares of two and one
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, 1, 8, 8, generator=generator)
    half = TensorDataset(images, torch.randint(0, 10, (count,), generator=generator))
    return ImageData(half, half, [str(d) for d in range(10)], torch.zeros(1))


class Noting:
    """Look up in a data set, and note in a file what was looked up."""

    def __init__(self, data, path):
        self.data, self.path = data, path
        self.targets = data.targets

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        with self.path.open("a") as file:
            file.write(f"{index}\n")
        return self.data[index]


def folder_data(folder, rank):
    """19 images in files, augmented as they are read."""
    data = load_folder(folder, size=8, scale=(9, 12))
    data.train.samples = data.train.samples[:19]
    return data._replace(train=Noting(data.train, folder.parent / f"read{rank}"))


def small_net(dropout=0.0, channels=1):
    torch.manual_seed(0)
    return VGGNet(channels, 10, [(3, 4), "M"], pool_size=2, hidden_features=8, dropout=dropout)


def shift(images):
    return random_shift(images, 1)


def share(rank, folder, epochs, dropout, images):
    """One of the processes; each leaves its result."""
    if images is None:
        net, data, options = small_net(dropout), small_data(), {"augment": shift}
    else:
        net, data, options = small_net(dropout, 3), folder_data(images, rank), {}
    other = folder / "written-by-another"
    other.mkdir(exist_ok=True)  # nothing but the code keeps a process from writing there
    out = folder / "run" if rank == 0 else other
    steps = []
    net.register_forward_pre_hook(lambda net, images: steps.append(net.training))
    history = fit(
        net, data.train, data.test, epochs=epochs, out=out, resume=True, **OPTIONS, **options
    )
    assert not list(other.iterdir())
    result = {"history": history, "model": net.state_dict(), "steps": sum(steps)}
    torch.save(result, folder / f"result{rank}.pt")


def one_of_many(target, meeting, rank, processes, arguments):
    torch.set_num_threads(1)
    if processes > 1:
        dist.init_process_group(
            "gloo", init_method=f"file://{meeting}", rank=rank, world_size=processes
        )
    target(rank, *arguments)
    if processes > 1:
        dist.destroy_process_group()


def run_together(target, meeting, processes, *arguments):
    """Call target(rank, *arguments) in so many processes, which find each other at a file."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(SLOW_TO_IMPORT)
    team = [
        context.Process(target=one_of_many, args=(target, meeting, rank, processes, arguments))
        for rank in range(processes)
    ]
    for process in team:
        process.start()
    for process in team:
        process.join(300)
        assert process.exitcode == 0


def train(folder, *, processes, epochs, dropout=0.0, images=None):
    folder.mkdir(exist_ok=True)
    run_together(share, folder / f"meet{epochs}", processes, folder, epochs, dropout, images)
    return [torch.load(folder / f"result{rank}.pt", weights_only=True) for rank in range(processes)]


def assert_same_training(one, other):
    for row, its in zip(one["history"], other["history"], strict=True):
        assert row == pytest.approx(its, rel=1e-4)
    for name, value in one["model"].items():
        torch.testing.assert_close(other["model"][name], value, rtol=1e-4, atol=1e-6)


def test_two_processes_train_as_one_and_share_checkpoints(tmp_path):
    (one,) = train(tmp_path / "one", processes=1, epochs=3)
    two = train(tmp_path / "two", processes=2, epochs=3)
    assert_same_training(one, two[0])
    for name, value in two[0]["model"].items():
        assert torch.equal(two[1]["model"][name], value), name
    assert two[0]["history"] == two[1]["history"]

    for name, before, after in (("grows", 1, 2), ("shrinks", 2, 1)):
        train(tmp_path / name, processes=before, epochs=1)
        resumed = train(tmp_path / name, processes=after, epochs=3)[0]
        assert_same_training(one, resumed)
        assert (one["steps"], resumed["steps"]) == (15, 10)  # the first five were not taken again


def test_four_processes_share_a_last_batch_of_three(tmp_path):
    """35 = 4 * 8 + 3 over four processes: one has no image left."""
    (one,) = train(tmp_path / "one", processes=1, epochs=2)
    assert_same_training(one, train(tmp_path / "four", processes=4, epochs=2)[0])


def test_dropout_keeps_the_order_of_the_images_common(tmp_path):
    first, second = train(tmp_path / "two", processes=2, epochs=2, dropout=0.5)
    for name, value in first["model"].items():
        assert torch.equal(second["model"][name], value), name


def masked(rank, folder):
    """One of the processes: images that tell their number, in a network that shows its masks."""
    images = torch.arange(1.0, 36)[:, None, None, None].expand(35, 1, 8, 8)
    numbered = TensorDataset(images, small_data().train.tensors[1])
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.5), torch.nn.Linear(64, 10))
    seen = {"numbers": [], "masks": []}

    def note(layer, images, output):
        if layer.training:
            seen["numbers"] += images[0][:, 0].int().tolist()
            seen["masks"].append(output == 0)

    net[1].register_forward_hook(note)
    fit(net, numbered, epochs=2, learning_rate=1e-6, **OPTIONS)
    torch.save(seen, folder / f"result{rank}.pt")


def test_each_process_has_its_own_images_and_masks(tmp_path):
    run_together(masked, tmp_path / "meet", 2, tmp_path)
    first, second = (torch.load(tmp_path / f"result{k}.pt", weights_only=True) for k in (0, 1))
    for epoch in (0, 1):  # of the five batches each gives the first one image more, or as many
        numbers = first["numbers"][epoch * 18 :][:18] + second["numbers"][epoch * 17 :][:17]
        assert sorted(numbers) == [*range(1, 36)]
    masks = [tuple(mask.flatten().tolist()) for run in (first, second) for mask in run["masks"][:4]]
    assert len(set(masks)) == 8


def normalised(rank, folder):
    """One of the processes, with batch normalisation; each leaves what it has and measures."""
    torch.manual_seed(0)
    net = VGGNet(1, 10, [(3, 4), "M"], batch_norm=True, pool_size=2, hidden_features=8)
    data = small_data()
    row = fit(net, data.train, test=data.test, epochs=1, learning_rate=0.1, **OPTIONS)[-1]
    images, labels = data.test.tensors
    result = {"said": row["test_loss"], "buffers": dict(net.named_buffers())}
    result["measured"] = F.cross_entropy(predict(net, images), labels).item()
    torch.save(result, folder / f"result{rank}.pt")


def test_all_processes_test_and_end_with_the_running_statistics_of_the_first(tmp_path):
    run_together(normalised, tmp_path / "meet", 2, tmp_path)
    first, second = (torch.load(tmp_path / f"result{k}.pt", weights_only=True) for k in (0, 1))
    torch.testing.assert_close(second["buffers"], first["buffers"], rtol=0, atol=0)
    assert len(first["buffers"]) == 3
    assert first["said"] == second["said"] == pytest.approx(first["measured"], rel=1e-6)


def test_two_processes_read_their_shares_of_the_files_alone(tmp_path):
    """19 = 2 * 8 + 3: of each batch one process reads the even places and one the odd."""
    images = tmp_path / "images"
    write_images(images, sizes=[(10 + k, 14) for k in range(10)])
    (one,) = train(tmp_path / "one", processes=1, epochs=2, images=images)
    (tmp_path / "read0").unlink()
    two = train(tmp_path / "two", processes=2, epochs=2, images=images)
    assert_same_training(one, two[0])
    read = [[int(line) for line in (tmp_path / f"read{k}").open()] for k in (0, 1)]
    read = [indices[9:] for indices in read]  # some were looked at before the first step
    assert [len(indices) for indices in read] == [20, 18]
    first = [indices[: len(indices) // 2] for indices in read]  # the first epoch's
    assert sorted(first[0] + first[1]) == [*range(19)]

    train(tmp_path / "grows", processes=1, epochs=1, images=images)
    grown = train(tmp_path / "grows", processes=2, epochs=2, images=images)
    assert_same_training(one, grown[0])


def load(rank, folder, fails):
    def task():
        if rank == fails:
            raise DownloadError("no network")
        time.sleep(0.2 if rank == 0 else 0)
        (folder / f"loaded{rank}").write_text(str(len(list(folder.glob("loaded*")))))

    try:
        rank_zero_first(task)
    except DownloadError as error:
        (folder / f"error{rank}").write_text(str(error))


def test_process_0_loads_first_and_its_error_reaches_all(tmp_path):
    run_together(load, tmp_path / "meet", 2, tmp_path, None)
    assert [(tmp_path / f"loaded{k}").read_text() for k in (0, 1)] == ["0", "1"]
    for fails in (0, 1):
        folder = tmp_path / f"{fails}"
        folder.mkdir()
        run_together(load, folder / "meet", 2, folder, fails)
        assert [(folder / f"error{k}").read_text() for k in (0, 1)] == ["no network"] * 2
        assert not (folder / "loaded1").exists()  # it waited for process 0, and in vain


# At a small rate, so that differences in rounding stay as small as they begin.
TINY = ["--width", "0.03", "--hidden", "16", "--epochs", "1", "--dropout", "0"]
TINY += ["--device", "cpu", "--learning-rate", "0.001"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def start(words):
    return subprocess.Popen(
        words, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def history(folder):
    return json.loads((folder / "history.json").read_text())


@pytest.fixture(scope="module")
def on_two_machines(tmp_path_factory):
    """The docstring's line for two machines, both this one, with one process each."""
    folder = tmp_path_factory.mktemp("machines")
    line = re.search(r"torchrun (--nnodes .+?--out \S+)", command.__doc__, re.S)[1]
    words = line.replace("\\\n", " ").split()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    machines = []
    for number in (0, 1):
        here = {
            "--node-rank": str(number),
            "--nproc-per-node": "1",
            "--master-addr": "127.0.0.1",
            "--master-port": port,
            "--out": str(folder / str(number)),
        }
        own = [here.get(before, word) for before, word in zip(["", *words], words, strict=False)]
        machines.append(start([*TORCHRUN, *own, *TINY]))
    try:
        said = [machine.communicate(timeout=900) for machine in machines]
    finally:
        for machine in machines:
            machine.kill()
    assert [machine.returncode for machine in machines] == [0, 0], said
    assert ["test error" in output for output, _ in said] == [True, False]  # process 0 alone speaks
    assert os.listdir(folder) == ["0"]  # and writes
    return history(folder / "0")


@pytest.mark.slow
def test_documented_line_for_two_machines_trains_as_one_process(on_two_machines, tmp_path):
    assert main([*TINY, "--out", str(tmp_path)]) == 0
    for row, its in zip(on_two_machines, history(tmp_path), strict=True):
        assert row == pytest.approx(its, rel=1e-4)


@pytest.mark.slow
def test_killed_process_and_restart_under_torchrun(on_two_machines, tmp_path):
    """To the bit, for two processes add up alike in every run."""
    command = [*TORCHRUN, "--standalone", "--nproc-per-node", "2", "-m", "vgg_utils.train", *TINY]
    command += ["--save-every", "5", "--resume", "--out", str(tmp_path)]
    running = start(command)
    while running.poll() is None and not (tmp_path / "checkpoint-000000005.pt").exists():
        time.sleep(0.02)
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(running.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    os.kill(int(children[-1]), signal.SIGKILL)
    _, errors = running.communicate(timeout=900)
    assert running.returncode != 0, errors

    again = start(command)
    said, errors = again.communicate(timeout=900)
    assert again.returncode == 0, errors
    assert said.count("test error") == 1
    assert history(tmp_path) == on_two_machines
