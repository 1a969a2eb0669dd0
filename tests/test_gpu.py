"""What runs otherwise on a GPU: skipped without one, rehearsed on the processor.

python -m pytest tests/test_gpu.py                            on a GPU
VGG_TEST_DEVICE=cpu python -m pytest tests/test_gpu.py        the same lines on the processor
"""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vgg_utils import fast_cifar10
from vgg_utils.augmentation import random_shift
from vgg_utils.data import load_digits
from vgg_utils.evaluation import evaluate, predict, top_k_error
from vgg_utils.inside import grad_cam
from vgg_utils.model import VGGNet, fully_convolutional
from vgg_utils.training import TrainingError, fit

ROOT = Path(__file__).resolve().parent.parent
DEVICE = os.environ.get("VGG_TEST_DEVICE") or ("cuda" if torch.cuda.is_available() else "")
ON_GPU = DEVICE.startswith("cuda")
pytestmark = pytest.mark.skipif(not DEVICE, reason="there is no NVIDIA GPU here")
COMPILED = [False, True] if ON_GPU else [False]
only_gpu = pytest.mark.skipif(not ON_GPU, reason="only a GPU's memory can run out so")


@pytest.fixture(scope="module")
def digits():
    return load_digits()


def small_net(**options):
    torch.manual_seed(0)
    options = {"width": 1 / 8, "pool_size": 1, "hidden_features": 64, "dropout": 0.0, **options}
    options = {"batch_norm": True, **options}
    return VGGNet(1, 10, "A", **options)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16", "auto"])
@pytest.mark.parametrize("compile", COMPILED)
def test_fit_learns_in_every_precision(digits, precision, compile):
    net = small_net().to(DEVICE)
    shift = lambda images: random_shift(images, 2)  # noqa: E731
    options = {"epochs": 4, "batch_size": 32, "learning_rate": 0.02, "one_cycle": True}
    options |= {"precision": precision, "compile": compile, "progress": False}
    history = fit(net, digits.train, test=digits.test, augment=shift, **options)
    assert next(net.parameters()).device.type == torch.device(DEVICE).type
    assert next(net.parameters()).dtype == torch.float32
    assert history[-1]["test_error"] < 15


def test_first_epoch_has_the_losses_of_the_processor(digits):
    """In float32; cuDNN's sums differ in rounding."""
    losses = []
    for device in ("cpu", DEVICE):
        net = small_net().to(device)
        options = {"epochs": 2, "batch_size": 128, "seed": 3, "progress": False}
        losses.append([row["train_loss"] for row in fit(net, digits.train, **options)])
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_run_goes_on_from_its_checkpoint(digits, tmp_path):
    options = {"batch_size": 32, "device": DEVICE, "precision": "auto", "progress": False}
    fit(small_net(), digits.train, epochs=1, out=tmp_path, **options)
    net = small_net()
    history = fit(net, digits.train, epochs=3, out=tmp_path, resume=True, **options)
    assert [row["epoch"] for row in history] == [1, 2, 3]
    images, labels = digits.test.tensors
    assert top_k_error(predict(net, images), labels) < 30


@only_gpu
def test_memory_that_runs_out_names_half_the_batch(digits):
    torch.cuda.set_per_process_memory_fraction(0.01)
    try:
        net = small_net(width=4).to(DEVICE)
        with pytest.raises(TrainingError, match=r"out of memory on cuda.*try batch_size=600"):
            fit(net, digits.train, batch_size=1200, epochs=1, progress=False)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()


@pytest.mark.parametrize("protocol", ["dense", "crops"])
def test_evaluation_gives_what_the_processor_gives(protocol):
    torch.manual_seed(0)
    net = VGGNet(3, 5, "A", width=1 / 8, pool_size=1, hidden_features=32).eval()
    photos = [(torch.rand(3, 50, 70), 0), (torch.rand(3, 64, 40), 1)]
    options = {"protocol": protocol, "progress": False}
    expected = evaluate(net, photos, [40, 56], **options)[0]
    found = evaluate(net.to(DEVICE), photos, [40, 56], **options)[0]
    torch.testing.assert_close(found.cpu(), expected, atol=2e-3, rtol=0)


def test_dense_form_and_grad_cam_run_where_the_network_is():
    net = small_net().to(DEVICE).eval()
    images = torch.rand(3, 1, 64, 64, device=DEVICE)
    with torch.inference_mode():
        assert fully_convolutional(net)(images).shape == (3, 10, 2, 2)
    heat = grad_cam(net, images, 3)
    torch.testing.assert_close(heat, grad_cam(net.cpu(), images.cpu(), 3), atol=2e-3, rtol=2e-2)


@pytest.mark.parametrize("compile", COMPILED)
def test_fast_loop_learns_with_all_its_tricks(digits, compile):
    recipe = fast_cifar10.Recipe(epochs=6, batch_size=64, width=1 / 8)
    recipe = replace(recipe, compile=compile)
    run = fast_cifar10.train(digits, recipe, seed=1, device=DEVICE)
    assert run.history[-1]["test_error"] < 15


def test_one_process_of_torchrun_trains(tmp_path):
    words = f"--standalone --nproc-per-node 1 -m vgg_utils.train --epochs 1 --device {DEVICE}"
    command = [sys.executable, "-m", "torch.distributed.run", *words.split(), "--out", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0 and "test error" in done.stdout, done.stderr
