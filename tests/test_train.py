"""`python -m vgg_utils.train`: what it says, what it trains with, how it refuses."""

import json
import subprocess
import sys

import pytest
import torch
from image_files import write_images
from torch import nn
from torch.utils.data import TensorDataset

from vgg_utils import train as command
from vgg_utils.data import DATASETS, ImageData, load_digits, load_folder, load_scenes
from vgg_utils.download import DownloadError
from vgg_utils.model import VGGNet
from vgg_utils.records import load_record

TINY = ["--width", "0.02", "--hidden", "4", "--epochs", "1", "--device", "cpu"]


@pytest.fixture
def asked(monkeypatch):
    """Load nothing and train nothing, and tell what would have been asked for."""
    asked = {}

    def load(name, root, **options):
        size = options["size"] or command.DEFAULTS.get(name, command.FOLDER).size
        channels = 1 if name in ("digits", "scenes") else 3
        half = TensorDataset(torch.zeros(20, channels, size, size), torch.arange(20) % 2)
        asked.update(name=name, root=root, **options)
        return ImageData(half, half, ["0"] * 10, torch.zeros(channels))

    def train(model, train, validation, **options):
        asked.update(options, model=model, sizes=(len(train), len(validation or [])))
        return [{"epoch": 1, "validation_error": 25.0, "test_error": 50.0}]

    monkeypatch.setattr(command, "load_dataset", load)
    monkeypatch.setattr(command, "fit", train)
    return asked


def test_help_fits_the_screen_and_names_data_sets_and_the_papers_values(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        command.main(["--help"])
    text = capsys.readouterr().out
    assert max(map(len, text.split("\n"))) <= 80
    for option in (
        "config",
        "dataset",
        "data-dir",
        "epochs",
        "batch-size",
        "seed",
        "device",
        "out",
        "resume",
    ):
        assert f"  --{option} " in text
    for name in DATASETS:
        assert f"\n  {name} " in text

    paper = {name: fact["value"] for name, fact in load_record("paper")["training"].items()}
    row = next(line for line in text.split("\n") if line.startswith("  the paper"))
    size, _, width, hidden, epochs, batch_size = row.split()[2:8]
    assert (size, width, hidden) == ("224", "1", "4096")
    assert (int(epochs), int(batch_size)) == (paper["epochs"], paper["batch_size"])
    assert (f"paper: {epochs}" in text, f"paper: {batch_size}" in text) == (True, True)


def test_program_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "vgg_utils.train", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("usage: python -m vgg_utils.train [options]")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("words", "size", "pool_size"),
    [("digits", 32, 1), ("scenes", 64, 2), ("scenes --size 96", 96, 3), ("cifar10", 32, 1)],
)
def test_data_sets_bring_their_defaults(asked, words, size, pool_size):
    assert command.main(["--dataset", *words.split(), "--device", "cpu"]) == 0
    defaults = command.DEFAULTS[words.split()[0]]
    for name in ("epochs", "batch_size"):
        assert asked[name] == getattr(defaults, name)
    assert asked["model"].avgpool.output_size == (pool_size, pool_size)
    assert asked["model"].features[0].out_channels == 64 * defaults.width
    assert asked["model"].classifier[0].out_features == defaults.hidden_features
    images = torch.ones(3, asked["model"].in_channels, size, size)
    moved = asked["augment"](images)
    assert moved.shape == images.shape and not torch.equal(moved, images)


def test_tabled_sizes_are_those_that_are_loaded(tmp_path):
    write_images(tmp_path)
    for data, defaults in (
        (load_digits(), command.DEFAULTS["digits"]),
        (load_scenes(train_size=1, test_size=1), command.DEFAULTS["scenes"]),
        (load_folder(tmp_path), command.FOLDER),
    ):
        assert data.train[0][0].shape[1:] == (defaults.size, defaults.size)
    assert set(command.DEFAULTS) == set(DATASETS)


