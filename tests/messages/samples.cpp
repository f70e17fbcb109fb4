#include "tests/messages/samples.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

namespace troupe::test {

namespace {

const term_id term{0x123456789abcdef0, 7};
const work_id work{term, 41, 3, 2};

template <class T>
tensor counting(shape dims, T first = 1) {
  std::vector<T> values(static_cast<std::size_t>(dims.elements()));
  std::iota(values.begin(), values.end(), first);
  return tensor::of<T>(dims, values);
}

tensor indices(std::vector<std::int32_t> values) {
  return tensor::of<std::int32_t>({static_cast<std::int64_t>(values.size())}, values);
}

} // namespace

// -- samples ----------------------------------------------------------------------

template <>
std::vector<plan> samples() {
  plan full{term, 12, step_kind::evaluate, true, 5, 60, 1e-3, 0.5, true, {}, 9, {0, 1, 2, 2, 1, 0, 65535}};
  full.microbatches = {{0, 0, 17}, {0, 0, 17}, {1, 1, 17}, {2, 0, 9}};
  return {full, {}};
}

template <>
std::vector<norm_report> samples() {
  constexpr auto infinite = std::numeric_limits<double>::infinity();
  return {{term, 3, {{{0, 1, 0}, 0.25}, {{1, owner_id::dense_part, 0}, 1e300}, {{0, 2, 1}, infinite}}}, {}};
}

template <>
std::vector<commit> samples() {
  return {{term, 3, 0.125}, {term, 4, 0}, {}};
}

template <>
std::vector<applied> samples() {
  return {{term, 3, {{0, 0, 0}, {0, 4, 1}, {2, owner_id::dense_part, 0}}}, {}};
}

template <>
std::vector<fetch> samples() {
  return {{term, 8, step_kind::evaluate, 2, 5, 1}, {}};
}

template <>
std::vector<batch> samples() {
  return {{term, 8, 5, counting<std::uint8_t>({3, 5}), counting<std::int64_t>({3}, -1),
           counting<std::int64_t>({3}, 1000)},
          {term, 8, 5, counting<float>({2, 4}), {}, counting<std::int64_t>({2})},
          {{}, 0, 0, counting<double>({0, 4}), counting<std::int64_t>({0}), counting<std::int64_t>({0})}};
}

template <>
std::vector<dispatch> samples() {
  const std::vector<expert_span> spans{{{2, 1, 0}, 0, 2}, {{2, 4, 0}, 2, 2}, {{2, 6, 0}, 2, 5}};
  const std::vector<expert_span> idle{{{2, 1, 0}, 0, 0}, {{2, 4, 0}, 0, 0}};
  auto permission = samples<plan>().front();
  permission.term = work.term;
  permission.step = work.step;
  return {{work, 1, false, counting<float>({4, 3}), indices({0, 3, 1, 2, 3}), spans,
           std::make_shared<const plan>(permission)},
          {work, 0, true, counting<std::uint8_t>({0, 784}), indices({}), idle},
          {{}, 0, true, counting<double>({0, 0}), indices({}), {}}};
}

template <>
std::vector<combine> samples() {
  auto done = samples<applied>().front();
  done.term = work.term;
  return {{work,
           3,
           {{{2, 0, 0}, counting<float>({2, 3})},
            {{2, 5, 0}, counting<float>({0, 3})},
            {{2, 6, 0}, counting<float>({1, 3}, 9)}},
           done},
          {}};
}

template <>
std::vector<gradient> samples() {
  return {{work, 1, true, counting<double>({4, 3}), counting<double>({5}, 0.5)},
          {{}, 0, false, counting<float>({0, 10}), counting<float>({0})}};
}

template <>
std::vector<input_gradient> samples() {
  return {{work, 2, {{{2, 3, 0}, counting<double>({1, 2})}, {{2, 3, 1}, counting<double>({2, 2}, 7)}}}, {}};
}

template <>
std::vector<dense_gradient> samples() {
  return {{term, 6, 1, 2, counting<float>({11})}, {term, 6, 0, 0, counting<double>({2, 3, 1, 2})}, {}};
}

template <>
std::vector<dense_parameters> samples() {
  return {{term, 6, 1, counting<float>({5})}, {{}, 0, 0, counting<float>({0})}};
}

template <>
std::vector<refusal> samples() {
  return {{work, "[host] old term: got 6, limit 7", true}, {{}, std::string("\0\xff", 2)}, {}};
}

template <>
std::vector<replica_report> samples() {
  const layer_health health{{5, 0, 12},
                            {{"entropy", 1.5}, {"aux", std::numeric_limits<double>::infinity()}, {"", 0}}};
  replica_report full{term, 4, 1, {}, {{"route", 12.5}, {"pack", 3}}, {{1, 1u << 20, 7}, {3, 0, 8}}, 99};
  full.microbatches = {{0, 17, 2.25, 11, {health, {}}, {1, 2, 3}}, {3, 0, 0, 0, {}, {}}};
  return {full, {}};
}

template <>
std::vector<placement_change> samples() {
  return {{term, 2, {0, 1, 1, 2}, {0, 1, 2}}, {}};
}

template <>
std::vector<placement_settled> samples() {
  return {{term, 2}, {}};
}

template <>
std::vector<owner_state> samples() {
  return {{term, {1, 6, 0}, 77, 3, 2, counting<std::uint8_t>({100})},
          {{}, {0, owner_id::dense_part, 0}, 0, 0, 0, counting<std::uint8_t>({0})}};
}

template <>
std::vector<state_received> samples() {
  return {{term, {1, 6, 0}, 77, 3}, {}};
}

template <>
std::vector<state_request> samples() {
  return {{term, 77}, {}};
}

template <>
std::vector<release> samples() {
  return {{term, "drained"}, {term, "the disk is full", parting::failed}, {}};
}

template <>
std::vector<ready> samples() {
  return {{term, 4}, {}};
}

template <>
std::vector<join_request> samples() {
  return {{1, "node-2", "0badcafe", "LibTorch 2.13.0, AVX-512", "run-1", "ffff", 4711, 2, "atlas"}, {}};
}

template <>
std::vector<welcome> samples() {
  return {{term, 4, "run-1", R"({"model": {"experts": 8}})", "node-4"}, {}};
}

// -- equality ---------------------------------------------------------------------

namespace {

bool equal(const tensor& a, const tensor& b) {
  if (a.present() != b.present()) return false;
  if (!a.present()) return true;
  return a.type() == b.type() && a.dims() == b.dims()
         && std::ranges::equal(a.data().bytes(), b.data().bytes());
}

bool equal(const std::vector<owner_tensor>& a, const std::vector<owner_tensor>& b) {
  return std::ranges::equal(a, b,
                            [](auto& x, auto& y) { return x.owner == y.owner && equal(x.value, y.value); });
}

template <std::equality_comparable T>
bool equal(const T& a, const T& b) {
  return a == b;
}

/// All fields in order, compared one by one.
template <class... Ts>
bool all_equal(const std::tuple<Ts...>& a, const std::tuple<Ts...>& b) {
  return [&]<std::size_t... I>(std::index_sequence<I...>) {
    return (equal(std::get<I>(a), std::get<I>(b)) && ...);
  }
  (std::index_sequence_for<Ts...>{});
}

template <std::equality_comparable M>
auto fields(const M& m) {
  return std::tie(m);
}

auto fields(const fetch& m) {
  return std::tie(m.term, m.step, m.kind, m.ordinal, m.microbatch, m.replica);
}
auto fields(const batch& m) {
  return std::tie(m.term, m.step, m.microbatch, m.inputs, m.labels, m.ids);
}
auto fields(const dispatch& m) {
  const auto permission = m.permission ? std::optional(*m.permission) : std::nullopt;
  return std::tuple(m.id, m.replica, m.keep, m.rows, m.indices, m.experts, permission);
}
auto fields(const combine& m) {
  return std::tie(m.id, m.node, m.outputs, m.done);
}
auto fields(const gradient& m) {
  return std::tie(m.id, m.replica, m.input_wanted, m.rows, m.gates);
}
auto fields(const input_gradient& m) {
  return std::tie(m.id, m.node, m.gradients);
}
auto fields(const dense_gradient& m) {
  return std::tie(m.term, m.step, m.stage, m.lane, m.value);
}
auto fields(const dense_parameters& m) {
  return std::tie(m.term, m.version, m.stage, m.value);
}
auto fields(const refusal& m) {
  return std::tie(m.id, m.reason, m.late);
}
auto fields(const placement_change& m) {
  return std::tie(m.term, m.version, m.placement, m.nodes);
}
auto fields(const placement_settled& m) {
  return std::tie(m.term, m.version);
}
auto fields(const owner_state& m) {
  return std::tie(m.term, m.owner, m.version, m.to, m.from, m.state);
}
auto fields(const state_received& m) {
  return std::tie(m.term, m.owner, m.version, m.to);
}
auto fields(const state_request& m) {
  return std::tie(m.term, m.version);
}
auto fields(const release& m) {
  return std::tie(m.term, m.reason, m.how);
}
auto fields(const ready& m) {
  return std::tie(m.term, m.node);
}
auto fields(const join_request& m) {
  return std::tie(m.protocol, m.name, m.fingerprint, m.fingerprint_text, m.run_id, m.configuration_hash,
                  m.process, m.compute_threads, m.host);
}
auto fields(const welcome& m) {
  return std::tie(m.term, m.node, m.run_id, m.configuration, m.name);
}

} // namespace

template <class M>
bool same(const M& a, const M& b) {
  return all_equal(fields(a), fields(b));
}

template bool same(const plan&, const plan&);
template bool same(const norm_report&, const norm_report&);
template bool same(const commit&, const commit&);
template bool same(const applied&, const applied&);
template bool same(const fetch&, const fetch&);
template bool same(const batch&, const batch&);
template bool same(const dispatch&, const dispatch&);
template bool same(const combine&, const combine&);
template bool same(const gradient&, const gradient&);
template bool same(const input_gradient&, const input_gradient&);
template bool same(const dense_gradient&, const dense_gradient&);
template bool same(const dense_parameters&, const dense_parameters&);
template bool same(const refusal&, const refusal&);
template bool same(const replica_report&, const replica_report&);
template bool same(const placement_change&, const placement_change&);
template bool same(const placement_settled&, const placement_settled&);
template bool same(const owner_state&, const owner_state&);
template bool same(const state_received&, const state_received&);
template bool same(const state_request&, const state_request&);
template bool same(const release&, const release&);
template bool same(const ready&, const ready&);
template bool same(const join_request&, const join_request&);
template bool same(const welcome&, const welcome&);

} // namespace troupe::test
