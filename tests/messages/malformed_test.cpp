#include "messages/encoding.hpp"
#include "tests/messages/samples.hpp"

#include "messages/messages.capnp.h"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <optional>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

namespace {

/// The header of `valid` after `lie` changed something in it; the payloads stay.
frame lying(const frame& valid, const std::function<void(schema::Message::Builder)>& lie) {
  capnp::FlatArrayMessageReader reader(
    {reinterpret_cast<const capnp::word*>(valid.header.data()), valid.header.size() / sizeof(capnp::word)});
  capnp::MallocMessageBuilder builder;
  builder.setRoot(reader.getRoot<schema::Message>());
  lie(builder.getRoot<schema::Message>());
  const auto words = capnp::messageToFlatArray(builder);
  const auto bytes = words.asBytes();
  return {blob::copy_of(std::as_bytes(std::span(bytes.begin(), bytes.size()))), valid.payloads};
}

/// The error of a decoding, which must be there and have the usual form.
void check_refused(const std::optional<error>& got, error_code code, const std::string& text) {
  REQUIRE(got.has_value());
  CHECK(got->code == code);
  CHECK_THAT(got->text,
             StartsWith("[decode ") && ContainsSubstring(": got ") && ContainsSubstring(", limit "));
  CHECK_THAT(got->text, ContainsSubstring(text));
}

template <class M>
void refuses(const frame& f, error_code code, const std::string& text, const limits& bounds = {}) {
  auto got = decode<M>(f, bounds);
  check_refused(got ? std::nullopt : std::optional(got.error()), code, text);
}

template <class M>
frame valid() {
  return encode(samples<M>().front());
}

constexpr auto malformed = error_code::malformed;
constexpr auto over_limit = error_code::over_limit;

} // namespace

// -- frames -----------------------------------------------------------------------

TEMPLATE_LIST_TEST_CASE("A frame that is cut off anywhere is refused", "[unit]", wire_messages) {
  const auto whole = valid<TestType>();
  for (std::size_t size = 0; size < whole.header.size(); ++size) {
    auto f = whole;
    f.header = blob::copy_of(whole.header.bytes().first(size));
    refuses<TestType>(f, malformed, "");
  }
  if (whole.payloads.empty()) return;
  auto fewer = whole;
  fewer.payloads.pop_back();
  refuses<TestType>(fewer, malformed, "");
  auto shorter = whole;
  shorter.payloads.back() = whole.payloads.back().part(0, whole.payloads.back().size() - 1);
  refuses<TestType>(shorter, malformed, "");
}

TEMPLATE_LIST_TEST_CASE("A payload that no field names is refused", "[unit]", wire_messages) {
  auto f = valid<TestType>();
  f.payloads.push_back(blob::allocate(4));
  refuses<TestType>(f, malformed, "payloads: got " + std::to_string(f.payloads.size()));
}

TEMPLATE_LIST_TEST_CASE("Sizes beyond the limits are refused, and sizes at the limits accepted", "[unit]",
                        wire_messages) {
  const auto f = valid<TestType>();
  limits exact;
  exact.header_bytes_max = f.header.size();
  exact.message_bytes_max = bytes_of(f);
  exact.payloads_max = static_cast<std::uint32_t>(f.payloads.size());
  CHECK(decode<TestType>(f, exact).has_value());
  CHECK(check_sizes(f, "it", exact).has_value());
  const auto refused = [&](const limits& bounds, const std::string& limit) {
    refuses<TestType>(f, over_limit, limit, bounds);
    CHECK_THAT(check_sizes(f, "it", bounds).error().text,
               StartsWith("[send it] ") && ContainsSubstring(limit));
  };
  auto less = exact;
  --less.header_bytes_max;
  refused(less, "header_bytes_max");
  less = exact;
  --less.message_bytes_max;
  refused(less, "message_bytes_max");
  if (f.payloads.empty()) return;
  less = exact;
  --less.payloads_max;
  refused(less, "payloads_max");
}

TEST_CASE("An unknown kind of message is refused", "[unit]") {
  auto f = valid<commit>();
  auto header = blob::copy_of(f.header.bytes());
  const std::uint16_t unknown = 999;
  std::memcpy(header.mutable_data() + 16, &unknown, sizeof(unknown)); // root struct: segment table, root
                                                                      // pointer, union
  f.header = header;
  refuses<commit>(f, malformed, "kind of message: got 999");
}

