// troupe-conformance FILE…: runs cases of the format moe-conformance-1 on the production code in double
// precision.

#include "conformance/runner.hpp"

#include <cstdio>
#include <cstring>

int main(int argc, char** argv) {
  if (argc < 2 || std::strcmp(argv[1], "--help") == 0) {
    std::fputs("usage: troupe-conformance FILE...\n\n"
               "Runs every case of the files (format moe-conformance-1) through the routers, losses, experts "
               "and layers of troupe in\n"
               "double precision and prints the worst error of each operation. Exit code: 0 all cases "
               "passed, 1 a case missed or a\n"
               "file could not be read, 2 wrong usage.\n",
               argc < 2 ? stderr : stdout);
    return argc < 2 ? 2 : 0;
  }
  for (int i = 1; i < argc; ++i)
    if (std::strncmp(argv[i], "--", 2) == 0) {
      std::fprintf(stderr, "%s: no such option, limit --help and names of files\n", argv[i]);
      return 2;
    }
  troupe::conformance::outcome all;
  for (int i = 1; i < argc; ++i) troupe::conformance::run_file(argv[i], all);
  std::size_t cases = 0;
  std::size_t passed = 0;
  if (!all.ops.empty())
    std::printf("%-16s %8s %8s  %-12s %s\n", "op", "cases", "passed", "worst error", "in case");
  for (const auto& [name, op] : all.ops) {
    std::printf("%-16s %8zu %8zu  %-12.3g %s\n", name.c_str(), op.cases, op.passed, op.worst_error,
                op.worst_case.c_str());
    cases += op.cases;
    passed += op.passed;
  }
  for (const auto& miss : all.misses) std::fprintf(stderr, "%s\n", miss.c_str());
  std::printf("%zu of %zu cases passed\n", passed, cases);
  return all.passed() ? 0 : 1;
}
