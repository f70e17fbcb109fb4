"""Every folder that holds a file opens with a README.md of at most 60 lines. Hidden folders need none."""

import os

import tree

LINES_MAX = 60


def check(root):
    problems = []
    paths = set(tree.files(root))
    for folder in sorted({os.path.dirname(path) for path in paths}):
        readme = os.path.join(folder, "README.md")
        if readme in paths:
            lines = tree.text(root, readme).count("\n")
            if folder and lines > LINES_MAX:
                problems.append(f"{readme}: {lines} lines, limit {LINES_MAX}")
        elif folder and not folder.startswith("."):
            problems.append(f"{readme} is missing")
    return problems, []


if __name__ == "__main__":
    tree.run(check, "Say: purpose, the three types to know, how to add one more, what not to do.")
