#pragma once

// For encoding*.cpp only: brings in Cap'n Proto.

#include "messages/encoding.hpp"

#include "messages/messages.capnp.h"

#include <capnp/message.h>
#include <capnp/serialize.h>

#include <exception>
#include <new>
#include <optional>
#include <string>
#include <string_view>

namespace troupe::detail {

using message_builder = schema::Message::Builder;
using message_reader = schema::Message::Reader;

/// Which field of the union `schema::Message` stands for a message, and what errors call it.
/// Specialised beside the message's `write` and `read`.
template <class M>
struct wire;

template <schema::Message::Which Which, auto Init, auto Get>
struct wire_field {
  static auto init(message_builder root) { return (root.*Init)(); }

  static auto get(message_reader root) { return (root.*Get)(); }

  static bool is_in(message_reader root) { return root.which() == Which; }
};

// -- encoding -------------------------------------------------------------------

/// Collects one message. One per thread at a time: its first segment is the thread's.
class encoder {
public:
  encoder();

  message_builder root() { return builder_.initRoot<schema::Message>(); }

  /// Fills in the descriptor of a present tensor and takes its bytes along.
  void put(schema::Tensor::Builder to, const tensor& from);

  frame finish();

private:
  capnp::MallocMessageBuilder builder_;
  std::vector<blob> payloads_;
};

template <class Builder>
void put_term(Builder to, const term_id& from) {
  to.setIncarnation(from.incarnation);
  to.setCounter(from.counter);
}

template <class Builder>
void put_owner(Builder to, const owner_id& from) {
  to.setLayer(from.layer);
  to.setExpert(from.expert);
  to.setSlice(from.slice);
}

inline void put_work(schema::WorkId::Builder to, const work_id& from) {
  put_term(to, from.term);
  to.setStep(from.step);
  to.setMicrobatch(from.microbatch);
  to.setLayer(from.layer);
}

inline void put_kind(auto to, step_kind from) {
  to.setKind(from == step_kind::train ? schema::StepKind::TRAIN : schema::StepKind::EVALUATE);
}

/// `init` makes the descriptor, which an absent tensor has not.
inline void put_if_present(auto init, const tensor& from, encoder& out) {
  if (from.present()) out.put(init(), from);
}

/// A list of numbers.
template <class List, class T>
void put_all(List to, const std::vector<T>& from) {
  for (std::size_t i = 0; i < from.size(); ++i) to.set(static_cast<unsigned>(i), from[i]);
}

inline unsigned length(const auto& xs) {
  return static_cast<unsigned>(xs.size());
}

inline capnp::Text::Reader text(const std::string& x) {
  return {x.c_str(), x.size()};
}

// -- decoding -------------------------------------------------------------------

/// What a tensor of a message must be.
struct tensor_rule {
  unsigned types = 0; ///< set of dtypes, see `types_of`
  int rank = -1;      ///< -1: any
  bool optional = false;
};

constexpr unsigned types_of(std::same_as<dtype> auto... types) {
  return ((1u << static_cast<unsigned>(types)) | ...);
}

constexpr unsigned float_types = types_of(dtype::f32, dtype::f64);
constexpr unsigned row_types = float_types | types_of(dtype::u8);
constexpr unsigned any_type = row_types | types_of(dtype::i32, dtype::i64);

/// Reads one message and keeps its first error. After an error lists are empty and tensors absent, so that
/// reading on is harmless.
class decoder {
public:
  decoder(std::string_view name, const frame& source, const limits& bounds);

  const limits& bounds() const noexcept { return bounds_; }

  bool failed() const noexcept { return error_.has_value(); }

  /// Remembers `[decode <message>] <what>` and the remedy, unless there was an error before.
  void refuse(error_code code, std::string_view what);

  /// Refuses as malformed with "<what>: got <got>, limit <limit>".
  void refuse(std::string_view what, std::string_view got, std::string_view limit);

  /// The header's words, 8-byte aligned.
  kj::ArrayPtr<const capnp::word> words();

