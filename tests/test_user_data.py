"""What a reader brings to `fit` is looked at before the first step, when nothing is trained yet."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset
from torchvision.transforms.functional import to_tensor

from vgg_utils.data import load_digits
from vgg_utils.model import VGGNet
from vgg_utils.training import fit
from vgg_utils.user_data import known_labels, split_off

COUNT = 12


def net(channels=1):
    torch.manual_seed(0)
    return VGGNet(channels, 10, [(3, 4), "M"], pool_size=1, hidden_features=8)


def images(*shape, count=COUNT):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, *(shape or (1, 8, 8)), generator=generator)


LABELS = torch.arange(COUNT) % 10


class Pairs(Dataset):
    """A data set that makes each pair when it is asked for."""

    def __init__(self, pair, count=COUNT):
        self.pair, self.count = pair, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return self.pair(index)


class Parities(Pairs):
    """As torchvision's data sets: `targets` are what the labels are before `target_transform`."""

    def __init__(self):
        super().__init__(lambda i: (images()[i], i % 2))
        self.targets, self.target_transform = list(range(100, 100 + COUNT)), lambda label: label % 2


class Named(Pairs):
    """A data set that tells its labels by name."""

    def __init__(self):
        super().__init__(lambda i: (images()[i], "cat"))
        self.targets = ["cat"] * COUNT


def photo(index, size=8):
    return Image.fromarray(np.full((size, size), 20 * index, np.uint8))


GOOD = {
    "tensors": (images(), LABELS),
    "a TensorDataset": TensorDataset(images(), LABELS),
    "labels of int32": (images(), LABELS.int()),
    "labels of uint8": (images(), LABELS.to(torch.uint8)),
    "NumPy arrays": (images().numpy(), LABELS.numpy()),
    "a list of pairs": list(zip(images(), LABELS.tolist(), strict=True)),
    "a list of two pairs": [(images()[0], 0), (images()[1], 1)],
    "labels of NumPy": Pairs(lambda i: (images()[i], np.int64(i % 10))),
    "labels as tensors": Pairs(lambda i: (images()[i], torch.tensor(i % 10))),
    "photographs made tensors": Pairs(lambda i: (to_tensor(photo(i)), i % 10)),
    "a Subset": Subset(TensorDataset(images(), LABELS), range(5)),
    "labels changed on the way": Parities(),
    "one image": (images(count=1), LABELS[:1]),
}


@pytest.mark.parametrize("data", GOOD.values(), ids=GOOD)
def test_images_and_labels_of_many_forms_are_taken(data):
    assert len(fit(net(), data, data, test=data, epochs=1, progress=False)) == 1


def test_forms_of_the_same_data_train_alike():
    forms = ("tensors", "labels of int32", "NumPy arrays", "a list of pairs", "labels of NumPy")
    histories = [fit(net(), GOOD[name], epochs=2, batch_size=5, progress=False) for name in forms]
    assert all(history == histories[0] for history in histories)


class Endless(IterableDataset):
    def __iter__(self):
        return iter(lambda: (images()[0], 0), None)


BAD = {
    "labels from 1": ((images(), LABELS + 1), "run from 1 to 10.* between 0 and 9: subtract 1"),
    "a negative label": ((images(), LABELS - 1), "run from -1 to 8"),
    "255 as in masks": ((images(), 255 - LABELS % 2), "run from 254 to 255"),
    "labels (N, 1)": ((images(), LABELS[:, None]), r"shape \(N,\), got \(12, 1\): take .*flatten"),
    "one-hot labels": ((images(), F.one_hot(LABELS)), r"got \(12, 10\): take labels.argmax\(1\)"),
    "labels as floats": ((images(), LABELS.float()), "torch.float32: take labels.long()"),
    "labels as booleans": ((images(), LABELS > 5), "torch.bool: take labels.long()"),
    "fewer labels": ((images(), LABELS[:-1]), "has 12 images and 11 labels"),
    "one label": ((images(), torch.tensor(3)), "has 12 images and no labels"),
    "one number": ((torch.tensor(3.0), LABELS), "has no images and 12 labels"),
    "names beside images": ((images(), ["cat"] * COUNT), "needs images and labels as numbers"),
    "nothing": ((images()[:0], LABELS[:0]), "is empty"),
    "an empty list": ([], "is empty"),
    "an empty set": (Pairs(lambda i: (images()[i], 0), 0), "is empty"),
    "bytes": ((images().mul(255).byte(), LABELS), "torch.uint8: turn them into floats"),
    "doubles": ((images().double(), LABELS), "are float64, the network float32"),
    "colour": ((images(3, 8, 8), LABELS), r"expected images of shape \(N, 1,.*got \(1, 3, 8, 8\)"),
    "no channels": ((images(8, 8), LABELS), r"expected images of shape \(N, 1,.*got \(1, 8, 8\)"),
    "too small": ((images(1, 1, 1), LABELS), "image of 1x1 pixels is too small"),
    "NaN": (
        (images().where(LABELS[:, None, None, None] != 3, torch.nan), LABELS),
        "image 3 .* NaN",
    ),
    "NaN as it is read": (Pairs(lambda i: (images()[i] / (i != 11), i % 10)), "image 11 .* NaN"),
    "three tensors": (TensorDataset(images(), LABELS, LABELS), "holds 3 tensors"),
    "images alone": (TensorDataset(images()), "holds 1 tensors"),
    "a DataLoader": (DataLoader(TensorDataset(images(), LABELS)), "not a DataLoader"),
    "both halves": (load_digits(8), "give one part of the data, such as data.train"),
    "no length": (Endless(), "with a length, or two tensors, got Endless"),
    "no data": (object(), "must be a data set of pairs"),
    "a name": ("digits", "entry 0 .* must be a pair"),
    "PIL images": (Pairs(lambda i: (photo(i), 0)), r"image 0 .* is PIL\S*Image: .*ToTensor\(\)"),
    "arrays": (Pairs(lambda i: (np.zeros((8, 8)), 0)), r"ndarray of shape \(8, 8\): .*ToTensor"),
    "several sizes": (Pairs(lambda i: (to_tensor(photo(i, 8 + i)), 0)), "resize or crop all"),
    "names as targets": (Named(), "str 'cat': it must be a whole num"),
    "names as labels": (Pairs(lambda i: (images()[i], "cat")), "str 'cat': it must be a whole num"),
    "floats as labels": (Pairs(lambda i: (images()[i], 1.0)), "float 1.0: it must be a whole num"),
    "label 10": (Pairs(lambda i: (images()[i], 10)), "run from 10 to 10"),
    "dictionaries": (Pairs(lambda i: {"image": images()[i], "label": 0}), "pair .*, is dict"),
    "triples": (Pairs(lambda i: (images()[i], 0, 0)), "entry 0 .* must be a pair"),
}


