#include "conformance/layer_model.hpp"
#include "model/losses/distillation.hpp"
#include "model/placement/replication.hpp"
#include "model/surgery/prune.hpp"
#include "model/surgery/upcycle.hpp"

#include <cmath>

namespace troupe::conformance {

namespace {

std::vector<std::int64_t> shape_of(const tensor& t) {
  return {t.dims().dims().begin(), t.dims().dims().end()};
}

} // namespace

values upcycling(const options& o, const values& in) {
  o.allow({"E", "granularity", "activation", "router"});
  const auto router = o.object("router");
  const auto chosen = read_router(router);
  const upcycle_options wanted{o.integer("E", 1), o.integer("granularity", 1), chosen.experts_per_token,
                               chosen.name == "softmax_post"
                                 || (router.has("renormalise") && router.flag("renormalise"))};
  const auto activation = o.text("activation");
  const auto names = expert_tensor_names(activation, in);
  std::vector<named_tensor> dense;
  for (const auto& name : names) dense.push_back({name, to_tensor(need_numbers(in, name, 2))});
  const auto made = taken(upcycle(wanted, to_tensor(need_numbers(in, "Wg", 2)), dense));
  values out;
  out["Wg"] = numbers(shape_of(made.router), made.router.as<double>());
  for (const auto& expert : made.experts)
    for (const auto& t : expert) {
      auto& v = out[t.name];
      v.shape = shape_of(t.value);
      v.shape.insert(v.shape.begin(), wanted.experts);
      v.numbers.insert(v.numbers.end(), t.value.as<double>().begin(), t.value.as<double>().end());
    }
  values layer_input = out;
  layer_input["x"] = need_numbers(in, "x", 2);
  layer_model model({router, activation, std::nullopt, std::nullopt}, layer_input);
  auto produced = model.run(false);
  out["experts"] = produced.at("experts");
  out["y"] = produced.at("y");
  return out;
}

values distillation(const options& o, const values& in) {
  o.allow({"alpha", "temperature"});
  const auto& student = need_numbers(in, "student", 2);
  const auto& teacher = need_numbers(in, "teacher", 2);
  need_shape(teacher, "teacher", student.shape);
  const auto view = [](const value& v) {
    return matrix_view<double>{v.numbers.data(), v.shape[0], v.shape[1]};
  };
  const auto r = taken(distil<double>(view(student), view(teacher), need_integers(in, "labels", 1).integers,
                                      o.number("alpha"), o.number("temperature")));
  return {{"cross_entropy", scalar(r.cross_entropy)},
          {"kl", scalar(r.kl)},
          {"total", scalar(r.total)},
          {"grad_student", numbers(student.shape, r.gradient)}};
}

namespace {

/// ‖FFN_e(x_t)‖₂ of every slot, each expert on its tokens.
std::vector<double> output_norms(const std::string& activation, const values& in,
                                 const std::vector<std::int32_t>& experts, std::int64_t slots,
                                 std::int64_t expert_count) {
  const auto names = expert_tensor_names(activation, in);
  const auto& x = need_numbers(in, "x", 2);
  if (x.shape[0] * slots != static_cast<std::int64_t>(experts.size())
      || need_numbers(in, names.front(), 3).shape[0] != expert_count)
    throw case_error("tokens or experts of the inputs differ");
  const auto rows = to_tensor(x);
  std::vector<double> out(experts.size());
  for (std::int64_t e = 0; e < expert_count; ++e) {
    std::vector<std::int32_t> tokens;
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < experts.size(); ++i)
      if (experts[i] == e) {
        tokens.push_back(static_cast<std::int32_t>(static_cast<std::int64_t>(i) / slots));
        places.push_back(i);
      }
    const auto n = static_cast<std::int64_t>(tokens.size());
    const auto result = make_expert(activation, in, names, e)
                          ->forward(
                            {rows, tensor::of<std::int32_t>({n}, tokens), 0, static_cast<std::uint32_t>(n)},
                            false);
    const auto y = result.output.as<double>();
    const auto width = static_cast<std::size_t>(x.shape[1]);
    for (std::size_t i = 0; i < places.size(); ++i) {
      double square = 0;
      for (const auto v : y.subspan(i * width, width)) square += v * v;
      out[places[i]] = std::sqrt(square);
    }
  }
  return out;
}

} // namespace

values pruning(const options& o, const values& in) {
  o.allow({"method", "E", "remove", "activation"});
  const auto method = o.text("method");
  const auto count = o.integer("E", 1);
  const auto& chosen = need_integers(in, "experts", 2);
  const auto& gates = need_numbers(in, "gates", 2);
  need_shape(gates, "gates", chosen.shape);
  std::vector<std::int32_t> experts;
  for (const auto e : chosen.integers) {
    if (e < 0 || e >= count) throw case_error("an expert is out of range");
    experts.push_back(static_cast<std::int32_t>(e));
  }
  std::vector<double> score;
  if (method == "reap")
    score = score_by_reap(experts, gates.numbers,
                          output_norms(o.text("activation"), in, experts, chosen.shape[1], count), count);
  else if (method == "least_used")
    score = score_by_use(experts, count);
  else if (method == "gate_mass")
    score = score_by_gate_mass(experts, gates.numbers, count);
  else
    throw case_error("unknown method '" + method + "'");
  const auto cut = taken(prune(score, o.integer("remove", 0)));
  return {{"score", numbers({count}, score)},
          {"removed", integers({static_cast<std::int64_t>(cut.removed.size())}, cut.removed)},
          {"survivors", integers({static_cast<std::int64_t>(cut.survivors.size())}, cut.survivors)}};
}

values placing(const options& o, const values& in) {
  const auto stage = o.text("stage");
  if (stage == "pack") {
    o.allow({"stage", "bins"});
    const auto& weight = need_numbers(in, "weight", 1);
    const auto p = taken(pack(weight.numbers, o.integer("bins", 1)));
    return {{"bin", integers(weight.shape, p.bin)}, {"rank", integers(weight.shape, p.rank)}};
  }
  const auto& load = need_numbers(in, "load", 1);
  const auto experts = load.shape[0];
  const auto slots = o.integer("slots", 1);
  if (stage == "replicate") {
    o.allow({"stage", "slots"});
    const auto r = taken(replicate(load.numbers, slots));
    return {{"expert_per_slot", integers({slots}, r.expert_per_slot)},
            {"rank", integers({slots}, r.rank)},
            {"copies", integers({experts}, r.copies)}};
  }
  if (stage != "place") throw case_error("unknown stage '" + stage + "'");
  o.allow({"stage", "slots", "groups", "nodes", "devices"});
  const auto devices = o.integer("devices", 1);
  const auto where = taken(
    place(load.numbers, {slots, o.integer("groups", 1), o.integer("nodes", 1), devices}));
  std::vector<std::int64_t> copies(load.numbers.size());
  for (const auto e : where) ++copies[e];
  return {{"expert_per_slot", integers({slots}, where)},
          {"copies", integers({experts}, copies)},
          {"max_over_mean", scalar(device_imbalance(load.numbers, where, devices))}};
}

} // namespace troupe::conformance
