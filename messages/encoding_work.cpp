#include "messages/encoding_detail.hpp"

namespace troupe::detail {

namespace {

void check_same_rows(const tensor& column, const tensor& rows, std::string_view what, decoder& in) {
  if (column.present() && rows.present() && column.rows() != rows.rows())
    in.refuse(what, std::to_string(column.rows()) + " rows",
              std::to_string(rows.rows()) + ", those of the inputs");
}

} // namespace

template <>
struct wire<fetch>
  : wire_field<schema::Message::FETCH, &message_builder::initFetch, &message_reader::getFetch> {
  static constexpr std::string_view name = "fetch";

  static void write(schema::Fetch::Builder to, const fetch& from, encoder&) {
    put_term(to.initTerm(), from.term);
    to.setStep(from.step);
    put_kind(to, from.kind);
    to.setOrdinal(from.ordinal);
    to.setMicrobatch(from.microbatch);
    to.setReplica(from.replica);
  }

  static fetch read(schema::Fetch::Reader from, decoder& in) {
    return {read_term(from.getTerm()), from.getStep(),       in.read(from.getKind()),
            from.getOrdinal(),         from.getMicrobatch(), from.getReplica()};
  }
};

template <>
struct wire<batch>
  : wire_field<schema::Message::BATCH, &message_builder::initBatch, &message_reader::getBatch> {
  static constexpr std::string_view name = "batch";

  static void write(schema::Batch::Builder to, const batch& from, encoder& out) {
    put_term(to.initTerm(), from.term);
    to.setStep(from.step);
    to.setMicrobatch(from.microbatch);
    put_if_present([&] { return to.initInputs(); }, from.inputs, out);
    put_if_present([&] { return to.initLabels(); }, from.labels, out);
    put_if_present([&] { return to.initIds(); }, from.ids, out);
  }

  static batch read(schema::Batch::Reader from, decoder& in) {
    batch result{read_term(from.getTerm()), from.getStep(), from.getMicrobatch(), {}, {}, {}};
    result.inputs = in.read(from.getInputs(), "inputs", {row_types, 2});
    result.labels = in.read(from.getLabels(), "labels", {types_of(dtype::i64), 1, true});
    result.ids = in.read(from.getIds(), "ids", {types_of(dtype::i64), 1});
    check_same_rows(result.labels, result.inputs, "labels", in);
    check_same_rows(result.ids, result.inputs, "ids", in);
    return result;
  }
};

template <>
struct wire<dense_gradient> : wire_field<schema::Message::DENSE_GRADIENT, &message_builder::initDenseGradient,
                                         &message_reader::getDenseGradient> {
  static constexpr std::string_view name = "dense_gradient";

  static void write(schema::DenseGradient::Builder to, const dense_gradient& from, encoder& out) {
    put_term(to.initTerm(), from.term);
    to.setStep(from.step);
    to.setStage(from.stage);
    to.setLane(from.lane);
    put_if_present([&] { return to.initValue(); }, from.value, out);
  }

  static dense_gradient read(schema::DenseGradient::Reader from, decoder& in) {
    return {read_term(from.getTerm()), from.getStep(), from.getStage(), from.getLane(),
            in.read(from.getValue(), "value", {any_type, -1, true})};
  }
};

template <>
struct wire<dense_parameters>
  : wire_field<schema::Message::DENSE_PARAMETERS, &message_builder::initDenseParameters,
               &message_reader::getDenseParameters> {
  static constexpr std::string_view name = "dense_parameters";

  static void write(schema::DenseParameters::Builder to, const dense_parameters& from, encoder& out) {
    put_term(to.initTerm(), from.term);
    to.setVersion(from.version);
    to.setStage(from.stage);
    put_if_present([&] { return to.initValue(); }, from.value, out);
  }

  static dense_parameters read(schema::DenseParameters::Reader from, decoder& in) {
    return {read_term(from.getTerm()), from.getVersion(), from.getStage(),
            in.read(from.getValue(), "value", {any_type})};
  }
};

template <>
struct wire<refusal>
  : wire_field<schema::Message::REFUSAL, &message_builder::initRefusal, &message_reader::getRefusal> {
  static constexpr std::string_view name = "refusal";

  static void write(schema::Refusal::Builder to, const refusal& from, encoder&) {
    put_work(to.initId(), from.id);
    to.setReason(text(from.reason));
    to.setLate(from.late);
  }

  static refusal read(schema::Refusal::Reader from, decoder& in) {
    return {read_work(from.getId()), in.read(from.getReason(), "reason"), from.getLate()};
  }
};

} // namespace troupe::detail

namespace troupe {

template frame encode(const fetch&);
template frame encode(const batch&);
template frame encode(const dense_gradient&);
template frame encode(const dense_parameters&);
template frame encode(const refusal&);

template expected<fetch> decode(const frame&, const limits&);
template expected<batch> decode(const frame&, const limits&);
template expected<dense_gradient> decode(const frame&, const limits&);
template expected<dense_parameters> decode(const frame&, const limits&);
template expected<refusal> decode(const frame&, const limits&);

} // namespace troupe
