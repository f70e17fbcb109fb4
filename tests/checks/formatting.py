"""The sources look as .clang-format says."""

import os
import re
import shutil
import subprocess

import tree

VERSION = 14  # others lay some lines out differently


def check(root):
    program = shutil.which(f"clang-format-{VERSION}") or shutil.which("clang-format")
    if program is None:
        return ["clang-format is not installed: make setup"], []
    version = re.search(r"version (\d+)", subprocess.run([program, "--version"], capture_output=True, text=True).stdout)
    if version is None or int(version.group(1)) != VERSION:
        return [], [f"skipped: {program} is not version {VERSION}"]
    paths = tree.sources(root)
    if not paths:
        return [], []
    result = subprocess.run([program, "--dry-run", *paths], cwd=os.path.abspath(root), capture_output=True, text=True)
    first_lines = {}
    for path, line in re.findall(r"^(\S+?):(\d+):\d+: warning:", result.stderr, re.MULTILINE):
        first_lines.setdefault(path, line)
    problems = [f"{path}:{line}: is laid out differently" for path, line in first_lines.items()]
    if result.returncode != 0:
        problems.append(result.stderr.strip())
    return problems, []


if __name__ == "__main__":
    tree.run(check, "Run: make format")
