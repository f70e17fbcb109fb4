#include "tests/support/process.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>

namespace troupe::test {

namespace fs = std::filesystem;

namespace {

/// State letter and parent of a process, from /proc/<pid>/stat: `pid (name) state parent …`, where the name
/// may hold anything.
struct process_entry {
  char state = 'X';
  pid_t parent = 0;
};

process_entry entry_of(pid_t pid) {
  process_entry entry;
  const auto text = read_file("/proc/" + std::to_string(pid) + "/stat");
  const auto name_end = text.rfind(')');
  if (name_end == std::string::npos) return entry;
  std::istringstream fields(text.substr(name_end + 1));
  fields >> entry.state >> entry.parent;
  return entry;
}

} // namespace

std::vector<pid_t> children_of(pid_t pid) {
  std::vector<pid_t> children;
  std::error_code ignored;
  for (const auto& item : fs::directory_iterator("/proc", ignored)) {
    const auto name = item.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const auto candidate = static_cast<pid_t>(std::stol(name));
    if (entry_of(candidate).parent == pid) children.push_back(candidate);
  }
  return children;
}

bool is_running(pid_t pid) {
  const auto state = entry_of(pid).state;
  return state != 'X' && state != 'x' && state != 'Z';
}

std::vector<std::string> command_line_of(pid_t pid) {
  std::vector<std::string> words;
  std::istringstream text(read_file("/proc/" + std::to_string(pid) + "/cmdline"));
  for (std::string word; std::getline(text, word, '\0');) words.push_back(word);
  return words;
}

temporary_directory::temporary_directory() {
  auto pattern = (fs::temp_directory_path() / "troupe-test-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr)
    throw std::runtime_error("cannot make a temporary directory: " + pattern);
  path_ = pattern;
}

temporary_directory::~temporary_directory() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string temporary_directory::write(const std::string& name, const std::string& content) const {
  const auto path = *this / name;
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

} // namespace troupe::test