def test_options_go_where_they_belong(asked):
    words = "--dataset scenes --size 48 --scale 12 40 --epochs 3 --milestones 2 --no-augment"
    words += " --pool-size 2 --num-workers 3 --seed 7 --batch-size 5 --device cpu --data-dir there"
    words += " --learning-rate 0.02 --momentum 0.8 --weight-decay 0.1 --out runs --resume"
    words += " --save-every 9 --precision bfloat16 --compile"
    words += " --config B --width 0.125 --hidden 6 --dropout 0.3"
    assert command.main(words.split()) == 0
    expected = {"name": "scenes", "size": 48, "scale": (12, 40), "epochs": 3, "milestones": [2]}
    expected |= {"patience": None, "augment": None, "num_workers": 3, "seed": 7, "batch_size": 5}
    expected |= {"device": "cpu", "root": "there", "learning_rate": 0.02, "momentum": 0.8}
    expected |= {"weight_decay": 0.1, "out": "runs", "resume": True, "save_every": 9}
    expected |= {"precision": "bfloat16", "compile": True}
    assert {name: asked[name] for name in expected} == expected
    torch.manual_seed(7)  # the seed sets the weights too
    model = VGGNet(1, 10, "B", width=1 / 8, pool_size=2, hidden_features=6, dropout=0.3)
    assert str(asked["model"]) == str(model)
    for name, value in model.state_dict().items():
        assert torch.equal(asked["model"].state_dict()[name], value), name


def test_without_options_the_papers_values_reach_the_training(asked):
    paper = {name: fact["value"] for name, fact in load_record("paper")["training"].items()}
    assert command.main(["--device", "cpu"]) == 0
    assert asked["learning_rate"] == paper["lr_initial"]
    assert asked["momentum"] == paper["momentum"]
    assert asked["weight_decay"] == paper["weight_decay_L2"]
    dropped = [layer.p for layer in asked["model"].classifier if isinstance(layer, nn.Dropout)]
    assert dropped == [paper["dropout"]["ratio"]] * 2
    assert (asked["patience"], asked["milestones"]) == (5, [])


@pytest.mark.parametrize(
    ("words", "sizes"),
    [("", (18, 2)), ("--validation 0.5", (10, 10)), ("--validation 0 --milestones 3", (20, 0))],
)
def test_share_of_the_training_set_is_held_out(asked, words, sizes):
    assert command.main(["--device", "cpu", *words.split()]) == 0
    assert asked["sizes"] == sizes
    assert len(asked["test"]) == 20


def test_patience_without_a_validation_part_is_refused(asked, capsys):
    assert command.main(["--device", "cpu", "--validation", "0"]) == 1
    assert "--patience needs a validation part" in capsys.readouterr().err


@pytest.mark.parametrize("terminal", [True, False])
def test_bar_is_for_a_terminal(asked, monkeypatch, terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    assert command.main(["--device", "cpu"]) == 0
    assert asked["progress"] is terminal


def test_command_trains_and_refuses_plainly(tmp_path, capsys):
    assert command.main([*TINY, "--out", str(tmp_path)]) == 0
    names = ["checkpoint-000000000.pt", "checkpoint-000000037.pt", "history.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    (row,) = json.loads((tmp_path / "history.json").read_text())
    shown = capsys.readouterr().out.splitlines()
    assert shown == [
        f"validation error {row['validation_error']:.1f}%",
        f"test error {row['test_error']:.1f}%",
    ]
    assert command.main([*TINY, "--out", str(tmp_path)]) == 1
    assert "holds checkpoints already" in capsys.readouterr().err
    assert command.main([*TINY, "--learning-rate", "1e9"]) == 1
    assert "try a tenth of that rate" in capsys.readouterr().err
    assert command.main([*TINY, "--width", "0"]) == 1
    assert "width must be a positive factor" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command.main(["--resume"])


@pytest.mark.parametrize("device", ["tpu", "cuda:99"])
def test_device_that_is_not_there_is_refused_in_a_sentence(device, capsys):
    with pytest.raises(SystemExit):
        command.main([*TINY, "--device", device])
    assert f"error: cannot train on device '{device}': " in capsys.readouterr().err


def test_command_trains_on_a_folder_with_and_without_augmentation(tmp_path, capsys):
    write_images(tmp_path / "images")
    words = [*TINY, "--dataset", str(tmp_path / "images"), "--size", "32", "--scale", "36", "44"]
    rows = []
    for number, more in enumerate([[], ["--no-augment"]]):
        assert command.main([*words, *more, "--out", str(tmp_path / str(number))]) == 0
        rows.append((tmp_path / str(number) / "history.json").read_text())
    assert rows[0] != rows[1]
    assert command.main([*TINY, "--dataset", str(tmp_path / "none")]) == 1
    assert "unknown data set" in capsys.readouterr().err


def test_failed_download_is_a_sentence(monkeypatch, capsys):
    def fail(*arguments, **options):
        raise DownloadError("no address gave cifar10")

    monkeypatch.setattr(command, "load_dataset", fail)
    assert command.main(["--dataset", "cifar10"]) == 1
    assert capsys.readouterr().err == "error: no address gave cifar10\n"
