#include "model/memory.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sys/resource.h>
#include <unistd.h>

using namespace troupe;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

TEST_CASE("experts that the memory does not hold are refused with their bytes and flags to lower", "[unit]") {
  model_shape widths;
  widths.input_width = 1024;
  widths.output_width = 16;
  configuration config;
  config.model.experts = 4;
  config.model.expert_hidden_size = 1 << 20;
  config.model.expert_bias = false;
  config.optimizer.name = "adamw";
  // W1 [2^20, 1024] and W2 [16, 2^20], four bytes a number; adamw has two moments. Headers of states are
  // small beside them.
  const std::uint64_t parameters = std::uint64_t{4} * 4 * (1 << 20) * 1040;
  const auto refusal_of = [&](const memory_use& use, std::uint64_t bytes) {
    const auto result = check_experts_fit(config, widths, use, bytes);
    return result ? std::string() : result.error().text;
  };
  const auto refusal = [&](bool training, std::uint64_t bytes) {
    return refusal_of({training, false, false}, bytes);
  };
  const auto nearly = parameters / 1000;
  CHECK(refusal(true, 4 * parameters + nearly).empty());
  CHECK(refusal(false, 3 * parameters + nearly).empty());
  CHECK_THAT(refusal(true, 4 * parameters - 1),
             StartsWith("--expert-hidden-size: got 1048576 with 4 experts, at least ")
               && ContainsSubstring("bytes of parameters, moments and gradients, limit "
                                    + std::to_string(4 * parameters - 1) + " bytes")
               && ContainsSubstring("fewer --num-experts"));
  CHECK_FALSE(refusal(false, 3 * parameters - 1).empty());
  CHECK_THAT(refusal_of({true, false, true}, 4 * parameters - 1),
             ContainsSubstring(" bytes, the memory of this machine; ")
               && ContainsSubstring("or --listen for nodes on other machines"));
  CHECK(refusal_of({true, false, true}, 4 * parameters + nearly).empty());
  for (const bool nodes : {false, true}) { // parameters and moments twice, the gradients are gone by then
    CHECK(refusal_of({true, true, nodes}, 6 * parameters + nearly).empty());
    CHECK_THAT(refusal_of({true, true, nodes}, 6 * parameters - 1),
               ContainsSubstring("bytes of parameters and moments, twice at the end for --save or"));
  }
  config.model.shared_experts = 1;
  CHECK_THAT(refusal(true, 1000), ContainsSubstring("--num-shared-experts"));
  config.model.expert_kind = "own";
  CHECK(refusal(true, 0).empty());
}

TEST_CASE("a limit of the address space lowers the memory that a process may use", "[unit]") {
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_AS, &before) == 0);
  const auto physical = static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES))
                        * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  auto lower = before;
  lower.rlim_cur = physical / 2;
  REQUIRE(::setrlimit(RLIMIT_AS, &lower) == 0);
  const auto seen = usable_memory();
  REQUIRE(::setrlimit(RLIMIT_AS, &before) == 0);
  CHECK(seen == physical / 2);
}
