"""Data sets that read their images train as those in memory do, whoever reads and whenever."""

import math
import multiprocessing
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from image_files import write_images
from torch.utils.data import Dataset, TensorDataset

from vgg_utils import batches, training
from vgg_utils.data import load_folder
from vgg_utils.model import VGGNet
from vgg_utils.training import fit

CPU = torch.device("cpu")


class Pairs(Dataset):
    """A set in memory that looks like one in files; `seen` notes what was asked for."""

    def __init__(self, *tensors, noise=False):
        self.images, self.targets = tensors
        self.noise, self.seen = noise, []

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, index):
        image = self.images[index]
        if self.noise:  # of every generator that a transform may use
            image = image + torch.rand(1) + random.random() + np.random.rand()
        self.seen.append((index, image.mean().item()))
        return image.float(), int(self.targets[index])


def tensors(count=37):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, 3, 8, 8, generator=generator)
    return images, torch.randint(0, 2, (count,), generator=generator)


def small_net():
    torch.manual_seed(0)
    return VGGNet(3, 2, [(3, 4), "M"], batch_norm=True, pool_size=2, hidden_features=8)


def trained(train, test, **options):
    net = small_net()
    options = {"epochs": 2, "batch_size": 8, "seed": 3, "progress": False, **options}
    history = fit(net, train, test=test, **options)
    return history, net.state_dict()


def assert_same_weights(one, other):
    for name, value in one[1].items():
        assert torch.equal(other[1][name], value), name


def test_images_from_files_train_as_the_same_images_in_memory():
    """To the bit: the order is the seed's, and reading takes no number from dropout."""
    memory = trained(tensors(), tensors())
    read = trained(Pairs(*tensors()), Pairs(*tensors()))
    assert_same_weights(memory, read)
    for row, its in zip(memory[0], read[0], strict=True):
        assert row == pytest.approx(its, rel=1e-5)


def test_augmented_training_does_not_depend_on_the_workers(tmp_path):
    write_images(tmp_path, sizes=[(10 + k, 14) for k in range(9)])
    data = load_folder(tmp_path, size=8, scale=(9, 12))
    alone, helped = (trained(data.train, data.test, num_workers=n) for n in (0, 2))
    assert alone[0] == helped[0]
    assert_same_weights(alone, helped)


def test_images_are_augmented_anew_each_epoch_and_alike_in_each_run():
    runs = []
    for seed in (0, 0, 1):
        data = Pairs(*tensors(), noise=True)
        fit(small_net(), data, epochs=2, batch_size=8, seed=seed, progress=False)
        seen = data.seen[-74:]  # some were looked at before the first step
        assert sorted(index for index, _ in seen) == sorted([*range(37)] * 2)
        runs.append([dict(seen[:37]), dict(seen[37:])])
    first, again, other = runs
    assert first == again
    for index in range(37):
        assert len({epoch[index] for epoch in first + other}) == 4
    shifts = [first[0][index] - tensors()[0][index].mean().item() for index in range(37)]
    assert len({round(shift, 4) for shift in shifts}) > 30  # every image by its own numbers


def test_testing_holds_one_batch_at_a_time(monkeypatch):
    lengths = []

    def counting(model, images, _predict=training.predict):
        lengths.append(len(images))
        return _predict(model, images)

    monkeypatch.setattr(training, "predict", counting)
    for data, expected in ((Pairs(*tensors()), [8, 8, 8, 8, 5]), (tensors(), [32, 5])):
        lengths.clear()
        trained(tensors(), data, epochs=1)
        assert lengths == expected


def test_stopped_training_leaves_no_process_behind():
    images, labels = tensors()
    images[21] = math.nan  # none of those that are looked at before the first step
    with pytest.raises(training.TrainingError, match="the loss is nan") as caught:
        fit(small_net(), Pairs(images, labels), num_workers=2, progress=False)
    assert not multiprocessing.active_children(), f"kept by {caught!r}"


