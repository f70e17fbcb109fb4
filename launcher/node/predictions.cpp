#include "launcher/node/predictions.hpp"

#include "model/checkpoint/safetensors.hpp"

#include <algorithm>

namespace troupe::node {

std::function<void(const plan&, std::uint32_t, tensor)> predictions::collector() {
  return [this](const plan& p, std::uint32_t microbatch, tensor outputs) {
    std::lock_guard guard(mutex_);
    outputs_[{p.ordinal, microbatch}] = std::move(outputs);
  };
}

expected<void> predictions::write(const std::string& path) const {
  std::lock_guard guard(mutex_);
  if (outputs_.empty() || !outputs_.begin()->second.present())
    return fail(error_code::usage, "--predictions: this model's trunk does not tell its outputs");
  const auto& first = outputs_.begin()->second;
  std::int64_t rows = 0;
  for (auto& part : outputs_) rows += part.second.rows();
  auto all = blob::allocate(static_cast<std::size_t>(rows * first.row_elements()) * size_of(first.type()));
  auto* to = all.mutable_data();
  for (auto& part : outputs_) to = std::ranges::copy(part.second.data().bytes(), to).out;
  const named_tensor whole{"outputs", tensor(first.type(), {rows, first.row_elements()}, all)};
  if (auto ok = write_safetensors(path, {&whole, 1}, {}); !ok)
    return fail(ok.error().code, "--predictions: " + ok.error().text);
  return {};
}

} // namespace troupe::node
