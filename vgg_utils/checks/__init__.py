"""Answers to the book's exercises: `check("2.1", answer)` tells right from wrong, and why.

Each lesson has a file, found by itself: it computes the right answers by the lesson's own
arithmetic, and knows the usual mistakes by their values.
"""

import importlib
import pkgutil

from vgg_utils.checks.base import check
from vgg_utils.checks.initialisation import broken_network

__all__ = ["broken_network", "check"]

for _lesson in pkgutil.iter_modules(__path__):  # imported, it adds its exercises to the list
    importlib.import_module(f"{__name__}.{_lesson.name}")
