// Times one expert's work on one thread, and the expert part of whole steps: troupe-expert-bench [f64]
// [activation]

#include "model/experts/mlp_expert.hpp"
#include "model/random.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

using namespace troupe;

namespace {

/// Median of `repeats` timings of f(), in µs.
template <class F>
double median_us(int repeats, F&& f) {
  std::vector<double> times;
  for (int i = 0; i < repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    f();
    times.push_back(
      std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count());
  }
  std::ranges::nth_element(times, times.begin() + repeats / 2);
  return times[static_cast<std::size_t>(repeats) / 2];
}

/// One step's inputs: pixels, two experts per row, gates and output gradients.
struct step_inputs {
  static constexpr std::uint32_t experts = 4;

  step_inputs(std::int64_t rows, dtype type) : pixels(tensor::allocate(dtype::u8, {rows, 784})) {
    const philox_stream random(1, "bench");
    std::uint64_t draw = 0;
    for (auto& p : pixels.mutable_as<std::uint8_t>())
      p = static_cast<std::uint8_t>(random.word(draw++) & 255);
    std::vector<std::vector<std::int32_t>> chosen(experts);
    for (std::int64_t t = 0; t < rows; ++t) {
      const auto first = random.below(draw++, experts);
      const auto second = (first + 1 + random.below(draw++, experts - 1)) % experts;
      chosen[first].push_back(static_cast<std::int32_t>(t));
      chosen[second].push_back(static_cast<std::int32_t>(t));
    }
    std::vector<std::int32_t> all;
    for (const auto& list : chosen) {
      begins.push_back(static_cast<std::uint32_t>(all.size()));
      all.insert(all.end(), list.begin(), list.end());
    }
    begins.push_back(static_cast<std::uint32_t>(all.size()));
    indices = tensor::of<std::int32_t>({static_cast<std::int64_t>(all.size())}, all);
    const auto numbers = [&](shape dims) {
      auto result = tensor::allocate(type, dims);
      if (type == dtype::f32)
        random.fill_uniform(result.mutable_as<float>(), 1 << 20);
      else
        random.fill_uniform(result.mutable_as<double>(), 1 << 20);
      return result;
    };
    gradient = numbers({rows, 10});
    gates = numbers({static_cast<std::int64_t>(all.size())});
  }

  row_selection selection(std::uint32_t expert) const {
    return {pixels, indices, begins[expert], begins[expert + 1]};
  }

  tensor pixels, indices, gradient, gates;
  std::vector<std::uint32_t> begins;
};

void bench(const configuration& config, std::int64_t rows, int repeats) {
  const step_inputs in(rows, config.model.precision == "f32" ? dtype::f32 : dtype::f64);
  model_shape widths;
  widths.input_width = 784;
  widths.output_width = 10;
  std::vector<std::unique_ptr<expert_module>> experts;
  for (std::uint16_t e = 0; e < step_inputs::experts; ++e)
    experts.push_back(make_mlp_expert(config, widths, {0, e, 0}).value());
  std::vector<expert_module::forward_result> results(step_inputs::experts);
  std::vector<std::unique_ptr<gradient_sum>> sums(step_inputs::experts);
  update step{1e-3, 1, 0};
  const auto forward = [&](std::uint32_t e) { results[e] = experts[e]->forward(in.selection(e), true); };
  const auto backward = [&](std::uint32_t e) {
    experts[e]->backward(*results[e].tape, in.gradient, in.gates, false);
  };
  const auto fold = [&](std::uint32_t e) {
    sums[e] = experts[e]->new_sum();
    experts[e]->fold_tape(*sums[e], *results[e].tape);
    results[e].tape.reset();
  };
  const auto apply = [&](std::uint32_t e) {
    experts[e]->apply(*sums[e], step);
    sums[e].reset();
  };
  const auto all = [&](auto&& f) {
    for (std::uint32_t e = 0; e < step_inputs::experts; ++e) f(e);
  };
  std::vector<double> phases[4];
  const auto timed = [&](int phase, auto&& f) { phases[phase].push_back(median_us(1, [&] { all(f); })); };
  const auto total = median_us(repeats, [&] {
    timed(0, forward);
    timed(1, backward);
    timed(2, fold);
    timed(3, apply);
    ++step.index;
  });
  double us[4];
  for (int i = 0; i < 4; ++i) {
    std::ranges::nth_element(phases[i], phases[i].begin() + repeats / 2);
    us[i] = phases[i][static_cast<std::size_t>(repeats) / 2] / step_inputs::experts;
  }
  std::printf("%6lld %11.1f %11.1f %11.1f %11.1f %11.1f %14.1f\n", static_cast<long long>(rows),
              2.0 * static_cast<double>(rows) / step_inputs::experts, us[0], us[1], us[2], us[3],
              static_cast<double>(rows) / total * 1e3);
}

} // namespace

int main(int count, char** arguments) {
  configuration config;
  for (int i = 1; i < count; ++i) {
    const std::string word = arguments[i];
    (word == "f64" ? config.model.precision : config.model.expert_activation) = word;
  }
  std::printf("784 to 4 experts of %lld (%s, %s) to 10, top-2, %s; one thread; kernels %s\n",
              static_cast<long long>(config.model.expert_hidden_size), config.model.expert_activation.c_str(),
              config.model.precision.c_str(), config.optimizer.name.c_str(),
              best_kernels<float>().name.data());
  std::printf("%6s %11s %11s %11s %11s %11s %14s\n", "batch", "rows/expert", "forward us", "backward us",
              "fold us", "apply us", "k samples/s");
  bench(config, 128, 2000);
  bench(config, 128, 2000);
  bench(config, 256, 1000);
  bench(config, 1024, 400);
  return 0;
}
