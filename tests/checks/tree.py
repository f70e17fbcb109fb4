"""The files that the checks look at, and how a check reports."""

import os
import pathlib
import subprocess
import sys


def files(root):
    """Paths relative to root of all files that are, or could be, committed."""
    listed = subprocess.run(["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            capture_output=True, text=True)
    if listed.returncode == 0:
        found = set(filter(None, listed.stdout.split("\0")))
    else:  # an unpacked archive
        found = {os.path.relpath(os.path.join(folder, name), root)
                 for folder, _, names in os.walk(root) for name in names}
        found = {path for path in found if not path.startswith(("build/", ".git/")) and "__pycache__/" not in path}
    return sorted(path for path in found if os.path.isfile(os.path.join(root, path)))


def sources(root):
    """Our C++ files."""
    return [path for path in files(root) if path.endswith((".cpp", ".hpp"))]


def text(root, path):
    return pathlib.Path(root, path).read_text(encoding="utf-8", errors="replace")


def run(check, remedy):
    """Entry point of every check: `check(root)` returns (problems, remarks), both lists of lines."""
    root = sys.argv[1] if len(sys.argv) > 1 else "."
    problems, remarks = check(root)
    for line in remarks:
        print("note:", line)
    for line in problems:
        print("error:", line)
    if problems:
        print(f"{len(problems)} problem(s). {remedy}")
        sys.exit(1)
    print("ok")