  /// All payloads must have been named.
  void close();

  error take_error() { return std::move(*error_); }

  tensor read(schema::Tensor::Reader from, std::string_view what, const tensor_rule& rule);
  double finite(double value, std::string_view what);
  double finite_not_negative(double value, std::string_view what);
  std::string read(capnp::Text::Reader from, std::string_view what);
  step_kind read(schema::StepKind from);

  /// Length of a list if it is within `most`, which errors call `name`; 0 otherwise.
  template <class List>
  unsigned count(const List& list, std::string_view what, std::size_t most, std::string_view name) {
    if (list.size() > most) refuse_count(what, list.size(), most, name);
    return failed() ? 0 : list.size();
  }

  /// A list of numbers.
  template <class T, class List>
  std::vector<T> read_all(const List& list, std::string_view what, std::size_t most, std::string_view name) {
    std::vector<T> result(count(list, what, most, name));
    for (unsigned i = 0; i < result.size(); ++i) result[i] = list[i];
    return result;
  }

private:
  void refuse_count(std::string_view what, std::size_t got, std::size_t most, std::string_view name);
  void check_sizes();
  std::optional<shape> read_shape(schema::Tensor::Reader from, dtype type, std::string_view what);

  std::string_view name_;
  const frame& source_;
  const limits& bounds_;
  blob header_;
  std::size_t next_payload_ = 0;
  std::optional<error> error_;
};

template <class Reader>
term_id read_term(Reader from) {
  return {from.getIncarnation(), from.getCounter()};
}

template <class Reader>
owner_id read_owner(Reader from) {
  return {from.getLayer(), from.getExpert(), from.getSlice()};
}

inline work_id read_work(schema::WorkId::Reader from) {
  return {read_term(from), from.getStep(), from.getMicrobatch(), from.getLayer()};
}

// Messages that may also travel inside others.
void put_plan(schema::Plan::Builder to, const plan& from);
plan read_plan(schema::Plan::Reader from, decoder& in);
void put_applied(schema::Applied::Builder to, const applied& from);
applied read_applied(schema::Applied::Reader from, decoder& in);

/// Expert owners of a model: length of a placement.
inline std::size_t experts_max(const limits& bounds) {
  return std::size_t{bounds.experts_max} * bounds.layers_max;
}

constexpr std::string_view experts_limit = "experts_max * layers_max";

/// A header can make no reader look at more than its own words, once: what is decoded is at most a few times
/// its size.
constexpr int nesting_max = 16;

template <class M>
M decode_header(decoder& in) {
  const auto words = in.words();
  if (in.failed()) return {};
  capnp::ReaderOptions options;
  options.traversalLimitInWords = words.size() + 64;
  options.nestingLimit = nesting_max;
  capnp::FlatArrayMessageReader reader(words, options);
  const auto root = reader.getRoot<schema::Message>();
  if (!wire<M>::is_in(root)) {
    in.refuse("kind of message", std::to_string(static_cast<unsigned>(root.which())), wire<M>::name);
    return {};
  }
  auto result = wire<M>::read(wire<M>::get(root), in);
  in.close();
  return result;
}

} // namespace troupe::detail

namespace troupe {

template <wire_message M>
frame encode(const M& message) {
  detail::encoder out;
  detail::wire<M>::write(detail::wire<M>::init(out.root()), message, out);
  return out.finish();
}

template <wire_message M>
expected<M> decode(const frame& f, const limits& bounds) {
  detail::decoder in(detail::wire<M>::name, f, bounds);
  try {
    auto result = detail::decode_header<M>(in);
    if (!in.failed()) return result;
  } catch (const kj::Exception& e) {
    in.refuse("header", std::string_view(e.getDescription().begin(), e.getDescription().size()),
              "Cap'n Proto");
  } catch (const std::bad_alloc&) {
    in.refuse(error_code::over_limit, "no memory for the message");
  } catch (const std::exception& e) {
    in.refuse(error_code::internal, e.what());
  }
  return tl::unexpected(in.take_error());
}

} // namespace troupe
