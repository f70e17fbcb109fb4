#include "conformance/runner.hpp"

#include "conformance/operations.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

namespace troupe::conformance {

namespace {

using operation = values (*)(const options&, const values&);

const std::map<std::string, operation>& operations() {
  static const std::map<std::string, operation> all = {
    {"route", route},
    {"route_gradient", route_gradient},
    {"bias_update", bias_update},
    {"loss", loss},
    {"capacity", capacity},
    {"metrics", metrics},
    {"layer", layer},
    {"sgd", sgd},
    {"upcycle", upcycling},
    {"distillation", distillation},
    {"prune", pruning},
    {"placement", placing},
  };
  return all;
}

/// Every tensor that some operation reads; others are not known.
bool known_input(const std::string& name) {
  static const std::vector<std::string> names = {"z",
                                                 "raw",
                                                 "normal",
                                                 "uniform",
                                                 "bias",
                                                 "beta",
                                                 "token_ids",
                                                 "cotangent",
                                                 "counts",
                                                 "experts",
                                                 "gates",
                                                 "priority",
                                                 "x",
                                                 "Wg",
                                                 "Wn",
                                                 "W1",
                                                 "W2",
                                                 "b1",
                                                 "b2",
                                                 "W_gate",
                                                 "W_up",
                                                 "W_down",
                                                 "shared_W1",
                                                 "shared_W2",
                                                 "shared_b1",
                                                 "shared_b2",
                                                 "shared_W_gate",
                                                 "shared_W_up",
                                                 "shared_W_down",
                                                 "shared_w",
                                                 "student",
                                                 "teacher",
                                                 "labels",
                                                 "load",
                                                 "weight"};
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string text(const std::vector<std::int64_t>& shape) {
  std::ostringstream out;
  out << '[';
  for (std::size_t i = 0; i < shape.size(); ++i) out << (i == 0 ? "" : ", ") << shape[i];
  out << ']';
  return out.str();
}

/// What nothing can be compared with is further off than any number.
constexpr double not_comparable = std::numeric_limits<double>::infinity();

/// An empty line, or what is wrong with `got`; keeps the largest error.
std::string compare(const std::string& name, const value& got, const value& want, const tolerance& bound,
                    double& worst) {
  std::ostringstream out;
  if (got.type != want.type)
    out << name << ": the type differs";
  else if (got.shape != want.shape)
    out << name << ": got shape " << text(got.shape) << ", expected " << text(want.shape);
  else if (got.integers.size() != want.integers.size())
    out << name << ": got " << got.integers.size() << " integers, expected " << want.integers.size();
  else if (const auto at = std::ranges::mismatch(got.integers, want.integers); at.in2 != want.integers.end())
    out << name << "[" << at.in2 - want.integers.begin() << "]: got " << *at.in1 << ", expected " << *at.in2;
  if (!out.str().empty()) {
    worst = not_comparable;
    return out.str();
  }
  for (std::size_t i = 0; i < want.numbers.size(); ++i) {
    const auto error = std::abs(got.numbers[i] - want.numbers[i]);
    worst = error <= worst ? worst : error; // NaN stays
    const auto limit = bound.exact ? 0.0 : bound.absolute + bound.relative * std::abs(want.numbers[i]);
    if (!(error <= limit) && out.str().empty()) {
      out.precision(17);
      out << name << "[" << i << "]: got " << got.numbers[i] << ", expected " << want.numbers[i] << ", limit "
          << limit << " apart";
    }
  }
  return out.str();
}

std::string check(const conformance_case& c, double& worst) {
  try {
    const auto got = evaluate(c);
    for (const auto& [name, want] : c.expect) {
      const auto i = got.find(name);
      if (i == got.end()) throw case_error("'" + name + "' is expected and not known");
      if (auto miss = compare(name, i->second, want, c.bound, worst); !miss.empty()) return miss;
    }
    return {};
  } catch (const std::exception& e) {
    worst = not_comparable;
    return e.what();
  }
}

} // namespace

values evaluate(const conformance_case& c) {
  const auto op = operations().find(c.op);
  if (op == operations().end()) throw case_error("unknown op '" + c.op + "'");
  for (const auto& [name, v] : c.input)
    if (!known_input(name)) throw case_error("unknown input '" + name + "'");
  return op->second(c.settings, c.input);
}

void run_file(const std::string& path, outcome& into) {
  std::vector<conformance_case> cases;
  try {
    cases = read_cases(path);
  } catch (const std::exception& e) {
    into.misses.push_back(path + ": " + e.what());
    return;
  }
  for (const auto& c : cases) {
    double worst = 0;
    const auto miss = check(c, worst);
    auto& op = into.ops[c.op];
    ++op.cases;
    op.passed += miss.empty();
    if (!(worst <= op.worst_error) || op.worst_case.empty()) {
      op.worst_error = worst;
      op.worst_case = c.name;
    }
    if (!miss.empty()) into.misses.push_back(path + ": " + c.name + ": " + miss);
  }
}

} // namespace troupe::conformance
