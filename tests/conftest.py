"""What holds for every test, of a unit and of real programs alike."""

import os

# OpenMP's threads wait by spinning: on the small tables of tests, beside anything else that runs, two of them
# take three times as long as one. Read when the libraries load, hence before any test module is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
