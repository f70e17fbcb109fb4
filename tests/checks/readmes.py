"""Every source folder opens with a README.md of at most 60 lines."""

import os

import tree

LINES_MAX = 60


def check(root):
    problems = []
    for folder in tree.SOURCE_FOLDERS:
        if not os.path.isfile(os.path.join(root, folder, "README.md")):
            problems.append(f"{folder}/README.md is missing")
    for path in tree.files(root):
        if path.endswith("/README.md"):
            lines = tree.text(root, path).count("\n")
            if lines > LINES_MAX:
                problems.append(f"{path}: {lines} lines, limit {LINES_MAX}")
    return problems, []


if __name__ == "__main__":
    tree.run(check, "Say: purpose, the three types to know, how to add one more, what not to do.")
