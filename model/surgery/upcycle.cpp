#include "model/surgery/upcycle.hpp"

#include <cmath>
#include <string>

namespace troupe {

namespace {

tl::unexpected<error> refuse(const std::string& what, const std::string& got, const std::string& limit) {
  return fail(error_code::usage, "[upcycle] " + what + ": got " + got + ", limit " + limit);
}

expected<void> check(const upcycle_options& o, const tensor& router, std::span<const named_tensor> dense) {
  if (o.granularity < 1 || o.experts < 1 || o.experts % o.granularity != 0)
    return refuse("granularity", std::to_string(o.granularity),
                  "a divisor of the " + std::to_string(o.experts) + " experts");
  if (o.experts_per_token < 1 || o.experts_per_token > o.experts)
    return refuse("experts per token", std::to_string(o.experts_per_token),
                  "1 to " + std::to_string(o.experts));
  if (dense.size() < 2 || dense.size() > 3)
    return refuse("dense tensors", std::to_string(dense.size()), "2 (plain) or 3 (gated), without biases");
  const auto& first = dense.front().value;
  if (first.dims().rank() != 2 || first.dims()[0] % o.granularity != 0)
    return refuse("hidden width", to_string(first.dims()),
                  "[F, d] with F a multiple of " + std::to_string(o.granularity));
  const auto hidden = first.dims()[0];
  const auto width = first.dims()[1];
  for (const auto& t : dense) {
    const bool last = &t == &dense.back();
    const shape wanted = last ? shape{width, hidden} : shape{hidden, width};
    if (!(t.value.dims() == wanted) || t.value.type() != first.type())
      return refuse("tensor '" + t.name + "'", to_string(t.value.dims()), to_string(wanted) + " of one type");
  }
  if (router.dims().rank() != 2 || router.rows() < o.experts / o.granularity || router.dims()[1] != width
      || router.type() != first.type())
    return refuse("router", to_string(router.dims()),
                  "[" + std::to_string(o.experts / o.granularity) + " or more, " + std::to_string(width)
                    + "]");
  if (first.type() != dtype::f32 && first.type() != dtype::f64)
    return refuse("type", to_string(first.type()), "f32 | f64");
  return {};
}

/// Rows (or, of the last tensor, columns) [j·F/G, (j+1)·F/G) times c.
template <class Real>
tensor slice(const tensor& from, std::int64_t j, std::int64_t slices, bool columns, double c) {
  const auto rows = from.dims()[0] / (columns ? 1 : slices);
  const auto width = from.dims()[1] / (columns ? slices : 1);
  const auto values = from.as<Real>();
  auto out = tensor::allocate(from.type(), {rows, width});
  auto to = out.mutable_as<Real>();
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t i = 0; i < width; ++i) {
      const auto source = columns ? r * from.dims()[1] + j * width + i : (j * rows + r) * width + i;
      to[r * width + i] = static_cast<Real>(c * values[source]);
    }
  return out;
}

template <class Real>
upcycled build(const upcycle_options& o, const tensor& router, std::span<const named_tensor> dense) {
  const auto copies = o.experts / o.granularity;
  const auto g = static_cast<double>(o.granularity);
  const double s = o.gates_after_selection
                     ? g
                     : static_cast<double>(copies) * g * g / static_cast<double>(o.experts_per_token);
  const double c = std::pow(s, 1.0 / static_cast<double>(dense.size()));
  const auto width = router.dims()[1];
  upcycled out;
  out.router = tensor::allocate(router.type(), {o.experts, width});
  auto rows = out.router.mutable_as<Real>();
  for (std::int64_t e = 0; e < o.experts; ++e) {
    for (std::int64_t i = 0; i < width; ++i)
      rows[e * width + i] = router.as<Real>()[e / o.granularity * width + i];
    auto& expert = out.experts.emplace_back();
    for (const auto& t : dense)
      expert.push_back(
        {t.name, slice<Real>(t.value, e % o.granularity, o.granularity, &t == &dense.back(), c)});
  }
  return out;
}

} // namespace

expected<upcycled> upcycle(const upcycle_options& options, const tensor& router,
                           std::span<const named_tensor> dense) {
  if (auto good = check(options, router, dense); !good) return tl::unexpected(good.error());
  return router.type() == dtype::f64 ? build<double>(options, router, dense)
                                     : build<float>(options, router, dense);
}

} // namespace troupe
