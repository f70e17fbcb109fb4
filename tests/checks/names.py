"""No committed file names a package registry's host or a path of somebody's machine."""

import re

import tree

FORBIDDEN = [
    ("a registry's host", re.compile(
        r"\b(?:[\w-]+\.)*(?:debian\.org/debian|pypi\.org|pythonhosted\.org|npmjs\.org|pytorch\.org/whl|crates\.io)\b")),
    ("a path of one machine", re.compile(r"(?<![\w./$}])/(?:work|root|home/\w+|Users/\w+|tmp/[a-z]\b)(?:/|\b)")),
]
NOT_TEXT = (".png", ".svg", ".gz", ".npz", ".safetensors")


def check(root):
    problems = []
    for path in tree.files(root):
        if path.endswith(NOT_TEXT) or path == "tests/checks/names.py" or path == "tests/checks/test_checks.py":
            continue
        for number, line in enumerate(tree.text(root, path).splitlines(), 1):
            for what, pattern in FORBIDDEN:
                found = pattern.search(line)
                if found:
                    problems.append(f"{path}:{number}: names {what}: {found.group()}")
    return problems, []


if __name__ == "__main__":
    tree.run(check, "Take it from the system's configuration, or pass it as an argument.")
