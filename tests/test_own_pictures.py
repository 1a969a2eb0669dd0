"""The lines that choose a picture or a folder: with a reader's own the lessons run to their end."""

from pathlib import Path

import nbformat
import pytest
from lesson_files import NOTEBOOKS, execute
from PIL import Image, ImageOps

from vgg_utils.pictures import picture

pytestmark = pytest.mark.slow


def run_with(stem: str, old: str, new: str) -> None:
    """Run a lesson with one line changed; it ends in an error where a cell fails."""
    path = next(path for path in NOTEBOOKS if path.stem.endswith(stem))
    notebook = nbformat.read(path, as_version=4)
    lines = [cell for cell in notebook.cells if old in cell.source]
    assert len(lines) == 1
    lines[0].source = lines[0].source.replace(old, new)
    execute(notebook)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """An upright photograph with transparency, of a size that nothing divides."""
    rose = Image.open(picture("rose")).rotate(90, expand=True).resize((211, 307))
    path = tmp_path / "my photo.png"
    rose.convert("RGBA").save(path)
    return path


@pytest.mark.parametrize("stem", ["inside", "perception"])
def test_lesson_takes_a_photograph_of_ones_own(stem: str, own: Path) -> None:
    run_with(stem, 'photo = picture("cat")', f"photo = {str(own)!r}")


def test_lesson_takes_a_folder_of_ones_own(tmp_path: Path) -> None:
    for kind in ("rose", "tulip", "my cat"):
        (tmp_path / kind).mkdir()
        image = Image.open(picture(kind.split()[-1])).convert("RGB")
        for number in range(9):  # nine crops, none of them square
            box = (5 * number, 3 * number, image.width - 20, image.height - 7 * number)
            ImageOps.autocontrast(image.crop(box)).save(tmp_path / kind / f"{number}.jpg")
    run_with("transfer", 'folder = "flowers"', f"folder = {str(tmp_path)!r}")