def test_images_in_memory_lie_on_the_device_if_half_its_free_memory_holds_them(monkeypatch):
    data = TensorDataset(*tensors())
    size = 37 * (3 * 8 * 8 * 4 + 8)  # bytes of images and labels
    moved = []
    monkeypatch.setattr(
        torch.Tensor, "to", lambda tensor, device, **_: moved.append(device) or tensor
    )
    gpu = torch.device("cuda")
    options = {"name": "training set", "classes": 2, "augment": None, "num_workers": 0}
    for free, count in ((2 * size, 2), (2 * size - 1, 0)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 10**9))
        moved.clear()
        batches.draw_from(data, gpu, batch_size=8, **options)
        assert moved == [gpu] * count  # images and labels, or none


def test_augment_belongs_to_images_in_memory():
    with pytest.raises(ValueError, match=r"augment is for images in memory.*own transform"):
        fit(small_net(), Pairs(*tensors()), augment=lambda images: images, progress=False)


class Sizes(Pairs):
    """Images of which one, that nobody looks at beforehand, has another size."""

    def __getitem__(self, index):
        image, label = super().__getitem__(index)
        return (image[:, :4] if index == 21 else image), label


class Labels(Pairs):
    """A set that does not tell its labels, of which one is no class of the network."""

    targets = None

    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.images[index], 2 if index == 21 else int(self.labels[index])


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (
            Sizes,
            r"^image \d+ of the training set is \(3, \d, 8\), and image \d+ \(3, \d, 8\)[^\n]*$",
        ),
        (Labels, "^labels of the training set run from 0 to 2; for a network of 2 classes"),
    ],
)
def test_what_shows_only_while_reading_is_a_sentence_too(kind, says, num_workers):
    with pytest.raises(ValueError, match=says):
        fit(small_net(), kind(*tensors()), num_workers=num_workers, progress=False)
    assert not multiprocessing.active_children()


SCRIPT = """
import multiprocessing, sys, torch
from vgg_utils.training import fit

class Data(torch.utils.data.Dataset):
    targets = [0, 1] * 4
    def __init__(self, transform):
        self.transform = transform
    def __len__(self):
        return 8
    def __getitem__(self, index):
        return self.transform(torch.ones(4)), index % 2

def doubled(image):
    return 2 * image

multiprocessing.set_start_method("spawn", force=True)
net = torch.nn.Linear(4, 2)
{main}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("main", "works"),
    [
        ("fit(net, Data(doubled), epochs=1, num_workers=1, progress=False)", False),
        (
            'if __name__ == "__main__":\n'
            "    fit(net, Data(lambda x: x), epochs=1, num_workers=1, progress=False)",
            False,
        ),
        (
            'if __name__ == "__main__":\n'
            "    fit(net, Data(doubled), epochs=1, num_workers=1, progress=False)",
            True,
        ),
    ],
    ids=["no guard", "lambda", "as it should be"],
)
def test_processes_that_start_anew_explain_what_they_need(tmp_path, main, works):
    """As on Windows and macOS: each imports the script again and is sent the data set."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.replace("{main}", main))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (done.returncode == 0) is works, done.stderr
    if not works:
        for words in ("num_workers=0", "named function", 'if __name__ == "__main__":'):
            assert words in done.stderr


@pytest.mark.parametrize("num_workers", [0, 1])
def test_broken_image_is_named(tmp_path, num_workers):
    write_images(tmp_path, sizes=[(30, 40)] * 10)
    data = load_folder(tmp_path, size=28)
    (tmp_path / "train" / "bee" / "3.png").write_bytes(b"no image")
    with pytest.raises(OSError, match=r"^cannot read the image .*bee.3\.png: [^\n]*$") as caught:
        fit(small_net(), data.train, num_workers=num_workers, progress=False)
    assert not multiprocessing.active_children(), f"kept by {caught!r}"
