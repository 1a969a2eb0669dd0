"""The face of the package: what `from vgg_utils import ...` hands over, and when."""

import importlib
import inspect
import itertools
import subprocess
import sys
import types

import pytest

import vgg_utils

HEAVY = {"torch", "torchvision", "numpy", "matplotlib", "sklearn"}


def run(code: str, *options: str) -> str:
    """Run code in a fresh interpreter and return what it prints; a warning is an error."""
    command = [sys.executable, "-W", "error", *options, "-c", code]
    out = subprocess.run(command, capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    return out.stdout.strip()


@pytest.mark.parametrize(
    "statement",
    [
        "import vgg_utils",
        "import vgg_utils; dir(vgg_utils), vgg_utils.__all__, vgg_utils.__version__",
        "from vgg_utils import layer_configs, receptive_field, summarise; summarise('vgg16')",
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(statement):
    assert run(f"{statement}; import sys; print({HEAVY} & sys.modules.keys())") == "set()"


def test_importing_the_package_reads_no_other_file_of_it():
    code = "import sys, vgg_utils; print([n for n in sys.modules if n.startswith('vgg_utils.')])"
    assert run(code) == "[]"


NAMES = (
    *("VGGNet", "classify", "evaluate", "fit", "fully_convolutional", "grad_cam", "layer_configs"),
    *("load_dataset", "load_folder", "load_trained", "make_layer", "predict", "read_image"),
    *("receptive_field", "summarise", "top_k_error"),
)


@pytest.mark.parametrize("name", NAMES)
def test_what_readers_use_comes_from_the_package(name):
    """It is the thing itself, from the file that defines it, not a file of that name."""
    handed = getattr(vgg_utils, name)
    assert not isinstance(handed, types.ModuleType)
    assert name in dir(vgg_utils)
    if name != "layer_configs":
        assert handed.__name__ == name
        file = importlib.import_module(handed.__module__)
        assert getattr(file, name) is handed
        assert handed.__module__.startswith("vgg_utils.")


def test_a_star_hands_over_the_same_names():
    names = {}
    exec("from vgg_utils import *", names)
    assert names.keys() - {"__builtins__"} == set(NAMES)


@pytest.mark.parametrize("name", ["vggnet", "Layer", "receptive_fields", "__path", ""])
def test_unknown_names_raise_attribute_error(name):
    assert not hasattr(vgg_utils, name)
    with pytest.raises(AttributeError, match=f"module 'vgg_utils' has no attribute '{name}'"):
        getattr(vgg_utils, name)


def test_an_unknown_name_cannot_be_imported():
    with pytest.raises(ImportError, match="cannot import name 'vgg16'"):
        exec("from vgg_utils import vgg16")


STATEMENTS = (
    "from vgg_utils import receptive_field",
    "import vgg_utils.receptive_field",
    "from vgg_utils.receptive_field import Layer",
    "import importlib; importlib.import_module('vgg_utils.receptive_field')",
    "import vgg_utils; vgg_utils.receptive_field('D')",
)


@pytest.mark.parametrize("order", list(itertools.permutations(STATEMENTS, 2)))
def test_receptive_field_is_the_function_in_whatever_order(order):
    code = f"""
for statement in {order}:
    exec(statement)
from vgg_utils import receptive_field as name
import vgg_utils, importlib, inspect, sys
from vgg_utils.receptive_field import Layer
file = importlib.import_module("vgg_utils.receptive_field")
assert inspect.isfunction(name) and name is vgg_utils.receptive_field is file.receptive_field
assert file is sys.modules["vgg_utils.receptive_field"] and Layer is file.Layer
assert name([Layer(3)])[0].receptive_field == 3
"""
    run(code)


def test_the_function_stays_when_the_file_is_read_anew():
    code = """
import importlib, sys, vgg_utils
for again in range(2):
    file = importlib.import_module("vgg_utils.receptive_field")
    assert importlib.reload(file).receptive_field is vgg_utils.receptive_field
    del sys.modules["vgg_utils.receptive_field"]
importlib.reload(vgg_utils)
assert callable(vgg_utils.receptive_field)
"""
    run(code)


def test_other_files_are_attributes_of_the_package_as_usual():
    run("import vgg_utils.configs; assert vgg_utils.configs.min_size('A') == 32")
    run("from vgg_utils import configs; assert configs.min_size('A') == 32")


def test_names_can_be_replaced_for_a_test(monkeypatch):
    monkeypatch.setattr(vgg_utils, "receptive_field", len)
    assert vgg_utils.receptive_field is len
    monkeypatch.undo()
    assert inspect.isfunction(vgg_utils.receptive_field)


@pytest.mark.parametrize("options", [[], ["D"]])
def test_running_the_file_does_not_warn(options):
    command = [sys.executable, "-W", "error", "-m", "vgg_utils.receptive_field", *options]
    out = subprocess.run(command, capture_output=True, text=True)
    assert (out.returncode, out.stderr) == (0, "")
    assert out.stdout.splitlines()[-1].split() == ["pool5", "2", "2", "212", "32", "16.0"]
