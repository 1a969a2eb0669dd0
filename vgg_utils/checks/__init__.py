"""Answers to the book's exercises: `check("2.1", answer)` tells right from wrong, and why.

What is said of an answer stands in a text file for each lesson, which can be edited or translated
without Python; `base.txt` explains the form. The Python file beside it, found by itself, computes
what the text needs by the lesson's own arithmetic.
"""

import importlib
import pkgutil

from vgg_utils.checks.base import check
from vgg_utils.checks.initialisation import broken_network

__all__ = ["broken_network", "check"]

for _lesson in pkgutil.iter_modules(__path__):  # imported, it adds its exercises to the list
    importlib.import_module(f"{__name__}.{_lesson.name}")
