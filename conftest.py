"""Settings for every test and every notebook that pytest runs."""

import os

# One thread per process: pytest runs two at a time, and sums come out the same everywhere.
os.environ.setdefault("OMP_NUM_THREADS", "1")
