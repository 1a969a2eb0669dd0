"""Images read from files train as those in memory do, and nobody's timing shows in the result."""

import math
import multiprocessing
import random

import numpy as np
import pytest
import torch
from image_files import write_images
from torch.utils.data import Dataset, TensorDataset

from vgg_utils import batches, train
from vgg_utils.data import ImageData, ImageFiles, load_folder
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


def files(noise=False, kind=Pairs):
    both = (kind(*tensors(), noise=noise) for _ in range(2))
    return ImageFiles(*both, ["ant", "bee"], torch.zeros(3))


def small_net():
    torch.manual_seed(0)
    return VGGNet(3, 2, [(3, 4), "M"], batch_norm=True, pool_size=2, hidden_features=8)


def trained(data, **options):
    net = small_net()
    history = fit(net, data, epochs=2, batch_size=8, seed=3, progress=False, **options)
    return history, net.state_dict()


def assert_same_weights(one, other):
    for name, value in one[1].items():
        assert torch.equal(other[1][name], value), name


def test_images_from_files_train_as_the_same_images_in_memory():
    """To the bit: the order is the seed's, and reading takes no number from dropout."""
    half = TensorDataset(*tensors())
    memory = trained(ImageData(half, half, ["ant", "bee"], torch.zeros(3)))
    read = trained(files())
    assert_same_weights(memory, read)
    for row, its in zip(memory[0], read[0], strict=True):
        assert row == pytest.approx(its, rel=1e-5)


def test_augmented_training_does_not_depend_on_the_workers(tmp_path):
    write_images(tmp_path, sizes=[(10 + k, 14) for k in range(9)])
    data = load_folder(tmp_path, size=8, scale=(9, 12))
    alone, helped = trained(data), trained(data, workers=2)
    assert alone[0] == helped[0]
    assert_same_weights(alone, helped)


def test_images_are_augmented_anew_each_epoch_and_alike_in_each_run():
    runs = []
    for seed in (0, 0, 1):
        data = files(noise=True)
        fit(small_net(), data, epochs=2, batch_size=8, seed=seed, progress=False)
        seen = data.train.seen[1:]  # the first was read to learn its shape
        assert sorted(index for index, _ in seen) == sorted([*range(37)] * 2)
        runs.append([dict(seen[:37]), dict(seen[37:])])
    first, again, other = runs
    assert first == again
    for index in range(37):
        assert len({epoch[index] for epoch in first + other}) == 4
    shifts = [first[0][index] - tensors()[0][index].mean().item() for index in range(37)]
    assert len({round(shift, 4) for shift in shifts}) > 30  # every image by its own numbers


def test_reading_leaves_all_random_generators_as_they_were():
    def numbers():
        return torch.rand(1).item(), random.random(), np.random.rand()

    def seeded():
        torch.manual_seed(5), random.seed(5), np.random.seed(5)

    seeded()
    undisturbed = numbers()
    for workers in (0, 1):
        noisy = batches.FromFiles(Pairs(*tensors(), noise=True), CPU, 8, workers, seed=0)
        seeded()
        read = list(noisy.training([torch.arange(8)], epoch=1))
        assert numbers() == undisturbed
    assert len(read) == 1 and read[0][0].shape == (8, 3, 8, 8)


def test_testing_on_files_holds_one_batch_at_a_time(monkeypatch):
    lengths = []

    def counting(model, images, _predict=train.predict):
        lengths.append(len(images))
        return _predict(model, images)

    monkeypatch.setattr(train, "predict", counting)
    trained(files())
    assert lengths == [8, 8, 8, 8, 5] * 2


def test_stopped_training_leaves_no_process_behind():
    images, labels = tensors()
    data = files()._replace(train=Pairs(images * math.nan, labels))
    with pytest.raises(train.TrainingError, match="the loss is nan") as caught:
        fit(small_net(), data, workers=2, progress=False)
    assert not multiprocessing.active_children(), f"kept by {caught!r}"


def test_images_in_memory_lie_on_the_device_where_half_its_free_memory_holds_them(monkeypatch):
    half = TensorDataset(*tensors())
    data = ImageData(half, half, ["ant", "bee"], torch.zeros(3))
    size = 2 * 37 * (3 * 8 * 8 * 4 + 8)  # bytes of images and labels, twice
    moved = []
    monkeypatch.setattr(
        torch.Tensor, "to", lambda tensor, device, **_: moved.append(device) or tensor
    )
    gpu = torch.device("cuda")
    options = {"augment": None, "batch_size": 8, "workers": 0, "seed": 0}
    for free, count in ((2 * size, 4), (2 * size - 1, 0)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 10**9))
        moved.clear()
        batches.training_and_test(data, gpu, **options)
        assert moved == [gpu] * count  # images and labels of both sets, or none


def test_augment_belongs_to_images_in_memory():
    with pytest.raises(ValueError, match=r"augment is for images in memory.*transform instead"):
        fit(small_net(), files(), augment=lambda images: images, progress=False)


def test_data_without_a_length_is_refused():
    class Endless(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(lambda: (torch.zeros(3, 8, 8), 0), None)

    endless = Endless()
    with pytest.raises(ValueError, match="data sets with a length"):
        fit(small_net(), ImageFiles(endless, endless, ["ant"], torch.zeros(3)), progress=False)


@pytest.mark.parametrize("workers", [0, 1])
def test_broken_image_is_named(tmp_path, workers):
    write_images(tmp_path)
    data = load_folder(tmp_path, size=28)
    (tmp_path / "train" / "bee" / "0.png").write_bytes(b"no image")
    with pytest.raises(OSError, match=r"^cannot read the image .*bee.0\.png: [^\n]*$") as caught:
        fit(small_net(), data, workers=workers, progress=False)
    assert not multiprocessing.active_children(), f"kept by {caught!r}"
