"""Images at the door: an image file as a tensor, and the check on tensors of images."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp")


def read_image(path: str | Path) -> torch.Tensor:
    """Return an image file as a tensor (3, H, W), float32, from 0 to 1, as a viewer shows it.

    It is upright (EXIF), in sRGB (from an embedded profile that can be used), on white where it is
    transparent, and the first frame of several. Grey of up to 16 bits is divided by its largest
    value. Raises OSError, naming the file, for one that is missing, broken or no image, or whose
    white is unknown: integers that are signed or beyond 16 bits, floats outside 0 to 1.
    """
    content = Path(path).read_bytes()  # the system's own errors name the file
    try:
        with Image.open(io.BytesIO(content)) as file:
            file.load()
            image = ImageOps.exif_transpose(file)
            if image.mode == "F" or image.mode.startswith("I"):
                return _deep_grey(image, file).repeat(3, 1, 1)
            return torch.from_numpy(np.array(_as_rgb(image))).permute(2, 0, 1).float() / 255.0
    except Exception as error:  # a broken file makes Pillow raise nearly anything
        problem = str(error) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            problem = "no image that Pillow knows" if content else "the file is empty"
        raise OSError(f"cannot read the image {path}: {problem}") from error


def _deep_grey(image: Image.Image, file: Image.Image) -> torch.Tensor:
    """Return grey of more than 8 bits (H, W) from 0 to 1; `image` is the opened `file`, upright."""
    pixels = np.array(image, dtype=np.float32)
    tags = getattr(file, "tag_v2", {})  # a TIFF's: 258 is bits, 262 photometric, 339 number format
    if image.mode == "F":
        if not (pixels.min() >= 0 and pixels.max() <= 1):  # NaN is refused too
            span = f"from {pixels.min():g} to {pixels.max():g}"
            raise ValueError(f"mode F, floats {span}: save it with black at 0 and white at 1")
    else:
        bits, kind = tags.get(258, (16,))[0], tags.get(339, (1,))[0]
        if file.format not in ("PNG", "PPM", "JPEG2000", "TIFF") or bits > 16 or kind != 1:
            raise ValueError(f"mode {image.mode}, whose white is not known: save it with 16 bits")
        pixels[pixels == image.info.get("transparency", -1)] = 2**bits - 1  # on white
        pixels /= 2**bits - 1
    return torch.from_numpy(1 - pixels if tags.get(262) == 0 else pixels)  # of 0: zero is white


def _as_rgb(image: Image.Image) -> Image.Image:
    """Return an image of 8 bits a channel as sRGB, on white."""
    grey, alpha = image.mode in ("1", "L", "LA"), None
    if image.mode in ("LA", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
    if image.mode != "CMYK":
        image = image.convert("L" if grey else "RGB")
    if transform := _to_srgb(image.info.get("icc_profile"), image.mode):
        image = transform.apply(image)
    image = image.convert("RGB")
    white = Image.new("RGB", image.size, "white")
    return Image.composite(image, white, alpha) if alpha else image


@lru_cache(maxsize=16)
def _to_srgb(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return what brings such colours to sRGB; None without a profile that fits the mode."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile or b""))
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError):
        return None


def check_float_images(images: torch.Tensor, shape: str, *, double: bool = False) -> None:
    """Raise unless `images` is a float tensor of a shape such as "(N, 3, H, W)", H and W above 0.

    TypeError for no tensor or another dtype (float64 passes with `double`), ValueError for a shape.
    """
    if not isinstance(images, torch.Tensor):
        raise TypeError(f"expected a tensor of images {shape}, got {type(images).__name__}")
    if not images.is_floating_point() or (images.dtype == torch.float64 and not double):
        cure = "images / 255" if images.dtype == torch.uint8 else "images.float()"
        raise TypeError(f"expected float32 images {shape}, got {images.dtype}: use {cure}")
    names, sides = shape.strip("()").split(", "), tuple(images.shape)
    wrong = any(n.isdigit() and n != str(side) for n, side in zip(names, sides, strict=False))
    if wrong or len(names) != len(sides) or 0 in sides[-3:]:
        raise ValueError(f"expected images of shape {shape}, got {sides}")
