"""The command `python -m vgg_utils.train`: its options, and what each data set is trained with.

    python -m vgg_utils.train --out runs/first            train; `--help` lists the options
    python -m vgg_utils.train --out runs/first --resume   go on after an interruption
    python -m vgg_utils.trained runs/first photo.jpg      name what a photograph shows

Several processes, one a GPU (or a CPU), share each batch. On one machine, and on two machines with
four GPUs each (the same line on both, `--node-rank` 0 and 1; `host0` is the first one's name):

    torchrun --nproc-per-node 4 -m vgg_utils.train --out runs/four
    torchrun --nnodes 2 --node-rank 0 --nproc-per-node 4 --master-addr host0 --master-port 29500 \\
        -m vgg_utils.train --out runs/eight

Only process 0, on the first machine, writes and reads `--out`. When a process dies, torchrun stops
the others; the same line with `--resume` goes on, with any number of processes.
"""

from __future__ import annotations

import argparse
import functools
import os
import shlex
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.distributed as dist

from vgg_utils.augmentation import random_flip, random_shift
from vgg_utils.batches import Augment
from vgg_utils.checkpoint import CheckpointError
from vgg_utils.configs import layer_configs
from vgg_utils.data import ImageData, ImageFiles, hold_out, load_dataset
from vgg_utils.distributed import rank_and_world_size, rank_zero_first
from vgg_utils.download import DownloadError
from vgg_utils.model import VGGNet
from vgg_utils.training import PRECISIONS, Row, TrainingError, fit


class Defaults(NamedTuple):
    """What a data set is trained with unless the options say otherwise."""

    size: int  # of the images, in pixels; load_dataset's own default
    width: float
    hidden_features: int
    epochs: int
    batch_size: int
    shift: int  # pixels; 0 where the images come augmented
    flip: bool
    augmentation: str  # in words, for --help


FOLDER = Defaults(224, 1, 4096, 30, 64, 0, False, "scale, crop, flip, colour")
DEFAULTS = {
    "digits": Defaults(32, 0.125, 512, 10, 32, 2, False, "shift by 2 pixels"),
    # The plain net stays at chance for its first five epochs or so on scenes.
    "scenes": Defaults(64, 0.125, 512, 20, 32, 4, False, "shift by 4 pixels"),
    "cifar10": Defaults(32, 1, 512, 20, 128, 4, True, "shift by 4 pixels, flip"),
    "imagenette": FOLDER,
}
PAPER = Defaults(224, 1, 4096, 74, 256, 0, False, "scale, crop, flip, colour")
CONFIGS = [*layer_configs, *(f"vgg{n}{norm}" for n in (11, 13, 16, 19) for norm in ("", "_bn"))]
# Options that VGGNet and `fit` take under the same name.
FOR_NETWORK = ("batch_norm", "width", "hidden_features", "dropout", "init")
FOR_FIT = (
    *("epochs", "batch_size", "learning_rate", "momentum", "weight_decay", "milestones"),
    *("patience", "one_cycle", "seed", "precision", "compile", "num_workers"),
    *("out", "resume", "save_every"),
)

DESCRIPTION = """\
Train a configuration of Table 1 with the paper's recipe (Sect. 3.1). Without
options: A, an eighth as wide, on the embedded digits, in seconds."""
EPILOG = """\
defaults by data set:
{table}

Digits and scenes need no network. A folder holds train/ and val/, in each one
folder of images for every class; with test/ too, val/ is for validation.

Several processes: torchrun --nproc-per-node 2 -m vgg_utils.train ..."""
SCALE = """of scenes: range of the digit's side in pixels (default: 16 48); of image files: range
of the shorter side before the crop (default: 8/7 of the crop; paper: 256 512)"""
PATIENCE = """divide the rate by ten after N epochs without a lower validation error (default: 5;
the paper gives no number)"""


