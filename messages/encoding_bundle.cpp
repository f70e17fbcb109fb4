#include "messages/encoding_detail.hpp"

#include <algorithm>

namespace troupe::detail {

namespace {

/// Owners of one bundle: experts of its layer, each once, ascending.
void check_owner(const owner_id& owner, const owner_id* before, const work_id& id, decoder& in) {
  if (owner.is_dense()) in.refuse("owner", "a dense part", "experts");
  if (owner.layer != id.layer)
    in.refuse("layer of an expert", std::to_string(owner.layer), std::to_string(id.layer) + ", the bundle's");
  if (before != nullptr && !(*before < owner))
    in.refuse("experts", std::to_string(owner.expert) + " after " + std::to_string(before->expert),
              "ascending ids");
}

/// Every index names a row of the table.
void check_indices(const tensor& indices, const tensor& rows, decoder& in) {
  if (in.failed()) return;
  std::uint32_t largest = 0; // a negative index is a huge one here
  for (auto i : indices.as<std::int32_t>()) largest = std::max(largest, static_cast<std::uint32_t>(i));
  if (indices.rows() != 0 && largest >= static_cast<std::uint64_t>(rows.rows()))
    in.refuse("indices", std::to_string(static_cast<std::int32_t>(largest)),
              std::to_string(rows.rows()) + ", the bundle's rows");
}

/// The spans cut the index list into pieces without gap or overlap.
void check_spans(const dispatch& m, decoder& in) {
  if (in.failed()) return;
  const auto size = static_cast<std::uint64_t>(m.indices.rows());
  std::uint32_t begin = 0;
  for (std::size_t i = 0; i < m.experts.size(); ++i) {
    const auto& span = m.experts[i];
    check_owner(span.owner, i == 0 ? nullptr : &m.experts[i - 1].owner, m.id, in);
    if (span.begin != begin || span.end < span.begin || span.end > size)
      return in.refuse("span of expert " + std::to_string(span.owner.expert),
                       "[" + std::to_string(span.begin) + ", " + std::to_string(span.end) + ")",
                       "from " + std::to_string(begin) + " on, to " + std::to_string(size) + " at most");
    begin = span.end;
  }
  if (begin != size)
    in.refuse("spans", std::to_string(begin) + " indices", std::to_string(size) + ", all of them");
}

/// The plan of the bundle's own step.
std::shared_ptr<const plan> read_permission(schema::Plan::Reader from, const work_id& id, decoder& in) {
  auto result = std::make_shared<const plan>(read_plan(from, in));
  if (!in.failed() && (result->term != id.term || result->step != id.step))
    in.refuse("step of the plan", std::to_string(result->step), std::to_string(id.step) + ", the bundle's");
  return result;
}

/// A report of the bundle's run; its step is an earlier one.
applied read_done(schema::Applied::Reader from, const work_id& id, decoder& in) {
  auto result = read_applied(from, in);
  if (!in.failed() && result.term != id.term) in.refuse("term of the report", "another", "the bundle's");
  return result;
}

template <class List>
void write_owner_tensors(List to, const std::vector<owner_tensor>& from, encoder& out) {
  for (unsigned i = 0; i < from.size(); ++i) {
    auto element = to[i];
    put_owner(element, from[i].owner);
    put_if_present([&] { return element.initValue(); }, from[i].value, out);
  }
}

/// One [n, width] tensor per expert, all of one width and type.
template <class List>
std::vector<owner_tensor> read_owner_tensors(const List& list, const work_id& id, std::string_view what,
                                             decoder& in) {
  std::vector<owner_tensor> result(in.count(list, what, in.bounds().experts_max, "experts_max"));
  for (unsigned i = 0; i < result.size() && !in.failed(); ++i) {
    const auto element = list[i];
    auto& [owner, value] = result[i];
    owner = read_owner(element);
    check_owner(owner, i == 0 ? nullptr : &result[i - 1].owner, id, in);
    value = in.read(element.getValue(), what, {float_types, 2});
    if (in.failed()) break;
    const auto& first = result.front().value;
    if (value.type() != first.type() || value.dims()[1] != first.dims()[1])
      in.refuse(what, to_string(value.type()) + " " + to_string(value.dims()),
                to_string(first.type()) + " rows of " + std::to_string(first.dims()[1])
                  + ", as for the first expert");
  }
  return result;
}

} // namespace

template <>
struct wire<dispatch>
  : wire_field<schema::Message::DISPATCH, &message_builder::initDispatch, &message_reader::getDispatch> {
  static constexpr std::string_view name = "dispatch";

  static void write(schema::Dispatch::Builder to, const dispatch& from, encoder& out) {
    put_work(to.initId(), from.id);
    to.setReplica(from.replica);
    to.setKeep(from.keep);
    put_if_present([&] { return to.initRows(); }, from.rows, out);
    put_if_present([&] { return to.initIndices(); }, from.indices, out);
    auto experts = to.initExperts(length(from.experts));
    for (unsigned i = 0; i < from.experts.size(); ++i) {
      auto span = experts[i];
      put_owner(span, from.experts[i].owner);
      span.setBegin(from.experts[i].begin);
      span.setEnd(from.experts[i].end);
    }
    if (from.permission) put_plan(to.initPermission(), *from.permission);
  }

  static dispatch read(schema::Dispatch::Reader from, decoder& in) {
    dispatch result{read_work(from.getId()), from.getReplica(), from.getKeep(), {}, {}, {}, {}};
    result.rows = in.read(from.getRows(), "rows", {row_types, 2});
    result.indices = in.read(from.getIndices(), "indices", {types_of(dtype::i32), 1});
    check_indices(result.indices, result.rows, in);
    const auto list = from.getExperts();
    result.experts.resize(in.count(list, "experts", in.bounds().experts_max, "experts_max"));
    for (unsigned i = 0; i < result.experts.size(); ++i) {
      const auto span = list[i];
      result.experts[i] = {read_owner(span), span.getBegin(), span.getEnd()};
    }
    check_spans(result, in);
    if (from.hasPermission()) result.permission = read_permission(from.getPermission(), result.id, in);
    return result;
  }
};

template <>
struct wire<combine>
  : wire_field<schema::Message::COMBINE, &message_builder::initCombine, &message_reader::getCombine> {
  static constexpr std::string_view name = "combine";

  static void write(schema::Combine::Builder to, const combine& from, encoder& out) {
    put_work(to.initId(), from.id);
    to.setNode(from.node);
    write_owner_tensors(to.initOutputs(length(from.outputs)), from.outputs, out);
    if (from.done) put_applied(to.initDone(), *from.done);
  }

  static combine read(schema::Combine::Reader from, decoder& in) {
    combine result{read_work(from.getId()), from.getNode(), {}, {}};
    result.outputs = read_owner_tensors(from.getOutputs(), result.id, "outputs", in);
    if (from.hasDone()) result.done = read_done(from.getDone(), result.id, in);
    return result;
  }
};

template <>
struct wire<gradient>
  : wire_field<schema::Message::GRADIENT, &message_builder::initGradient, &message_reader::getGradient> {
  static constexpr std::string_view name = "gradient";

  static void write(schema::Gradient::Builder to, const gradient& from, encoder& out) {
    put_work(to.initId(), from.id);
    to.setReplica(from.replica);
    to.setInputWanted(from.input_wanted);
    put_if_present([&] { return to.initRows(); }, from.rows, out);
    put_if_present([&] { return to.initGates(); }, from.gates, out);
  }

  static gradient read(schema::Gradient::Reader from, decoder& in) {
    gradient result{read_work(from.getId()), from.getReplica(), from.getInputWanted(), {}, {}};
    result.rows = in.read(from.getRows(), "rows", {float_types, 2});
    result.gates = in.read(from.getGates(), "gates", {float_types, 1});
    if (!in.failed() && result.gates.type() != result.rows.type())
      in.refuse("gates", to_string(result.gates.type()), to_string(result.rows.type()) + ", the rows' type");
    return result;
  }
};

template <>
struct wire<input_gradient> : wire_field<schema::Message::INPUT_GRADIENT, &message_builder::initInputGradient,
                                         &message_reader::getInputGradient> {
  static constexpr std::string_view name = "input_gradient";

  static void write(schema::InputGradient::Builder to, const input_gradient& from, encoder& out) {
    put_work(to.initId(), from.id);
    to.setNode(from.node);
    write_owner_tensors(to.initGradients(length(from.gradients)), from.gradients, out);
  }

  static input_gradient read(schema::InputGradient::Reader from, decoder& in) {
    input_gradient result{read_work(from.getId()), from.getNode(), {}};
    result.gradients = read_owner_tensors(from.getGradients(), result.id, "gradients", in);
    return result;
  }
};

} // namespace troupe::detail

namespace troupe {

template frame encode(const dispatch&);
template frame encode(const combine&);
template frame encode(const gradient&);
template frame encode(const input_gradient&);

template expected<dispatch> decode(const frame&, const limits&);
template expected<combine> decode(const frame&, const limits&);
template expected<gradient> decode(const frame&, const limits&);
template expected<input_gradient> decode(const frame&, const limits&);

} // namespace troupe
