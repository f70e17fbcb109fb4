"""Every .cpp is named in a CMakeLists.txt of its folder or one above: a forgotten file would never be compiled."""

import os

import tree


def check(root):
    lists = {os.path.dirname(path): set(tree.text(root, path).replace("(", " ").replace(")", " ").split())
             for path in tree.files(root) if os.path.basename(path) == "CMakeLists.txt"}
    problems = []
    for path in tree.sources(root):
        if not path.endswith(".cpp"):
            continue
        folder = os.path.dirname(path)
        while os.path.relpath(path, folder or ".") not in lists.get(folder, ()):
            if not folder:
                problems.append(f"{path}: no CMakeLists.txt names it")
                break
            folder = os.path.dirname(folder)
    return problems, []


if __name__ == "__main__":
    tree.run(check, "Add it to the list of sources or of tests, or delete it.")