def _parser() -> argparse.ArgumentParser:
    head = f"  {'':<11}{'size':>7}{'width':>8}{'hidden':>8}{'epochs':>8}{'batch':>8}  augmentation"
    rows = [
        f"  {name:<11}{row.size:>4} px{row.width:>8g}{row.hidden_features:>8}{row.epochs:>8}"
        f"{row.batch_size:>8}  {row.augmentation}"
        for name, row in {**DEFAULTS, "a folder": FOLDER, "the paper": PAPER}.items()
    ]
    parser = argparse.ArgumentParser(
        prog="python -m vgg_utils.train",
        usage="%(prog)s [options]",
        description=DESCRIPTION,
        epilog=EPILOG.format(table="\n".join([head, *rows])),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument_group("data").add_argument
    names = f"{', '.join(DEFAULTS)} or the path of a folder (default: digits)"
    add("--dataset", default="digits", metavar="NAME", help=names)
    add("--data-dir", default="data", metavar="DIR", help="for what is downloaded (default: data)")
    add("--size", type=int, metavar="N", help="side of the images in pixels (default: see below)")
    add("--scale", type=int, nargs=2, metavar=("LOW", "HIGH"), help=SCALE)
    add("--no-augment", action="store_true", help="train on the images as they are")
    held_out = "share of the training set held out, by which --patience decides (default: 0.1)"
    add("--validation", type=float, default=0.1, metavar="X", help=held_out)

    add = parser.add_argument_group("network").add_argument
    add("--config", choices=CONFIGS, default="A", metavar="NAME", help="Table 1 (default: A)")
    add("--width", type=float, metavar="X", help="factor on all channels (paper: 1)")
    wide = "length of fc6 and fc7 (paper: 4096)"
    add("--hidden", dest="hidden_features", type=int, metavar="N", help=wide)
    side = "side of the map given to fc6 (default: a 32nd of the size, at most 7; paper: 7)"
    add("--pool-size", type=int, metavar="N", help=side)
    add("--dropout", type=float, default=0.5, metavar="P", help="default: 0.5, the paper's")
    add("--batch-norm", action="store_true", help="normalise after each convolution; paper: none")
    add("--init", choices=["he", "xavier", "pytorch"], default="he", help="default: he")

    add = parser.add_argument_group("training").add_argument
    add("--epochs", type=int, metavar="N", help="passes over the training set (paper: 74)")
    add("--batch-size", type=int, metavar="N", help="images per step (paper: 256)")
    add("--learning-rate", type=float, default=0.01, metavar="X", help="default: 0.01, the paper's")
    add("--momentum", type=float, default=0.9, metavar="X", help="default: 0.9, the paper's")
    add("--weight-decay", type=float, default=5e-4, metavar="X", help="default: 5e-4, the paper's")
    add("--patience", type=int, metavar="N", help=PATIENCE)
    instead = "divide the rate by ten after these epochs instead"
    add("--milestones", type=int, nargs="+", default=[], metavar="EPOCH", help=instead)
    cycle = "let the rate rise for a fifth of the run and fall to zero instead (2017)"
    add("--one-cycle", action="store_true", help=cycle)
    add("--seed", type=int, default=0, metavar="N", help="default: 0")

    add = parser.add_argument_group("machine").add_argument
    add("--device", help="cpu, cuda, mps (default: cuda where there is one)")
    auto = "default: auto, which is mixed precision on GPUs"
    add("--precision", choices=["auto", *PRECISIONS], default="auto", help=auto)
    add("--compile", action="store_true", help="use torch.compile")
    workers = "processes that read image files (default: one a core with a GPU, at most 8; else 0)"
    add("--num-workers", type=int, metavar="N", help=workers)

    add = parser.add_argument_group("saving").add_argument
    add("--out", metavar="DIR", help="write history.json and the last two checkpoints here")
    add("--resume", action="store_true", help="go on from the last checkpoint in --out, if any")
    add("--save-every", type=int, metavar="N", help="a checkpoint every N steps, besides epochs")
    return parser


def _options(parser: argparse.ArgumentParser, words: Sequence[str] | None) -> argparse.Namespace:
    """Read the options, and fill in what the data set is trained with by default."""
    options = parser.parse_args(words)
    if options.resume and not options.out:
        parser.error("--resume needs --out, the folder with the checkpoints")
    defaults = DEFAULTS.get(options.dataset, FOLDER)
    for name in ("width", "hidden_features", "epochs", "batch_size"):
        if getattr(options, name) is None:
            setattr(options, name, getattr(defaults, name))
    if options.patience is None and not options.milestones and not options.one_cycle:
        options.patience = 5
    return options


def _augmentation(data: ImageData | ImageFiles, options: argparse.Namespace) -> Augment | None:
    """Return what changes each batch; images from files come augmented, unless not wanted."""
    if isinstance(data, ImageFiles) and options.no_augment:
        data.train.transform = data.test.transform
    if isinstance(data, ImageFiles) or options.no_augment:
        return None
    defaults = DEFAULTS[options.dataset]
    # What moves in from outside is paper white around a digit, and the mean colour elsewhere.
    fill = -data.mean.item() if len(data.mean) == 1 else 0.0
    shift = functools.partial(random_shift, pixels=defaults.shift, fill=fill)
    return (lambda images: random_flip(shift(images))) if defaults.flip else shift


def _device(asked: str | None) -> str:
    """Return the device to train on, for each process its own; ValueError if there is none such."""
    device = asked or ("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and "LOCAL_RANK" in os.environ:  # set by torchrun
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        torch.empty(0, device=device)
        if device.startswith("cuda:"):
            torch.cuda.set_device(device)
    except (RuntimeError, AssertionError, ImportError) as error:  # AssertionError: built for CPUs
        reason = str(error).split("\n")[0]
        raise ValueError(f"cannot train on device {device!r}: {reason}") from error
    return device


def _train(options: argparse.Namespace, device: str) -> list[Row]:
    """Load the data, build the network and train it."""
    scale = tuple(options.scale) if options.scale else None
    data = rank_zero_first(
        lambda: load_dataset(options.dataset, options.data_dir, size=options.size, scale=scale)
    )
    if data.validation is None and options.validation:
        data = hold_out(data, options.validation, seed=options.seed)
    elif data.validation is None and options.patience:
        raise ValueError("--patience needs a validation part: give --validation or --milestones")
    augment = _augmentation(data, options)
    channels, side, _ = data.train[0][0].shape
    pool_size = min(max(side // 32, 1), 7) if options.pool_size is None else options.pool_size
    torch.manual_seed(options.seed)
    settings = {name: getattr(options, name) for name in FOR_NETWORK}
    model = VGGNet(channels, len(data.classes), options.config, pool_size=pool_size, **settings)
    about = {"classes": data.classes, "preprocess": data.preprocess}
    settings = {name: getattr(options, name) for name in FOR_FIT} | {"device": device, **about}
    sets, bar = (data.train, data.validation), sys.stderr.isatty()
    return fit(model, *sets, test=data.test, augment=augment, progress=bar, **settings)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the command line says; return the exit status."""
    parser = _parser()
    options = _options(parser, arguments)
    try:
        device = _device(options.device)
    except ValueError as error:
        parser.error(str(error))
    together = "LOCAL_RANK" in os.environ
    if together:
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    first = rank_and_world_size()[0] == 0
    try:
        history = _train(options, device)
    except KeyboardInterrupt:
        if first and options.out:
            given = [word for word in arguments or sys.argv[1:] if word != "--resume"]
            print(f"\nstopped; go on with:\n{parser.prog} {shlex.join(given)} --resume")
        elif first:
            print("\nstopped; with --out it could go on later")
        return 130
    except (TrainingError, CheckpointError, DownloadError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        if together:
            time.sleep(0.1)  # before PyTorch 2.8, a group just used may wait for ever
            dist.destroy_process_group()
    if first:
        for name in ("validation_error", "test_error"):
            if name in history[-1]:
                print(f"{name.replace('_', ' ')} {history[-1][name]:.1f}%")
    return 0


if __name__ == "__main__":
    sys.exit(main())
