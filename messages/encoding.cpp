#include "messages/encoding_detail.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

namespace troupe {

std::size_t bytes_of(const frame& f) noexcept {
  auto result = f.header.size();
  for (auto& p : f.payloads) result += p.size();
  return result;
}

std::optional<std::string> excess_of(std::uint64_t header_bytes, std::uint64_t payloads,
                                     std::uint64_t message_bytes, const limits& bounds) {
  const auto excess = [](const char* what, std::uint64_t got, std::uint64_t most, const char* name) {
    return what + (": got " + std::to_string(got)) + ", limit " + std::to_string(most) + " (" + name + ")";
  };
  if (header_bytes > bounds.header_bytes_max)
    return excess("header bytes", header_bytes, bounds.header_bytes_max, "header_bytes_max");
  if (payloads > bounds.payloads_max)
    return excess("payloads", payloads, bounds.payloads_max, "payloads_max");
  if (message_bytes > bounds.message_bytes_max)
    return excess("message bytes", message_bytes, bounds.message_bytes_max, "message_bytes_max");
  return std::nullopt;
}

std::optional<std::string> excess_of(const frame& f, const limits& bounds) {
  return excess_of(f.header.size(), f.payloads.size(), bytes_of(f), bounds);
}

expected<void> check_sizes(const frame& f, std::string_view name, const limits& bounds) {
  const auto excess = excess_of(f, bounds);
  if (!excess) return {};
  return fail(error_code::over_limit,
              "[send " + std::string(name) + "] " + *excess
                + "; choose smaller experts or batches, or more microbatches, or keep the experts in one "
                  "process (--nodes 0)");
}

} // namespace troupe

