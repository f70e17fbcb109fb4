#pragma once

#include "messages/tensor.hpp"

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace troupe::conformance {

/// Why a case, or a file, fails before anything can be compared.
class case_error : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

/// A tensor of a case. Integers and truth values lie in `integers`, numbers in `numbers`.
struct value {
  enum class kind { f64, i64, boolean };

  kind type = kind::f64;
  std::vector<std::int64_t> shape;
  std::vector<double> numbers;
  std::vector<std::int64_t> integers;

  std::int64_t elements() const {
    std::int64_t n = 1;
    for (const auto d : shape) n *= d;
    return n;
  }
};

using values = std::map<std::string, value>;

inline value scalar(double x) {
  return {value::kind::f64, {}, {x}, {}};
}

inline value scalar_integer(std::int64_t x) {
  return {value::kind::i64, {}, {}, {x}};
}

template <class Container>
value numbers(std::vector<std::int64_t> shape, const Container& data) {
  return {value::kind::f64, std::move(shape), {data.begin(), data.end()}, {}};
}

template <class Container>
value integers(std::vector<std::int64_t> shape, const Container& data) {
  return {value::kind::i64, std::move(shape), {}, {data.begin(), data.end()}};
}

template <class Container>
value booleans(std::vector<std::int64_t> shape, const Container& data) {
  return {value::kind::boolean, std::move(shape), {}, {data.begin(), data.end()}};
}

/// The tensor of that name and type, checked: `rank` dimensions.
const value& need(const values& from, const std::string& name, value::kind type, std::size_t rank);

inline const value& need_numbers(const values& from, const std::string& name, std::size_t rank) {
  return need(from, name, value::kind::f64, rank);
}

inline const value& need_integers(const values& from, const std::string& name, std::size_t rank) {
  return need(from, name, value::kind::i64, rank);
}

/// Fails unless the shape is exactly that.
void need_shape(const value& v, const std::string& name, const std::vector<std::int64_t>& shape);

/// The same numbers as a tensor of the model.
tensor to_tensor(const value& v);

} // namespace troupe::conformance
