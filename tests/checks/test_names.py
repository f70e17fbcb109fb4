"""CTest takes square brackets and semicolons in the name of a test for list syntax and would lose the tests after it."""

import re

import tree

NAME = re.compile(r'^\s*(?:TEMPLATE_(?:LIST_)?)?TEST_CASE\(\s*"((?:[^"\\]|\\.)*)"', re.MULTILINE)


def check(root):
    problems = []
    for path in tree.sources(root):
        for name in NAME.findall(tree.text(root, path)):
            if re.search(r"[\[\];]", name):
                problems.append(f'{path}: test "{name}" has a bracket or semicolon in its name')
    return problems, []


if __name__ == "__main__":
    tree.run(check, "Use other words.")
