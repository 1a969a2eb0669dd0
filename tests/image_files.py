"""Folders of small images for the tests; light to import, since tests start many processes."""

import numpy as np
from PIL import Image


def write_images(root, sizes=((40, 50), (60, 45)), suffix=".png"):
    """Write random images of these sizes (height, width), of two classes, in train/ and val/."""
    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        for name in ("ant", "bee"):
            (root / part / name).mkdir(parents=True)
            for k, size in enumerate(sizes):
                pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{k}{suffix}")
