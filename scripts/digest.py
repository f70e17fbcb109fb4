#!/usr/bin/env python3
"""Prints the SHA-256 over the parameters of a saved model, recomputed from its safetensors files alone.

    scripts/digest.py DIR            the digest, the same as `troupe train --print-digest`
    scripts/digest.py --check DIR    also compares it with manifest.json; exit code 1 if they differ

Definition (model/checkpoint/digest.hpp): dense stages ascending, then experts by (layer, expert, slice); within an owner
the tensors by name; for each: owner name, '.', tensor name, NUL, dtype, NUL, shape joined by ',', NUL, the bytes.
Needs nothing but Python's standard library.
"""
import hashlib
import json
import pathlib
import re
import struct
import sys


def owner_of(path):
    """Sort key of a file by its name, or None: (0, stage) or (1, layer, expert, slice)."""
    if found := re.fullmatch(r"dense-(\d+)\.safetensors", path.name):
        return (0, int(found[1]))
    if found := re.fullmatch(r"expert-(\d+)-(\d+)(?:-(\d+))?\.safetensors", path.name):
        return (1, int(found[1]), int(found[2]), int(found[3] or 0))
    return None


def tensors_of(path):
    """(name bytes, dtype, shape, bytes) of each tensor in a safetensors file, by name."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    buffer = data[8 + length :]
    result = []
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            result.append((name.encode(), entry["dtype"], entry["shape"], buffer[begin:end]))
    return sorted(result)


def digest_of(directory):
    files = {key: path for path in pathlib.Path(directory).iterdir() if (key := owner_of(path))}
    if not files:
        sys.exit(f"[{directory}] files: got none, limit dense-*.safetensors and expert-*.safetensors of a saved model")
    digest = hashlib.sha256()
    for _, path in sorted(files.items()):
        owner = path.name.removesuffix(".safetensors").encode()
        for name, dtype, shape, values in tensors_of(path):
            dims = ",".join(map(str, shape))
            digest.update(owner + b"." + name + b"\0" + dtype.encode() + b"\0" + dims.encode() + b"\0")
            digest.update(values)
    return digest.hexdigest()


def main(arguments):
    check = "--check" in arguments
    names = [a for a in arguments if a != "--check"]
    if len(names) != 1 or names[0].startswith("-"):
        sys.exit(__doc__)
    try:
        got = digest_of(names[0])
        print(got)
        if check:
            want = json.loads((pathlib.Path(names[0]) / "manifest.json").read_text())["digest"]
            if got != want:
                sys.exit(f"[{names[0]}/manifest.json] digest: got {want}, limit {got}, that of the files")
    except OSError as problem:
        sys.exit(f"[{problem.filename}] {problem.strerror}; limit what `troupe train --save DIR` wrote")
    except (ValueError, KeyError, struct.error) as problem:
        sys.exit(f"[{names[0]}] {type(problem).__name__}: {problem}")


if __name__ == "__main__":
    main(sys.argv[1:])
