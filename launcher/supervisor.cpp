#include "launcher/supervisor.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace troupe::launcher {

namespace {

bool ignored(int signal) {
  struct sigaction action {};
  return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

sigset_t handled_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGCHLD}) ::sigaddset(&set, signal);
  for (const int signal : {SIGHUP, SIGTSTP}) // nohup and shells without job control ask us to ignore these
    if (!ignored(signal)) ::sigaddset(&set, signal);
  return set;
}

} // namespace

supervisor::supervisor() {
  ::signal(SIGCHLD, SIG_DFL); // whoever started us may ignore it: then nobody could collect our children
  const auto set = handled_signals();
  ::sigprocmask(SIG_BLOCK, &set, &previous_mask_);
  signals_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

supervisor::~supervisor() {
  children_.clear(); // kills what still runs
  ::close(signals_);
  ::sigprocmask(SIG_SETMASK, &previous_mask_, nullptr);
}

expected<child*> supervisor::start(const child_options& options) {
  if (stopping_)
    return fail(error_code::unavailable,
                "[launcher] cannot start " + options.name + ": the run is being stopped");
  auto started = child::start(options);
  if (!started) return tl::unexpected(started.error());
  return &children_.emplace_back(std::move(*started));
}

// ---- the loop -------------------------------------------------------------------------------------------------------

void supervisor::run(listener& listener) {
  while (any_running()) {
    wait_for_something();
    read_signals(listener);
    // Ends first: when a node dies, its end explains what the head is about to say. By index, since a
    // listener may start more.
    std::vector<child*> ended;
    for (auto& each : children_)
      if (each.collect()) ended.push_back(&each);
    for (std::size_t index = 0; index < children_.size(); ++index) {
      children_[index].read_available();
      hand_over_events(children_[index], listener);
    }
    for (auto* each : ended) listener.on_end(*each);
    enforce_deadlines();
  }
}

void supervisor::wait_for_something() {
  std::vector<pollfd> polled = {{signals_, POLLIN, 0}};
  for (const auto& each : children_)
    for (int which = 0; which < 3; ++which)
      if (each.running() && each.descriptors()[which] >= 0)
        polled.push_back({each.descriptors()[which], POLLIN, 0});
  auto timeout = std::chrono::milliseconds(1000);
  for (const auto& deadline : {ask_at_, kill_at_})
    if (deadline)
      timeout = std::min(timeout, std::chrono::ceil<std::chrono::milliseconds>(*deadline - clock::now()));
  ::poll(polled.data(), polled.size(), static_cast<int>(std::max<std::int64_t>(0, timeout.count())));
}

void supervisor::hand_over_events(child& from, listener& listener) {
  std::string line;
  while (from.next_line(line)) {
    if (line.empty()) continue;
    if (const auto what = parse_event(line))
      listener.on_event(from, *what);
    else
      listener.on_broken_event(from, what.error());
  }
  if (!from.events_sound())
    listener.on_broken_event(
      from, error{error_code::over_limit, "[events] line of " + from.name() + ": longer than "
                                            + std::to_string(line_buffer::line_bytes_max) + " bytes"});
}

bool supervisor::any_running() const {
  return std::any_of(children_.begin(), children_.end(), [](const child& each) { return each.running(); });
}

// ---- signals and deadlines ------------------------------------------------------------------------------------------

void supervisor::read_signals(listener& listener) {
  signalfd_siginfo info;
  while (::read(signals_, &info, sizeof info) == static_cast<ssize_t>(sizeof info))
    handle_signal(static_cast<int>(info.ssi_signo), listener);
}

void supervisor::handle_signal(int signal, listener& listener) {
  if (signal == SIGCHLD) return; // run() looks at all children anyway
  if (signal == SIGTSTP) return suspend(listener);
  if (interrupted_) {
    if (signal == SIGINT) send_to_all(SIGKILL);
    return;
  }
  if (!stopping_ && listener.absorbs_interrupt()) return;
  interrupted_ = true;
  stop(interrupt_grace);
  listener.on_interrupt();
}

void supervisor::suspend(listener& listener) {
  listener.on_suspend();
  send_to_all(SIGSTOP);
  ::raise(SIGSTOP); // until someone continues us
  send_to_all(SIGCONT);
}

void supervisor::stop(std::chrono::milliseconds grace) {
  const auto deadline = clock::now() + grace;
  kill_at_ = std::min(kill_at_.value_or(deadline), deadline);
  ask_at_.reset();
  if (stopping_) return;
  stopping_ = true;
  send_to_all(SIGTERM);
  send_to_all(SIGCONT); // a stopped process could not answer
}

void supervisor::stop_after(std::chrono::milliseconds patience) {
  const auto at = clock::now() + patience;
  if (!stopping_) ask_at_ = std::min(ask_at_.value_or(at), at);
}

void supervisor::enforce_deadlines() {
  const auto now = clock::now();
  if (kill_at_ && now >= *kill_at_) {
    send_to_all(SIGKILL);
    kill_at_.reset();
  }
  if (ask_at_ && now >= *ask_at_) stop(failure_grace);
}

void supervisor::send_to_all(int signal) {
  for (auto& each : children_) each.send(signal);
}

} // namespace troupe::launcher
