#include "messages/encoding_detail.hpp"

namespace troupe::detail {

namespace {

/// At most one per expert and one per dense part.
std::size_t owners_max(const limits& bounds) {
  return (std::size_t{bounds.experts_max} + 1) * bounds.layers_max;
}

constexpr std::string_view owners_limit = "(experts_max + 1) * layers_max";

/// Lanes ascend, each is one replica's, and the rows add up.
void check_microbatches(const plan& p, decoder& in) {
  std::uint64_t rows = 0;
  for (std::size_t i = 0; i < p.microbatches.size(); ++i) {
    const auto& mb = p.microbatches[i];
    if (mb.lane >= in.bounds().microbatches_max)
      in.refuse("lane of microbatch " + std::to_string(i), std::to_string(mb.lane),
                std::to_string(in.bounds().microbatches_max) + " (microbatches_max)");
    rows += mb.rows;
    if (i == 0) continue;
    const auto& before = p.microbatches[i - 1];
    if (mb.lane < before.lane)
      in.refuse("lane of microbatch " + std::to_string(i), std::to_string(mb.lane),
                std::to_string(before.lane) + " or more, that of the microbatch before");
    if (mb.lane == before.lane && mb.replica != before.replica)
      in.refuse("replica of lane " + std::to_string(mb.lane), std::to_string(mb.replica),
                std::to_string(before.replica) + ", that of the lane's first microbatch");
  }
  if (!in.failed() && rows != p.rows)
    in.refuse("rows of the microbatches", std::to_string(rows), std::to_string(p.rows) + ", the step's");
}

} // namespace

void put_plan(schema::Plan::Builder to, const plan& from) {
  put_term(to.initTerm(), from.term);
  to.setStep(from.step);
  put_kind(to, from.kind);
  to.setOrdinal(from.ordinal);
  to.setRows(from.rows);
  to.setLearningRate(from.learning_rate);
  to.setClipNorm(from.clip_norm);
  to.setLast(from.last);
  to.setClipLocal(from.clip_local);
  auto microbatches = to.initMicrobatches(length(from.microbatches));
  for (unsigned i = 0; i < from.microbatches.size(); ++i) {
    auto mb = microbatches[i];
    mb.setLane(from.microbatches[i].lane);
    mb.setReplica(from.microbatches[i].replica);
    mb.setRows(from.microbatches[i].rows);
  }
  to.setPlacementVersion(from.placement_version);
  put_all(to.initPlacement(length(from.placement)), from.placement);
}

plan read_plan(schema::Plan::Reader from, decoder& in) {
  plan result;
  result.term = read_term(from.getTerm());
  result.step = from.getStep();
  result.kind = in.read(from.getKind());
  result.ordinal = from.getOrdinal();
  result.rows = from.getRows();
  result.learning_rate = in.finite(from.getLearningRate(), "learning rate");
  result.clip_norm = in.finite_not_negative(from.getClipNorm(), "clip norm");
  result.last = from.getLast();
  result.clip_local = from.getClipLocal();
  const auto list = from.getMicrobatches();
  result.microbatches.resize(
    in.count(list, "microbatches", in.bounds().microbatches_max, "microbatches_max"));
  for (unsigned i = 0; i < result.microbatches.size(); ++i) {
    const auto mb = list[i];
    result.microbatches[i] = {mb.getLane(), mb.getReplica(), mb.getRows()};
  }
  check_microbatches(result, in);
  result.placement_version = from.getPlacementVersion();
  result.placement = in.read_all<node_id>(from.getPlacement(), "placement", experts_max(in.bounds()),
                                          experts_limit);
  return result;
}

void put_applied(schema::Applied::Builder to, const applied& from) {
  put_term(to.initTerm(), from.term);
  to.setStep(from.step);
  auto owners = to.initOwners(length(from.owners));
  for (unsigned i = 0; i < from.owners.size(); ++i) put_owner(owners[i], from.owners[i]);
  to.setForwardUs(from.forward_us);
  to.setBackwardUs(from.backward_us);
  to.setApplyUs(from.apply_us);
}

applied read_applied(schema::Applied::Reader from, decoder& in) {
  applied result{read_term(from.getTerm()), from.getStep(), {}};
  const auto list = from.getOwners();
  result.owners.resize(in.count(list, "owners", owners_max(in.bounds()), owners_limit));
  for (unsigned i = 0; i < result.owners.size(); ++i) result.owners[i] = read_owner(list[i]);
  result.forward_us = from.getForwardUs();
  result.backward_us = from.getBackwardUs();
  result.apply_us = from.getApplyUs();
  return result;
}

template <>
struct wire<plan> : wire_field<schema::Message::PLAN, &message_builder::initPlan, &message_reader::getPlan> {
  static constexpr std::string_view name = "plan";

  static void write(schema::Plan::Builder to, const plan& from, encoder&) { put_plan(to, from); }

  static plan read(schema::Plan::Reader from, decoder& in) { return read_plan(from, in); }
};

template <>
struct wire<norm_report> : wire_field<schema::Message::NORM_REPORT, &message_builder::initNormReport,
                                      &message_reader::getNormReport> {
  static constexpr std::string_view name = "norm_report";

  static void write(schema::NormReport::Builder to, const norm_report& from, encoder&) {
    put_term(to.initTerm(), from.term);
    to.setStep(from.step);
    auto norms = to.initNorms(length(from.norms));
    for (unsigned i = 0; i < from.norms.size(); ++i) {
      put_owner(norms[i], from.norms[i].owner);
      norms[i].setSquared(from.norms[i].squared);
    }
  }

  /// A norm may be infinite or no number: so the optimizer learns that the training diverged.
  static norm_report read(schema::NormReport::Reader from, decoder& in) {
    norm_report result{read_term(from.getTerm()), from.getStep(), {}};
    const auto list = from.getNorms();
    result.norms.resize(in.count(list, "norms", owners_max(in.bounds()), owners_limit));
    for (unsigned i = 0; i < result.norms.size(); ++i) {
      const auto norm = list[i];
      result.norms[i] = {read_owner(norm), norm.getSquared()};
    }
    return result;
  }
};

template <>
struct wire<commit>
  : wire_field<schema::Message::COMMIT, &message_builder::initCommit, &message_reader::getCommit> {
  static constexpr std::string_view name = "commit";

  static void write(schema::Commit::Builder to, const commit& from, encoder&) {
    put_term(to.initTerm(), from.term);
    to.setStep(from.step);
    to.setScale(from.scale);
  }

  static commit read(schema::Commit::Reader from, decoder& in) {
    return {read_term(from.getTerm()), from.getStep(), in.finite_not_negative(from.getScale(), "scale")};
  }
};

template <>
struct wire<applied>
  : wire_field<schema::Message::APPLIED, &message_builder::initApplied, &message_reader::getApplied> {
  static constexpr std::string_view name = "applied";

  static void write(schema::Applied::Builder to, const applied& from, encoder&) { put_applied(to, from); }

  static applied read(schema::Applied::Reader from, decoder& in) { return read_applied(from, in); }
};

} // namespace troupe::detail

namespace troupe {

template frame encode(const plan&);
template frame encode(const norm_report&);
template frame encode(const commit&);
template frame encode(const applied&);

template expected<plan> decode(const frame&, const limits&);
template expected<norm_report> decode(const frame&, const limits&);
template expected<commit> decode(const frame&, const limits&);
template expected<applied> decode(const frame&, const limits&);

} // namespace troupe
