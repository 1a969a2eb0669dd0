"""Settings for every test and every notebook that pytest runs."""

import os

# One thread per process: pytest runs two at a time, and sums come out the same everywhere. Readers
# have more threads, so the slow tests run every notebook with those of the machine too.
os.environ.setdefault("OMP_NUM_THREADS", "1")
