"""The pages of the site, as _toc.yml names them."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Every page, at whatever depth; the front page is first.
PAGES = re.findall(r"(?m)^[\s-]*(?:root|file): (\S+)$", (ROOT / "_toc.yml").read_text("utf-8"))
NOTEBOOKS = [page for page in PAGES if (ROOT / f"{page}.ipynb").exists()]