namespace troupe::detail {

namespace {

/// First segment of every message that this thread encodes: room for a bundle of 200 experts, 8 KiB. Cap'n
/// Proto wants it zeroed and leaves it zeroed.
kj::ArrayPtr<capnp::word> scratch() {
  alignas(64) static thread_local std::array<std::uint64_t, 1024> words{};
  static_assert(sizeof(capnp::word) == sizeof(std::uint64_t));
  return {reinterpret_cast<capnp::word*>(words.data()), words.size()};
}

schema::ElementType element_type(dtype type) {
  switch (type) {
    case dtype::u8: return schema::ElementType::U8;
    case dtype::i32: return schema::ElementType::I32;
    case dtype::i64: return schema::ElementType::I64;
    case dtype::f32: return schema::ElementType::F32;
    case dtype::f64: return schema::ElementType::F64;
  }
  return schema::ElementType::ABSENT;
}

std::optional<dtype> dtype_of(schema::ElementType type) {
  switch (type) {
    case schema::ElementType::ABSENT: return std::nullopt;
    case schema::ElementType::U8: return dtype::u8;
    case schema::ElementType::I32: return dtype::i32;
    case schema::ElementType::I64: return dtype::i64;
    case schema::ElementType::F32: return dtype::f32;
    case schema::ElementType::F64: return dtype::f64;
  }
  return std::nullopt;
}

bool aligned(const blob& b, std::uintptr_t to) {
  return reinterpret_cast<std::uintptr_t>(b.data()) % to == 0;
}

std::string names_of(unsigned types) {
  std::string result;
  for (auto t : {dtype::u8, dtype::i32, dtype::i64, dtype::f32, dtype::f64})
    if ((types & types_of(t)) != 0) result += (result.empty() ? "" : " or ") + to_string(t);
  return result;
}

} // namespace

// -- encoder --------------------------------------------------------------------

encoder::encoder() : builder_(scratch()) {
  // nop
}

void encoder::put(schema::Tensor::Builder to, const tensor& from) {
  const auto& dims = from.dims();
  to.setType(element_type(from.type()));
  to.setRank(static_cast<std::uint8_t>(dims.rank()));
  to.setPayload(static_cast<std::uint32_t>(payloads_.size()));
  to.setDim0(dims[0]);
  to.setDim1(dims[1]);
  to.setDim2(dims[2]);
  to.setDim3(dims[3]);
  payloads_.push_back(from.data());
}

frame encoder::finish() {
  const auto segments = builder_.getSegmentsForOutput();
  auto header = blob::allocate(capnp::computeSerializedSizeInWords(segments) * sizeof(capnp::word));
  kj::ArrayOutputStream out({reinterpret_cast<kj::byte*>(header.mutable_data()), header.size()});
  capnp::writeMessage(out, segments);
  return {std::move(header), std::move(payloads_)};
}

// -- decoder --------------------------------------------------------------------

decoder::decoder(std::string_view name, const frame& source, const limits& bounds)
  : name_(name), source_(source), bounds_(bounds) {
  // nop
}

void decoder::refuse(error_code code, std::string_view what) {
  if (error_) return;
  std::string text = "[decode ";
  text.append(name_).append("] ").append(what);
  text += code == error_code::over_limit ? "; send less at once, or raise the limit on every node"
                                         : "; the sender is of another version, or the message was damaged";
  error_ = error{code, std::move(text)};
}

void decoder::refuse(std::string_view what, std::string_view got, std::string_view limit) {
  if (error_) return;
  std::string text(what);
  text.append(": got ").append(got).append(", limit ").append(limit);
  refuse(error_code::malformed, text);
}

void decoder::refuse_count(std::string_view what, std::size_t got, std::size_t most, std::string_view name) {
  std::string text(what);
  text += ": got " + std::to_string(got) + ", limit " + std::to_string(most) + " (";
  text.append(name).append(")");
  refuse(error_code::over_limit, text);
}

void decoder::check_sizes() {
  if (const auto excess = excess_of(source_, bounds_)) return refuse(error_code::over_limit, *excess);
  if (source_.header.size() % sizeof(capnp::word) != 0)
    return refuse("header bytes", std::to_string(source_.header.size()), "a multiple of 8");
}

kj::ArrayPtr<const capnp::word> decoder::words() {
  check_sizes();
  if (failed()) return nullptr;
  header_ = aligned(source_.header, alignof(capnp::word)) ? source_.header
                                                          : blob::copy_of(source_.header.bytes());
  return {reinterpret_cast<const capnp::word*>(header_.data()), header_.size() / sizeof(capnp::word)};
}

void decoder::close() {
  if (next_payload_ != source_.payloads.size())
    refuse("payloads", std::to_string(source_.payloads.size()),
           std::to_string(next_payload_) + " named by the header");
}

std::optional<shape> decoder::read_shape(schema::Tensor::Reader from, dtype type, std::string_view what) {
  const std::array<std::int64_t, shape::rank_max> dims{from.getDim0(), from.getDim1(), from.getDim2(),
                                                       from.getDim3()};
  const std::size_t rank = from.getRank();
  if (rank > shape::rank_max) {
    refuse(what, std::to_string(rank) + " dimensions", std::to_string(shape::rank_max));
    return std::nullopt;
  }
  // A dimension 0 counts as 1, so that the elements of one row cannot overflow either.
  auto bytes = static_cast<std::int64_t>(size_of(type));
  for (std::size_t i = 0; i < rank; ++i) {
    if (dims[i] < 0) {
      refuse(what, "dimension " + std::to_string(dims[i]), "0 or more");
      return std::nullopt;
    }
    const auto most = bounds_.message_bytes_max;
    const auto factor = std::max<std::int64_t>(dims[i], 1);
    if (__builtin_mul_overflow(bytes, factor, &bytes) || static_cast<std::uint64_t>(bytes) > most) {
      std::string text(what);
      text += ": got shape " + to_string(shape(std::span(dims.data(), rank))) + ", limit "
              + std::to_string(most) + " bytes (message_bytes_max)";
      refuse(error_code::over_limit, text);
      return std::nullopt;
    }
  }
  return shape(std::span(dims.data(), rank));
}

tensor decoder::read(schema::Tensor::Reader from, std::string_view what, const tensor_rule& rule) {
  if (failed()) return {};
  const auto type = dtype_of(from.getType());
  if (!type) {
    const auto raw = static_cast<unsigned>(from.getType());
    if (raw != 0) refuse(what, "element type " + std::to_string(raw), names_of(rule.types));
    if (raw == 0 && !rule.optional) refuse(what, "no tensor", names_of(rule.types));
    return {};
  }
  if ((rule.types & types_of(*type)) == 0) {
    refuse(what, to_string(*type), names_of(rule.types));
    return {};
  }
  const auto dims = read_shape(from, *type, what);
  if (!dims) return {};
  if (rule.rank >= 0 && dims->rank() != static_cast<std::size_t>(rule.rank)) {
    refuse(what, "shape " + to_string(*dims), std::to_string(rule.rank) + " dimensions");
    return {};
  }
  if (from.getPayload() != next_payload_ || next_payload_ >= source_.payloads.size()) {
    std::string text(what);
    refuse(text + " payload", std::to_string(from.getPayload()),
           std::to_string(next_payload_) + " of " + std::to_string(source_.payloads.size()));
    return {};
  }
  const auto& payload = source_.payloads[next_payload_++];
  if (static_cast<std::size_t>(dims->elements()) * size_of(*type) != payload.size()) {
    refuse(what, std::to_string(payload.size()) + " bytes", to_string(*type) + " " + to_string(*dims));
    return {};
  }
  return {*type, *dims, aligned(payload, blob::alignment) ? payload : blob::copy_of(payload.bytes())};
}

double decoder::finite(double value, std::string_view what) {
  if (!std::isfinite(value)) refuse(what, std::to_string(value), "finite numbers");
  return value;
}

double decoder::finite_not_negative(double value, std::string_view what) {
  if (!std::isfinite(value) || value < 0) refuse(what, std::to_string(value), "finite numbers from 0 on");
  return value;
}

std::string decoder::read(capnp::Text::Reader from, std::string_view what) {
  if (from.size() > bounds_.text_bytes_max)
    refuse_count(what, from.size(), bounds_.text_bytes_max, "text_bytes_max");
  return failed() ? std::string{} : std::string(from.begin(), from.size());
}

step_kind decoder::read(schema::StepKind from) {
  switch (from) {
    case schema::StepKind::TRAIN: return step_kind::train;
    case schema::StepKind::EVALUATE: return step_kind::evaluate;
  }
  refuse("kind of step", std::to_string(static_cast<unsigned>(from)), "train or evaluate");
  return step_kind::train;
}

} // namespace troupe::detail
