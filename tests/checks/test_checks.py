"""Each check finds what it is for, and is silent otherwise."""

import os
import tempfile
import unittest

import formatting
import layers
import lists
import names
import readmes
import sizes
import test_names
import test_patterns


class Checks(unittest.TestCase):
    def problems(self, check, files):
        files = {"actors/CMakeLists.txt": "troupe_library(cores\n  SOURCES expert/core.cpp\n  PUBLIC x)\n"} | files
        with tempfile.TemporaryDirectory() as root:
            for path, text in files.items():
                os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            return check(root)[0]

    def one(self, check, files, words):
        problems = self.problems(check, files)
        self.assertEqual(len(problems), 1, problems)
        self.assertIn(words, problems[0])

    def test_an_arrow_upwards_is_found(self):
        self.one(layers.check, {"messages/a.hpp": '#include "model/b.hpp"\n', "model/b.hpp": ""}, "may use messages")

    def test_an_arrow_downwards_is_fine(self):
        self.assertEqual(self.problems(layers.check, {"model/b.hpp": '#include "messages/a.hpp"\n#include <vector>\n',
                                                      "messages/a.hpp": ""}), [])

    def test_torch_is_found_through_another_header(self):
        self.one(layers.check, {"actors/expert/core.cpp": '#include "model/torch/b.hpp"\n',
                                "model/torch/b.hpp": "#include <ATen/core/Tensor.h>\n"}, "model/torch/b.hpp -> <ATen/core/Tensor.h>")

    def test_a_core_may_not_know_the_time(self):
        self.one(layers.check, {"actors/expert/core.hpp": "#include <chrono>\n"}, "<chrono>")

    def test_a_core_may_not_know_caf(self):
        self.one(layers.check, {"actors/expert/core.hpp": "#include <caf/all.hpp>\n"}, "<caf/all.hpp>")

    def test_an_include_that_is_no_path_from_the_root_is_found(self):
        self.one(layers.check, {"model/a.hpp": "", "model/a.cpp": '#include "a.hpp"\n'}, "not a path from the root")

    def test_a_long_file_is_found(self):
        self.one(sizes.check, {"model/a.hpp": "int x;\n" * 501}, "501 lines")

    def test_a_long_function_is_found_in_a_class_in_a_namespace(self):
        body = "    if (x) { y(\"}\"); }\n" * 70
        self.one(sizes.check, {"model/a.cpp": "namespace a {\nstruct b {\n  void f() {\n" + body + "  }\n};\n}\n"},
                 "model/a.cpp:3: function of 72 lines")

    def test_a_long_constructor_with_initialisers_is_found(self):
        body = "  g();\n" * 70
        self.one(sizes.check, {"model/a.cpp": "a::a(int b) : b_{b}, c_{1} {\n" + body + "}\n"}, "function of 72 lines")

    def test_many_short_functions_are_fine(self):
        self.assertEqual(self.problems(sizes.check, {"model/a.cpp": "namespace a {\n" + "void f() {\n}\n" * 100 + "}\n"}), [])

    def test_a_machine_path_is_found(self):
        self.one(names.check, {"model/a.cpp": 'open("/home/me/data");\n'}, "/home/me")

    def test_a_registry_is_found(self):
        self.one(names.check, {"README.md": "see https://pypi.org/project/x\n"}, "pypi.org")

    def test_a_path_in_the_repository_is_fine(self):
        self.assertEqual(self.problems(names.check, {"README.md": "build/work/x, $HOME/work/y, /usr/share/x\n"}), [])

    def test_a_missing_readme_and_a_long_one_are_found(self):
        files = {"actors/README.md": "x\n" * 60, "model/data/README.md": "x\n", "model/data/a.cpp": "", ".ci/run": "",
                 "README.md": "x\n" * 61}
        self.assertEqual(self.problems(readmes.check, files), [])
        self.one(readmes.check, files | {"actors/README.md": "x\n" * 61}, "actors/README.md: 61 lines")
        self.one(readmes.check, files | {"model/data/b/c.sh": ""}, "model/data/b/README.md is missing")

    def test_a_forgotten_source_is_found(self):
        files = {"model/CMakeLists.txt": "troupe_library(model SOURCES a.cpp data/b.cpp)\n", "model/a.cpp": "",
                 "model/data/b.cpp": ""}
        self.assertEqual(self.problems(lists.check, files), [])
        self.one(lists.check, files | {"model/data/c.cpp": ""}, "model/data/c.cpp")

    def test_a_bracket_in_the_name_of_a_test_is_found(self):
        self.one(test_names.check, {"tests/a.cpp": 'TEST_CASE("in [0, 1)", "[unit]") {\n}\n'}, "in [0, 1)")
        self.assertEqual(self.problems(test_names.check, {"tests/a.cpp": 'TEST_CASE("a, b", "[unit]") {\n}\n'}), [])

    def test_a_pattern_in_a_document_that_no_test_of_the_program_matches_is_found(self):
        files = {"tests/a/CMakeLists.txt": "target_sources(troupe-tests-core PRIVATE a_test.cpp)\n"
                                           "troupe_tests(troupe-tests-b SOURCES b_test.cpp LINK x)\n",
                 "tests/a/a_test.cpp": 'TEST_CASE("one, two", "[unit]") {\n}\n',
                 "tests/a/b_test.cpp": 'TEMPLATE_LIST_TEST_CASE("Three", "[unit]", all) {\n}\n'}
        self.one(test_patterns.check, files | {"docs/p.md": '`troupe-tests-core "one*,three*"`\n'}, '"three*"')
        self.assertEqual(self.problems(test_patterns.check, files | {
            "docs/p.md": '`troupe-tests-core "*Two"`, `troupe-tests-b "three*"`, `troupe-tests-b`\n'}), [])

    def test_an_untidy_source_is_found(self):
        style = {".clang-format": "BasedOnStyle: LLVM\n"}
        self.one(formatting.check, style | {"model/a.cpp": "int   x ;\n"}, "model/a.cpp:1")
        self.assertEqual(self.problems(formatting.check, style | {"model/a.cpp": "int x;\n"}), [])


if __name__ == "__main__":
    unittest.main()
