"""A command in the documents that runs some tests of a program names tests that the program has."""

import fnmatch
import os
import re

import test_names
import tree

COMMAND = re.compile(r'(troupe-tests-\w+) "([^"]*)"')
SOURCES = re.compile(r"(?:target_sources|troupe_tests)\(\s*(troupe-tests-\w+)([^)]*)\)")


def tests_of_programs(root):
    """Lower-case names of the tests of each program, as the CMake files list its sources: Catch2 takes either case."""
    tests = {}
    for path in tree.files(root):
        if path.startswith("tests/") and path.endswith("CMakeLists.txt"):
            for program, words in SOURCES.findall(tree.text(root, path)):
                for source in re.findall(r"\S+\.cpp", words):
                    file = os.path.normpath(os.path.join(os.path.dirname(path), source))
                    if os.path.isfile(os.path.join(root, file)):
                        names = test_names.NAME.findall(tree.text(root, file))
                        tests.setdefault(program, []).extend(name.lower() for name in names)
    return tests


def check(root):
    tests = tests_of_programs(root)
    problems = []
    for path in tree.files(root):
        if path.endswith(".md"):
            for program, patterns in COMMAND.findall(tree.text(root, path)):
                for pattern in patterns.split(","):
                    if not fnmatch.filter(tests.get(program, []), pattern.lower()):
                        problems.append(f'{path}: {program} has no test "{pattern}"')
    return problems, []


if __name__ == "__main__":
    tree.run(check, "Name tests of that program; * stands for any words at either end.")
