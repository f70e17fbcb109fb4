#pragma once

#include "tests/support/process.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace troupe::test {

using variables = std::vector<std::pair<std::string, std::string>>;

/// Generous: a failing test meets it, a passing one never comes near.
constexpr milliseconds patience{20000};

/// `troupe ARGUMENTS… --node-program FAKE`, with FAKE_HEAD and so on in the environment.
std::vector<std::string> with_fake_node(std::vector<std::string> arguments);
process start_troupe(const std::vector<std::string>& arguments, const variables& environment = {},
                     bool terminal = false);
finished_process run_troupe(const std::vector<std::string>& arguments, const variables& environment = {});
/// The program as it is, without a node program of ours.
finished_process run_plain(const std::vector<std::string>& arguments);

/// Waits until the launcher has that many children, and returns them.
std::vector<pid_t> wait_for_children(const process& launcher, std::size_t count);
/// Of those, the one whose command line has the word.
pid_t child_with(const std::vector<pid_t>& children, const std::string& word);
/// Waits until none of them runs.
bool all_gone(const std::vector<pid_t>& processes);

/// What a fake node wrote into FAKE_NODE_RECORD.
nlohmann::json record_of(const temporary_directory& records, const std::string& name);
/// The word after a flag on a recorded command line; empty when the flag is not there.
std::string value_of(const nlohmann::json& record, const std::string& flag);

/// Whole lines of a text.
std::vector<std::string> lines_of(const std::string& text);

} // namespace troupe::test
