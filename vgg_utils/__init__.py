"""The helper module of the VGGNet book: what its notebooks share.

The names that readers use most come straight from the package, as in
`from vgg_utils import VGGNet, fit, receptive_field`; every other name comes from its file, as in
`from vgg_utils.configs import layer_names`. A file is read when one of its names is first asked
for, so that `import vgg_utils` stays fast and needs no PyTorch.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a type checker would take the file for it
    from vgg_utils.receptive_field import receptive_field as receptive_field

__version__ = "0.1.0"

_names = {
    "configs": ("layer_configs", "summarise"),
    "data": ("load_dataset", "load_folder"),
    "evaluation": ("evaluate", "predict", "top_k_error"),
    "images": ("read_image",),
    "inside": ("grad_cam",),
    "model": ("VGGNet", "fully_convolutional", "make_layer"),
    "receptive_field": ("receptive_field",),
    "trained": ("classify", "load_trained"),
    "training": ("fit",),
}
_files = {name: file for file, names in _names.items() for name in names}
__all__ = sorted(_files)


def __getattr__(name: str) -> Any:
    if name not in _files:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_files[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """A package whose `receptive_field` stays the function, whatever is imported when."""

    def __setattr__(self, name: str, value: Any) -> None:
        # A file, once imported, becomes an attribute of its package, and would hide the function.
        if not (name in _files and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