@pytest.mark.parametrize("place", ["training set", "validation set", "test set"])
@pytest.mark.parametrize(("data", "says"), BAD.values(), ids=BAD)
def test_what_cannot_be_trained_on_is_refused_before_the_first_step(data, says, place):
    sets = {name: (images(), LABELS) for name in ("training set", "validation set", "test set")}
    sets[place] = data
    model, steps = net(), []
    model.register_forward_pre_hook(lambda net, x: steps.append(net.training))
    modes = [module.training for module in model.modules()]
    train, validation, test = sets.values()
    with pytest.raises(ValueError, match=says) as caught:
        fit(model, train, validation, test=test, epochs=1, progress=False)
    if place not in str(caught.value):  # the network's own words for an image it cannot take
        assert "expected images" in str(caught.value) or "too small" in str(caught.value)
    assert not any(steps)
    assert [module.training for module in model.modules()] == modes


def test_labels_all_alike_teach_nothing():
    for data in ((images(), torch.full((COUNT,), 4)), Subset(GOOD["a TensorDataset"], [3] * 5)):
        with pytest.raises(
            ValueError, match=r"all \d+ training images have label \d: nothing to learn"
        ):
            fit(net(), data, progress=False)


def test_network_that_gives_no_logits_is_refused():
    for model, says in (
        (nn.Conv2d(1, 2, 3), r"gives \(1, 2, 6, 6\)"),
        (nn.LSTM(8, 2), "gives tuple"),
    ):
        data = GOOD["tensors"] if isinstance(model, nn.Conv2d) else (images(3, 8), LABELS)
        with pytest.raises(ValueError, match=rf"must give logits \(N, classes\), and {says}"):
            fit(model, data, progress=False)


def test_other_networks_errors_name_the_image():
    with pytest.raises(ValueError, match=r"does not take an image \(1, 8, 8\) of the training set"):
        fit(nn.Sequential(nn.Flatten(), nn.Linear(3, 10)), GOOD["tensors"], progress=False)


def test_labels_are_known_where_a_set_tells_them():
    whole = TensorDataset(images(), LABELS)
    assert known_labels(Subset(whole, [3, 5])).tolist() == [3, 5]
    pairs = Pairs(lambda i: (images()[i], 0))
    assert known_labels(pairs) is None and known_labels(Subset(pairs, [1])) is None
    pairs.targets = LABELS.tolist()
    assert known_labels(Subset(Subset(pairs, [4, 6, 8]), [2, 0])).tolist() == [8, 4]


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_part_held_out_has_each_class_in_its_share(share):
    labels = torch.arange(400) % 4
    data = TensorDataset(torch.arange(400.0)[:, None], labels)
    rest, held_out = split_off(data, share, seed=3)
    assert torch.bincount(held_out.tensors[1]).tolist() == [int(100 * share)] * 4
    both = torch.cat([rest.tensors[0], held_out.tensors[0]]).flatten()
    assert both.sort().values.tolist() == [*range(400)]
    again, other = split_off(data, share, seed=3)[1], split_off(data, share, seed=4)[1]
    assert torch.equal(held_out.tensors[0], again.tensors[0])
    assert not torch.equal(held_out.tensors[0], other.tensors[0])


def test_a_class_gives_one_image_at_least_and_keeps_one():
    labels = torch.tensor([0] * 30 + [1] * 2)
    rest, held_out = split_off(TensorDataset(torch.zeros(32, 1), labels), 0.1, seed=0)
    assert torch.bincount(held_out.tensors[1]).tolist() == [3, 1]
    assert torch.bincount(rest.tensors[1]).tolist() == [27, 1]
    with pytest.raises(ValueError, match="class 1 has too few images to hold some out: 1"):
        split_off(TensorDataset(torch.zeros(31, 1), labels[:31]), 0.1, seed=0)
    for share in (0, 1, 1.5, -0.1):
        with pytest.raises(ValueError, match="must lie between 0 and 1"):
            split_off(TensorDataset(images(), LABELS), share, seed=0)


def test_a_set_that_tells_no_labels_gives_a_share_of_all():
    rest, held_out = split_off(Pairs(lambda i: (images()[i], 0)), 0.25, seed=0)
    assert (len(rest), len(held_out)) == (9, 3)
    assert sorted([*rest.indices, *held_out.indices]) == [*range(COUNT)]
