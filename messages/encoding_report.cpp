#include "messages/encoding_detail.hpp"

namespace troupe::detail {

namespace {

// Lists without a limit of their own are bounded by the header: each element takes at least 8 of its bytes.

template <class List>
void write_values(List to, const std::vector<named_value>& from) {
  for (unsigned i = 0; i < from.size(); ++i) {
    to[i].setName(text(from[i].name));
    to[i].setValue(from[i].value);
  }
}

/// `Entry` is a named_value or phase_time: a text and a number. The number may be infinite or none: training
/// diverges.
template <class Entry, class List>
std::vector<Entry> read_values(const List& list, std::string_view what, decoder& in) {
  std::vector<Entry> result(in.count(list, what, in.bounds().header_bytes_max, "header_bytes_max"));
  for (unsigned i = 0; i < result.size(); ++i)
    result[i] = Entry{in.read(list[i].getName(), what), list[i].getValue()};
  return result;
}

void write_layer(schema::LayerHealth::Builder to, const layer_health& from) {
  put_all(to.initExpertRows(length(from.expert_rows)), from.expert_rows);
  write_values(to.initValues(length(from.values)), from.values);
}

layer_health read_layer(schema::LayerHealth::Reader from, decoder& in) {
  return {
    in.read_all<std::uint64_t>(from.getExpertRows(), "expert rows", in.bounds().experts_max, "experts_max"),
    read_values<named_value>(from.getValues(), "values", in)};
}

void write_microbatch(schema::MicrobatchReport::Builder to, const microbatch_report& from) {
  to.setMicrobatch(from.microbatch);
  to.setRows(from.rows);
  to.setLoss(from.loss);
  to.setCorrect(from.correct);
  auto layers = to.initLayers(length(from.layers));
  for (unsigned i = 0; i < from.layers.size(); ++i) write_layer(layers[i], from.layers[i]);
  put_all(to.initExpertClass(length(from.expert_class)), from.expert_class);
}

microbatch_report read_microbatch(schema::MicrobatchReport::Reader from, decoder& in) {
  microbatch_report result{from.getMicrobatch(), from.getRows(), from.getLoss(), from.getCorrect(), {}, {}};
  const auto layers = from.getLayers();
  result.layers.resize(in.count(layers, "layers", in.bounds().layers_max, "layers_max"));
  for (unsigned i = 0; i < result.layers.size(); ++i) result.layers[i] = read_layer(layers[i], in);
  result.expert_class = in.read_all<std::uint64_t>(from.getExpertClass(), "rows per expert and class",
                                                   in.bounds().header_bytes_max, "header_bytes_max");
  return result;
}

} // namespace

template <>
struct wire<replica_report> : wire_field<schema::Message::REPLICA_REPORT, &message_builder::initReplicaReport,
                                         &message_reader::getReplicaReport> {
  static constexpr std::string_view name = "replica_report";

  static void write(schema::ReplicaReport::Builder to, const replica_report& from, encoder&) {
    put_term(to.initTerm(), from.term);
    to.setStep(from.step);
    to.setReplica(from.replica);
    auto microbatches = to.initMicrobatches(length(from.microbatches));
    for (unsigned i = 0; i < from.microbatches.size(); ++i)
      write_microbatch(microbatches[i], from.microbatches[i]);
    auto phases = to.initPhases(length(from.phases));
    for (unsigned i = 0; i < from.phases.size(); ++i) {
      phases[i].setName(text(from.phases[i].phase));
      phases[i].setValue(from.phases[i].microseconds);
    }
    auto traffic = to.initTraffic(length(from.traffic));
    for (unsigned i = 0; i < from.traffic.size(); ++i) {
      traffic[i].setNode(from.traffic[i].node);
      traffic[i].setBytesSent(from.traffic[i].bytes_sent);
      traffic[i].setBytesReceived(from.traffic[i].bytes_received);
    }
    to.setBytesCopied(from.bytes_copied);
  }

  static replica_report read(schema::ReplicaReport::Reader from, decoder& in) {
    replica_report result;
    result.term = read_term(from.getTerm());
    result.step = from.getStep();
    result.replica = from.getReplica();
    const auto list = from.getMicrobatches();
    result.microbatches.resize(
      in.count(list, "microbatches", in.bounds().microbatches_max, "microbatches_max"));
    for (unsigned i = 0; i < result.microbatches.size() && !in.failed(); ++i)
      result.microbatches[i] = read_microbatch(list[i], in);
    result.phases = read_values<phase_time>(from.getPhases(), "phases", in);
    const auto traffic = from.getTraffic();
    result.traffic.resize(in.count(traffic, "traffic", in.bounds().nodes_max, "nodes_max"));
    for (unsigned i = 0; i < result.traffic.size(); ++i)
      result.traffic[i] = {traffic[i].getNode(), traffic[i].getBytesSent(), traffic[i].getBytesReceived()};
    result.bytes_copied = from.getBytesCopied();
    return result;
  }
};

} // namespace troupe::detail

namespace troupe {

template frame encode(const replica_report&);

template expected<replica_report> decode(const frame&, const limits&);

} // namespace troupe