TEST_CASE("A header that points to itself ends with an error", "[unit]") {
  // A list of reports whose elements' lists are the list itself would unfold without end.
  auto f = encode(samples<replica_report>().front());
  const auto words = f.header.size() / 8;
  for (std::size_t at = 1; at < words; ++at) {
    auto header = blob::copy_of(f.header.bytes());
    for (std::int64_t back = 1; back <= static_cast<std::int64_t>(at); ++back) {
      // A struct pointer to `back` words before, and a composite list pointer likewise.
      const std::uint64_t offset = static_cast<std::uint32_t>((-back - 1) * 4);
      for (const std::uint64_t pointer :
           {offset | (std::uint64_t{0x0003'0003} << 32),
            (offset | 1) | (std::uint64_t{7} << 32) | (std::uint64_t{1000} << 35)}) {
        std::memcpy(header.mutable_data() + at * 8, &pointer, 8);
        f.header = header;
        (void)decode<replica_report>(f, limits{});
      }
    }
  }
  SUCCEED();
}

// -- tensors ----------------------------------------------------------------------

TEST_CASE("A descriptor that lies about its payload is refused", "[unit]") {
  const auto f = valid<dense_parameters>(); // 5 floats
  using tensor_builder = schema::Tensor::Builder;
  auto with = [&](const std::function<void(tensor_builder)>& lie) {
    return lying(f, [&](auto m) { lie(m.getDenseParameters().getValue()); });
  };
  auto dims = [](std::uint8_t rank, std::int64_t a, std::int64_t b = 1, std::int64_t c = 1,
                 std::int64_t d = 1) {
    return [=](tensor_builder t) {
      t.setRank(rank);
      t.setDim0(a);
      t.setDim1(b);
      t.setDim2(c);
      t.setDim3(d);
    };
  };
  constexpr auto big = std::int64_t{1} << 62;
  refuses<dense_parameters>(with([](tensor_builder t) { t.setDim0(6); }), malformed,
                            "value: got 20 bytes, limit f32 [6]");
  refuses<dense_parameters>(with([](tensor_builder t) { t.setDim0(4); }), malformed, "f32 [4]");
  refuses<dense_parameters>(with(dims(1, -5)), malformed, "dimension -5");
  refuses<dense_parameters>(with(dims(1, std::numeric_limits<std::int64_t>::min())), malformed,
                            "dimension -");
  refuses<dense_parameters>(with(dims(5, 1)), malformed, "5 dimensions");
  refuses<dense_parameters>(with(dims(255, 1)), malformed, "255 dimensions");
  refuses<dense_parameters>(with(dims(4, big, 4, 4, 4)), over_limit, "message_bytes_max");
  refuses<dense_parameters>(with(dims(2, 1 << 30, 1 << 30)), over_limit, "message_bytes_max");
  refuses<dense_parameters>(with(dims(4, 0, big, big, 4)), over_limit, "message_bytes_max");
  refuses<dense_parameters>(with(dims(4, std::int64_t{1} << 32, std::int64_t{1} << 32, 5)), over_limit,
                            "message_bytes_max");
  refuses<dense_parameters>(with([](tensor_builder t) { t.setType(schema::ElementType::F64); }), malformed,
                            "f64 [5]");
  refuses<dense_parameters>(with([](tensor_builder t) { t.setType(schema::ElementType::ABSENT); }), malformed,
                            "no tensor");
  refuses<dense_parameters>(with([](tensor_builder t) { t.setType(static_cast<schema::ElementType>(77)); }),
                            malformed, "element type 77");
  refuses<dense_parameters>(with([](tensor_builder t) { t.setPayload(1); }), malformed, "payload: got 1");
  refuses<dense_parameters>(with([](tensor_builder t) { t.setPayload(0xffffffff); }), malformed,
                            "payload: got 4294967295");
}

TEST_CASE("Two tensors cannot share a payload", "[unit]") {
  const auto f = valid<gradient>();
  refuses<gradient>(lying(f, [](auto m) { m.getGradient().getGates().setPayload(0); }), malformed,
                    "gates payload: got 0");
}

// -- steps ------------------------------------------------------------------------

TEST_CASE("A plan with numbers that would poison the training is refused", "[unit]") {
  const auto nan = std::nan("");
  const auto infinite = std::numeric_limits<double>::infinity();
  const auto f = valid<plan>();
  auto with = [&](const std::function<void(schema::Plan::Builder)>& lie) {
    return lying(f, [&](auto m) { lie(m.getPlan()); });
  };
  refuses<plan>(with([&](auto p) { p.setLearningRate(nan); }), malformed, "learning rate");
  refuses<plan>(with([&](auto p) { p.setLearningRate(infinite); }), malformed, "learning rate");
  refuses<plan>(with([&](auto p) { p.setClipNorm(nan); }), malformed, "clip norm");
  refuses<plan>(with([&](auto p) { p.setClipNorm(-1); }), malformed, "clip norm");
  refuses<plan>(with([&](auto p) { p.setKind(static_cast<schema::StepKind>(2)); }), malformed,
                "kind of step: got 2");
  const auto c = valid<commit>();
  for (auto scale : {nan, infinite, -0.5})
    refuses<commit>(lying(c, [&](auto m) { m.getCommit().setScale(scale); }), malformed, "scale");
  refuses<fetch>(
    lying(valid<fetch>(), [](auto m) { m.getFetch().setKind(static_cast<schema::StepKind>(65535)); }),
    malformed, "kind of step");
  refuses<release>(
    lying(valid<release>(), [](auto m) { m.getRelease().setHow(static_cast<schema::Parting>(4)); }),
    malformed, "parting: got 4, limit 0 to 3");
}

TEST_CASE("A plan whose microbatches do not fit together is refused", "[unit]") {
  const auto f = valid<plan>();
  auto with = [&](const std::function<void(schema::Plan::Builder)>& lie) {
    return lying(f, [&](auto m) { lie(m.getPlan()); });
  };
  refuses<plan>(with([](auto p) { p.setRows(61); }), malformed, "rows of the microbatches: got 60, limit 61");
  refuses<plan>(with([](auto p) { p.getMicrobatches()[3].setLane(0); }), malformed, "lane of microbatch 3");
  refuses<plan>(with([](auto p) { p.getMicrobatches()[1].setReplica(5); }), malformed, "replica of lane 0");
  refuses<plan>(with([](auto p) { p.getMicrobatches()[3].setLane(0xffffffff); }), malformed,
                "lane of microbatch 3");
}

TEST_CASE("Lists beyond their limits are refused before they are read", "[unit]") {
  limits few;
  few.microbatches_max = 3;
  refuses<plan>(valid<plan>(), over_limit, "microbatches: got 4, limit 3 (microbatches_max)", few);
  few = {};
  few.experts_max = few.layers_max = 2;
  refuses<plan>(valid<plan>(), over_limit, "placement: got 7, limit 4", few);
  few.experts_max = few.layers_max = 1;
  refuses<norm_report>(valid<norm_report>(), over_limit, "norms: got 3, limit 2", few);
  refuses<applied>(valid<applied>(), over_limit, "owners: got 3, limit 2", few);
  refuses<dispatch>(valid<dispatch>(), over_limit, "experts: got 3, limit 1", few);
  refuses<combine>(valid<combine>(), over_limit, "outputs: got 3, limit 1", few);
  refuses<input_gradient>(valid<input_gradient>(), over_limit, "gradients: got 2, limit 1", few);
  refuses<replica_report>(valid<replica_report>(), over_limit, "layers: got 2, limit 1", few);
  refuses<placement_change>(valid<placement_change>(), over_limit, "placement: got 4, limit 1", few);
  few = {};
  few.microbatches_max = few.experts_max = 1;
  refuses<replica_report>(valid<replica_report>(), over_limit, "microbatches: got 2, limit 1", few);
  few.microbatches_max = 2;
  refuses<replica_report>(valid<replica_report>(), over_limit, "expert rows: got 3, limit 1", few);
  few = {};
  few.nodes_max = 1;
  refuses<replica_report>(valid<replica_report>(), over_limit, "traffic: got 2, limit 1", few);
  few.nodes_max = 2;
  refuses<placement_change>(valid<placement_change>(), over_limit, "nodes: got 3, limit 2", few);
}

TEST_CASE("A text beyond its limit is refused", "[unit]") {
  limits few;
  few.text_bytes_max = 5;
  CHECK(decode<replica_report>(encode(replica_report{{}, 0, 0, {}, {{"route", 1}}, {}, 0}), few).has_value());
  refuses<replica_report>(valid<replica_report>(), over_limit, "values: got 7, limit 5", few);
  refuses<release>(valid<release>(), over_limit, "reason: got 7, limit 5 (text_bytes_max)", few);
  refuses<refusal>(valid<refusal>(), over_limit, "reason", few);
  refuses<join_request>(valid<join_request>(), over_limit, "name", few);
  join_request from_afar;
  from_afar.host = "a.very.long.name";
  refuses<join_request>(encode(from_afar), over_limit, "host: got 16, limit 5 (text_bytes_max)", few);
  refuses<welcome>(valid<welcome>(), over_limit, "configuration", few);
}

// -- work -------------------------------------------------------------------------

TEST_CASE("A bundle whose indices leave its rows is refused", "[unit]") {
  auto with = [](std::int32_t wrong) {
    auto m = samples<dispatch>().front();
    std::vector<std::int32_t> values{0, 3, wrong, 2, 3};
    m.indices = tensor::of<std::int32_t>({5}, values);
    return encode(m);
  };
  CHECK(decode<dispatch>(with(3), limits{}).has_value());
  refuses<dispatch>(with(4), malformed, "indices: got 4, limit 4");
  refuses<dispatch>(with(-1), malformed, "indices: got -1");
  refuses<dispatch>(with(std::numeric_limits<std::int32_t>::min()), malformed, "indices: got -2147483648");
  auto empty = samples<dispatch>().front();
  empty.rows = tensor::zeros(dtype::f32, {0, 3});
  refuses<dispatch>(encode(empty), malformed, "limit 0, the bundle's rows");
}

TEST_CASE("A bundle whose spans do not cut its indices is refused", "[unit]") {
  const auto f = valid<dispatch>(); // spans [0,2) [2,2) [2,5) of experts 1, 4, 6 in layer 2
  auto with = [&](unsigned i, const std::function<void(schema::ExpertSpan::Builder)>& lie) {
    return lying(f, [&](auto m) { lie(m.getDispatch().getExperts()[i]); });
  };
  refuses<dispatch>(with(0, [](auto s) { s.setBegin(1); }), malformed, "span of expert 1");
  refuses<dispatch>(with(1, [](auto s) { s.setBegin(1); }), malformed, "span of expert 4");
  refuses<dispatch>(with(1, [](auto s) { s.setEnd(1); }), malformed, "span of expert 4");
  refuses<dispatch>(with(1, [](auto s) { s.setEnd(3); }), malformed, "span of expert 6");
  refuses<dispatch>(with(2, [](auto s) { s.setEnd(6); }), malformed, "span of expert 6");
  refuses<dispatch>(with(2, [](auto s) { s.setEnd(0xffffffff); }), malformed, "span of expert 6");
  refuses<dispatch>(with(2, [](auto s) { s.setEnd(4); }), malformed, "spans: got 4 indices, limit 5");
  refuses<dispatch>(with(1, [](auto s) { s.setExpert(1); }), malformed, "experts: got 1 after 1");
  refuses<dispatch>(with(1, [](auto s) { s.setExpert(7); }), malformed, "experts: got 6 after 7");
  refuses<dispatch>(with(1, [](auto s) { s.setLayer(3); }), malformed, "layer of an expert: got 3");
  refuses<dispatch>(with(2, [](auto s) { s.setExpert(0xffff); }), malformed, "dense part");
  refuses<dispatch>(lying(f, [](auto m) { m.getDispatch().initExperts(0); }), malformed,
                    "spans: got 0 indices");
}

TEST_CASE("A bundle brings the plan of its own step or none, and a report is checked like one by itself",
          "[unit]") {
  const auto f = valid<dispatch>();
  const auto with = [&](const std::function<void(schema::Plan::Builder)>& lie) {
    return lying(f, [&](auto m) { lie(m.getDispatch().getPermission()); });
  };
  const auto step = samples<dispatch>().front().id.step;
  refuses<dispatch>(with([&](auto p) { p.setStep(step + 1); }), malformed,
                    "step of the plan: got " + std::to_string(step + 1) + ", limit " + std::to_string(step));
  refuses<dispatch>(with([](auto p) { p.getTerm().setCounter(99); }), malformed, "step of the plan");
  refuses<dispatch>(with([](auto p) { p.setRows(61); }), malformed, "rows of the microbatches: got 60");
  const auto bare = lying(f, [](auto m) { m.getDispatch().disownPermission(); });
  CHECK(decode<dispatch>(bare, limits{})->permission == nullptr);
  refuses<combine>(lying(valid<combine>(), [](auto m) { m.getCombine().getDone().getTerm().setCounter(99); }),
                   malformed, "term of the report: got another, limit the bundle's");
  auto few = limits{};
  few.experts_max = 3;
  few.layers_max = 0;
  refuses<combine>(valid<combine>(), over_limit, "owners: got 3", few);
}

TEST_CASE("Tensors of the wrong type or rank are refused", "[unit]") {
  auto d = samples<dispatch>().front();
  d.indices = tensor::zeros(dtype::i64, {5});
  refuses<dispatch>(encode(d), malformed, "indices: got i64, limit i32");
  d = samples<dispatch>().front();
  d.rows = tensor::zeros(dtype::f32, {12});
  refuses<dispatch>(encode(d), malformed, "rows: got shape [12], limit 2 dimensions");
  d.rows = tensor::zeros(dtype::i32, {4, 3});
  refuses<dispatch>(encode(d), malformed, "rows: got i32, limit u8 or f32 or f64");
  d.rows = {};
  refuses<dispatch>(encode(d), malformed, "rows: got no tensor");
  auto g = samples<gradient>().front();
  g.gates = tensor::zeros(dtype::f32, {5});
  refuses<gradient>(encode(g), malformed, "gates: got f32, limit f64");
  g.gates = tensor::zeros(dtype::f64, {5, 1});
  refuses<gradient>(encode(g), malformed, "gates: got shape [5, 1]");
  g.gates = {};
  refuses<gradient>(encode(g), malformed, "gates: got no tensor");
  g.rows = tensor::zeros(dtype::u8, {4, 3});
  refuses<gradient>(encode(g), malformed, "rows: got u8");
  auto s = samples<owner_state>().front();
  s.state = tensor::zeros(dtype::f32, {4});
  refuses<owner_state>(encode(s), malformed, "state: got f32");
  s.state = {};
  refuses<owner_state>(encode(s), malformed, "state: got no tensor");
}

TEST_CASE("Answers of a bundle must be of one width and type", "[unit]") {
  auto c = samples<combine>().front();
  c.outputs[1].value = tensor::zeros(dtype::f32, {0, 4});
  refuses<combine>(encode(c), malformed, "outputs: got f32 [0, 4], limit f32 rows of 3");
  c.outputs[1].value = tensor::zeros(dtype::f64, {0, 3});
  refuses<combine>(encode(c), malformed, "outputs: got f64 [0, 3]");
  c.outputs[1].value = {};
  refuses<combine>(encode(c), malformed, "outputs: got no tensor");
  c = samples<combine>().front();
  std::swap(c.outputs[0], c.outputs[1]);
  refuses<combine>(encode(c), malformed, "experts: got 0 after 5");
  c = samples<combine>().front();
  c.outputs[0].owner.layer = 1;
  refuses<combine>(encode(c), malformed, "layer of an expert: got 1");
}

TEST_CASE("A microbatch whose labels or ids are not one per row is refused", "[unit]") {
  auto b = samples<batch>().front();
  b.labels = tensor::zeros(dtype::i64, {4});
  refuses<batch>(encode(b), malformed, "labels: got 4 rows, limit 3");
  b = samples<batch>().front();
  b.ids = tensor::zeros(dtype::i64, {2});
  refuses<batch>(encode(b), malformed, "ids: got 2 rows, limit 3");
  b.ids = {};
  refuses<batch>(encode(b), malformed, "ids: got no tensor");
}
