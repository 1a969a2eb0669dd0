"""The helper module of the VGGNet book: what its notebooks share.

`from vgg_utils import layer_configs, make_layer, VGGNet` works, and so does naming the file:
`from vgg_utils.receptive_field import receptive_field` (the package's own attribute of that name is
the file, not the function). PyTorch is imported on first use of the
model, so that `import vgg_utils` stays fast.
"""

from typing import Any

from vgg_utils.configs import layer_configs

__version__ = "0.1.0"
__all__ = ["VGGNet", "layer_configs", "make_layer"]


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def __getattr__(name: str) -> Any:
    if name in ("VGGNet", "make_layer"):
        from vgg_utils import model

        return getattr(model, name)
    raise AttributeError(f"module 'vgg_utils' has no attribute {name!r}")
