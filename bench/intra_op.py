"""Import before torch: exports --threads to OpenMP and MKL, whose counts are otherwise all cores in every new thread."""
import os
import sys

value = "1"
for position, word in enumerate(sys.argv):
    if word == "--threads" and position + 1 < len(sys.argv):
        value = sys.argv[position + 1]
    elif word.startswith("--threads="):
        value = word.split("=", 1)[1]
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = value
