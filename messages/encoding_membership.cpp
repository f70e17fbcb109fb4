#include "messages/encoding_detail.hpp"

namespace troupe::detail {

template <>
struct wire<placement_change>
  : wire_field<schema::Message::PLACEMENT_CHANGE, &message_builder::initPlacementChange,
               &message_reader::getPlacementChange> {
  static constexpr std::string_view name = "placement_change";

  static void write(schema::PlacementChange::Builder to, const placement_change& from, encoder&) {
    put_term(to.initTerm(), from.term);
    to.setVersion(from.version);
    put_all(to.initPlacement(length(from.placement)), from.placement);
    put_all(to.initNodes(length(from.nodes)), from.nodes);
  }

  static placement_change read(schema::PlacementChange::Reader from, decoder& in) {
    return {read_term(from.getTerm()), from.getVersion(),
            in.read_all<node_id>(from.getPlacement(), "placement", experts_max(in.bounds()), experts_limit),
            in.read_all<node_id>(from.getNodes(), "nodes", in.bounds().nodes_max, "nodes_max")};
  }
};

template <>
struct wire<placement_settled>
  : wire_field<schema::Message::PLACEMENT_SETTLED, &message_builder::initPlacementSettled,
               &message_reader::getPlacementSettled> {
  static constexpr std::string_view name = "placement_settled";

  static void write(schema::PlacementSettled::Builder to, const placement_settled& from, encoder&) {
    put_term(to.initTerm(), from.term);
    to.setVersion(from.version);
  }

  static placement_settled read(schema::PlacementSettled::Reader from, decoder&) {
    return {read_term(from.getTerm()), from.getVersion()};
  }
};

template <>
struct wire<owner_state> : wire_field<schema::Message::OWNER_STATE, &message_builder::initOwnerState,
                                      &message_reader::getOwnerState> {
  static constexpr std::string_view name = "owner_state";

  static void write(schema::OwnerState::Builder to, const owner_state& from, encoder& out) {
    put_term(to.initTerm(), from.term);
    put_owner(to.initOwner(), from.owner);
    to.setVersion(from.version);
    to.setTo(from.to);
    to.setFrom(from.from);
    if (from.state.present()) out.put(to.initState(), from.state);
  }

  static owner_state read(schema::OwnerState::Reader from, decoder& in) {
    return {read_term(from.getTerm()),
            read_owner(from.getOwner()),
            from.getVersion(),
            from.getTo(),
            from.getFrom(),
            in.read(from.getState(), "state", {types_of(dtype::u8), 1})};
  }
};

template <>
struct wire<state_received> : wire_field<schema::Message::STATE_RECEIVED, &message_builder::initStateReceived,
                                         &message_reader::getStateReceived> {
  static constexpr std::string_view name = "state_received";

  static void write(schema::StateReceived::Builder to, const state_received& from, encoder&) {
    put_term(to.initTerm(), from.term);
    put_owner(to.initOwner(), from.owner);
    to.setVersion(from.version);
    to.setTo(from.to);
  }

  static state_received read(schema::StateReceived::Reader from, decoder&) {
    return {read_term(from.getTerm()), read_owner(from.getOwner()), from.getVersion(), from.getTo()};
  }
};

template <>
struct wire<state_request> : wire_field<schema::Message::STATE_REQUEST, &message_builder::initStateRequest,
                                        &message_reader::getStateRequest> {
  static constexpr std::string_view name = "state_request";

  static void write(schema::StateRequest::Builder to, const state_request& from, encoder&) {
    put_term(to.initTerm(), from.term);
    to.setVersion(from.version);
  }

  static state_request read(schema::StateRequest::Reader from, decoder&) {
    return {read_term(from.getTerm()), from.getVersion()};
  }
};

template <>
struct wire<release>
  : wire_field<schema::Message::RELEASE, &message_builder::initRelease, &message_reader::getRelease> {
  static constexpr std::string_view name = "release";

  static void write(schema::Release::Builder to, const release& from, encoder&) {
    put_term(to.initTerm(), from.term);
    to.setReason(text(from.reason));
    to.setHow(static_cast<schema::Parting>(from.how));
  }

  static release read(schema::Release::Reader from, decoder& in) {
    const auto how = from.getHow();
    if (how > schema::Parting::FAILED)
      in.refuse("parting", std::to_string(static_cast<unsigned>(how)), "0 to 3");
    return {read_term(from.getTerm()), in.read(from.getReason(), "reason"), static_cast<parting>(how)};
  }
};

template <>
struct wire<ready>
  : wire_field<schema::Message::READY, &message_builder::initReady, &message_reader::getReady> {
  static constexpr std::string_view name = "ready";

  static void write(schema::Ready::Builder to, const ready& from, encoder&) {
    put_term(to.initTerm(), from.term);
    to.setNode(from.node);
  }

  static ready read(schema::Ready::Reader from, decoder&) {
    return {read_term(from.getTerm()), from.getNode()};
  }
};

template <>
struct wire<join_request> : wire_field<schema::Message::JOIN_REQUEST, &message_builder::initJoinRequest,
                                       &message_reader::getJoinRequest> {
  static constexpr std::string_view name = "join_request";

  static void write(schema::JoinRequest::Builder to, const join_request& from, encoder&) {
    to.setProtocol(from.protocol);
    to.setName(text(from.name));
    to.setFingerprint(text(from.fingerprint));
    to.setFingerprintText(text(from.fingerprint_text));
    to.setRunId(text(from.run_id));
    to.setConfigurationHash(text(from.configuration_hash));
    to.setProcess(from.process);
    to.setComputeThreads(from.compute_threads);
    to.setHost(text(from.host));
  }

  static join_request read(schema::JoinRequest::Reader from, decoder& in) {
    join_request result;
    result.protocol = from.getProtocol();
    result.name = in.read(from.getName(), "name");
    result.fingerprint = in.read(from.getFingerprint(), "fingerprint");
    result.fingerprint_text = in.read(from.getFingerprintText(), "fingerprint text");
    result.run_id = in.read(from.getRunId(), "run id");
    result.configuration_hash = in.read(from.getConfigurationHash(), "configuration hash");
    result.process = from.getProcess();
    result.compute_threads = from.getComputeThreads();
    result.host = in.read(from.getHost(), "host");
    return result;
  }
};

template <>
struct wire<welcome>
  : wire_field<schema::Message::WELCOME, &message_builder::initWelcome, &message_reader::getWelcome> {
  static constexpr std::string_view name = "welcome";

  static void write(schema::Welcome::Builder to, const welcome& from, encoder&) {
    put_term(to.initTerm(), from.term);
    to.setNode(from.node);
    to.setRunId(text(from.run_id));
    to.setConfiguration(text(from.configuration));
    to.setName(text(from.name));
  }

  static welcome read(schema::Welcome::Reader from, decoder& in) {
    return {read_term(from.getTerm()), from.getNode(), in.read(from.getRunId(), "run id"),
            in.read(from.getConfiguration(), "configuration"), in.read(from.getName(), "name")};
  }
};

} // namespace troupe::detail

namespace troupe {

template frame encode(const placement_change&);
template frame encode(const placement_settled&);
template frame encode(const owner_state&);
template frame encode(const state_received&);
template frame encode(const state_request&);
template frame encode(const release&);
template frame encode(const ready&);
template frame encode(const join_request&);
template frame encode(const welcome&);

template expected<placement_change> decode(const frame&, const limits&);
template expected<placement_settled> decode(const frame&, const limits&);
template expected<owner_state> decode(const frame&, const limits&);
template expected<state_received> decode(const frame&, const limits&);
template expected<state_request> decode(const frame&, const limits&);
template expected<release> decode(const frame&, const limits&);
template expected<ready> decode(const frame&, const limits&);
template expected<join_request> decode(const frame&, const limits&);
template expected<welcome> decode(const frame&, const limits&);

} // namespace troupe
