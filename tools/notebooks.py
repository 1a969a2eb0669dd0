"""Run the book's notebooks from the top and store clean outputs in place.

    python tools/notebooks.py                      every notebook of the book
    python tools/notebooks.py book/01_paper.ipynb  only these

What is stored does not depend on who ran it or when: no timings, progress bars, widget states or
machine paths; one kernel name; cells counted from 1; nothing that Colab, JupyterLab or VS Code have
left (tools/anywhere.py). A notebook that fails is left as it was.
"""

import argparse
import base64
import io
import json
import os
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
from anywhere import give_form
from dark_figures import CHUNK
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image, PngImagePlugin

BOOK = Path(__file__).resolve().parent.parent / "book"


def run(path: Path) -> None:
    """Execute one notebook and write it back."""
    notebook = nbformat.read(path, as_version=4)
    give_form(notebook, path.stem)
    execute(notebook, path.parent, extension="dark_figures")
    give_form(notebook, path.stem)  # running leaves metadata too
    clean(notebook)
    nbformat.validate(notebook)
    nbformat.write(notebook, path)


def execute(
    notebook: nbformat.NotebookNode,
    folder: Path,
    threads: int = 1,
    allow_errors: bool = False,
    extension: str = "",
) -> None:
    """Run all cells in a fresh kernel, whose working directory is the folder.

    With one thread, as in the tests, sums come out the same everywhere. The first cell that fails
    raises CellExecutionError, or with `allow_errors` the others go on. `extension` names a file
    in this folder that IPython loads first.
    """
    arguments, environment = ["--IPKernelApp.log_level=ERROR"], {"OMP_NUM_THREADS": str(threads)}
    if extension:
        arguments.append(f"--IPKernelApp.extra_extensions={extension}")
        environment["PYTHONPATH"] = str(Path(__file__).resolve().parent)
    client = NotebookClient(
        notebook,
        timeout=600,
        allow_errors=allow_errors,
        coalesce_streams=True,  # one cell's prints are one output, however they arrived
        kernel_name="python3",
        extra_arguments=arguments,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute(env=os.environ | environment)


def clean(notebook: nbformat.NotebookNode) -> None:
    """Keep the outputs that a reader sees; drop what tells of this run alone."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    code[0].outputs = []  # the set-up tells of this machine
    for cell in code:
        cell.outputs = [
            output for output in cell.outputs if not (is_progress(output) or is_empty(output))
        ]
        for output in cell.outputs:
            if output.output_type == "error":  # of what was drawn after the cell had run
                raise SystemExit(
                    f"a cell's output can't be shown:\n{output.ename}: {output.evalue}"
                )
            picture = output.get("data", {}).get("image/png")
            if picture:
                output.data["image/png"] = compact(picture)


def compact(picture: str) -> str:
    """Store a PNG (base64) with a palette of 256 colours: a third of the size, the same to see.

    A figure for dark pages that came along (tools/dark_figures.py) is stored as a second palette
    for the same pixels: in the chunk `CHUNK`, "picture" gives way to "palette", its colours in
    base64.
    """
    image = Image.open(io.BytesIO(base64.b64decode(picture)))
    light, info = image.convert("RGB").quantize(256), PngImagePlugin.PngInfo()
    if CHUNK in image.info:
        carried = json.loads(image.info[CHUNK])
        other = Image.open(io.BytesIO(base64.b64decode(carried.pop("picture"))))
        light, palette = with_second_palette(image, other, carried["photographs"])
        carried["palette"] = base64.b64encode(palette).decode()
        info.add_text(CHUNK, json.dumps(carried, separators=(",", ":")), zip=True)
    stored = io.BytesIO()
    light.save(stored, format="PNG", optimize=True, pnginfo=info)
    return base64.b64encode(stored.getvalue()).decode("ascii")


def with_second_palette(
    light: Image.Image, dark: Image.Image, photographs: list[list[int]], spare: int = 16
) -> tuple[Image.Image, bytes]:
    """Return an image with a palette, and the palette that turns it into the other of its size.

    A colour of the second palette is the mean of its pixels in the other. Where those differ most,
    as of black that is white here and black there, the colour is entered twice, `spare` times at
    most. Photographs (left, top, right, bottom) don't count: they are the same in both.
    """
    image = light.convert("RGB").quantize(256 - spare)
    places, wanted = np.array(image), np.array(dark.convert("RGB"), float)
    outside = np.ones(places.shape, bool)
    for left, top, right, bottom in photographs:
        outside[top:bottom, left:right] = False
    first = np.zeros((256, 3), np.uint8)
    stored = np.array(image.getpalette(), np.uint8).reshape(-1, 3)
    first[: len(stored)] = stored

    means, spread = means_and_spread(places[outside], wanted[outside])
    brightness, mean_brightness = wanted.sum(axis=2), means.sum(axis=1)
    for new, index in enumerate(spread.argsort()[::-1][:spare], start=256 - spare):
        if spread[index] > 0:
            places[outside & (places == index) & (brightness > mean_brightness[index])] = new
            first[new] = first[index]
    second, _ = means_and_spread(places[outside], wanted[outside])

    image = Image.fromarray(places)
    image.putpalette(first.tobytes())
    return image, second.round().astype(np.uint8).tobytes()


def means_and_spread(places: np.ndarray, colours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return of 256 groups of colours (N, 3) the means (256, 3) and the sums of squares round them.

    `places` (N,) says to which group a colour belongs; an empty one has zeros.
    """
    counts = np.maximum(np.bincount(places, minlength=256), 1)[:, None]
    sums = [np.bincount(places, channel, 256) for channel in colours.T]
    squares = [np.bincount(places, channel**2, 256) for channel in colours.T]
    means = np.stack(sums, axis=1) / counts
    spread = np.stack(squares, axis=1) - counts * means**2
    return means, spread.sum(axis=1)


def is_progress(output: nbformat.NotebookNode) -> bool:
    """Tell a progress bar (on standard error, or a widget) from a result."""
    if output.output_type == "stream" and output.name == "stderr":
        if "it/s" in output.text or "epoch" in output.text or "\r" in output.text:
            return True
        raise SystemExit(f"a cell writes to standard error, which no page shows:\n{output.text}")
    return "application/vnd.jupyter.widget-view+json" in output.get("data", {})


def is_empty(output: nbformat.NotebookNode) -> bool:
    """Tell an output that was emptied when it had done its work, as `show_at_work` does."""
    return output.get("data", {}).get("text/html") == ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all in book/")
    paths = parser.parse_args().notebooks or sorted(BOOK.glob("*.ipynb"))
    failed = False
    for path in paths:
        begin = time.perf_counter()
        try:
            run(path)
        except CellExecutionError as error:
            failed = True
            print(f"{path}: FAILED, left as it was\n{error}", file=sys.stderr)
        else:
            print(f"{path}: {time.perf_counter() - begin:.0f} s")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
