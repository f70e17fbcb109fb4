#include "actors/shell/post_office.hpp"

#include "messages/check.hpp"
#include "messages/encoding.hpp"

#include <caf/actor_registry.hpp>
#include <caf/disposable.hpp>
#include <caf/send.hpp>

#include <chrono>
#include <mutex>
#include <random>
#include <utility>

namespace troupe {

namespace {

/// Messages that never leave a node are never held back.
template <class Message>
constexpr bool is_local =
  one_of<Message, expert_plan, expert_forward, expert_backward, expert_output, expert_input_gradient>;

std::chrono::milliseconds random_delay(std::uint32_t max_ms) {
  thread_local std::minstd_rand numbers{std::random_device{}()};
  return std::chrono::milliseconds(numbers() % (max_ms + 1));
}

template <class Map, class Key>
auto lookup(const Map& map, const Key& key) {
  auto i = map.find(key);
  return i == map.end() ? typename Map::mapped_type{} : i->second;
}

} // namespace

post_office::post_office(std::uint32_t delay_ms_max) : delay_ms_max_(delay_ms_max) {
  // nop
}

void post_office::enter_optimizer(optimizer_actor a) {
  std::unique_lock lock(mutex_);
  optimizer_ = std::move(a);
}

void post_office::enter_loader(loader_actor a) {
  std::unique_lock lock(mutex_);
  loader_ = std::move(a);
}

void post_office::enter_coordinator(coordinator_actor a) {
  std::unique_lock lock(mutex_);
  coordinator_ = std::move(a);
  coordinator_.home_system().registry().put(send_failure_listener, coordinator_);
}

void post_office::enter_router(replica_id replica, router_actor a) {
  std::unique_lock lock(mutex_);
  routers_[replica] = std::move(a);
}

void post_office::enter_dense(std::uint16_t stage, dense_actor a) {
  std::unique_lock lock(mutex_);
  dense_[stage] = std::move(a);
}

void post_office::enter_host(node_id node, host_actor a) {
  std::unique_lock lock(mutex_);
  hosts_[node] = std::move(a);
}

void post_office::enter_expert(owner_id owner, expert_actor a) {
  std::unique_lock lock(mutex_);
  experts_[owner] = std::move(a);
}

void post_office::forget_expert(owner_id owner) {
  std::unique_lock lock(mutex_);
  experts_.erase(owner);
}

void post_office::forget_host(node_id node) {
  std::unique_lock lock(mutex_);
  hosts_.erase(node);
}

void post_office::close() {
  std::unique_lock lock(mutex_);
  optimizer_ = nullptr;
  loader_ = nullptr;
  if (coordinator_) coordinator_.home_system().registry().erase(send_failure_listener);
  coordinator_ = nullptr;
  routers_.clear();
  dense_.clear();
  hosts_.clear();
  experts_.clear();
}

std::vector<host_actor> post_office::hosts() const {
  std::shared_lock lock(mutex_);
  std::vector<host_actor> result;
  for (auto& h : hosts_) result.push_back(h.second);
  return result;
}

template <class Contract, class Handle>
void post_office::hand_over(const Handle& to, message& body) const {
  if (!to) return;
  std::visit(
    [&](auto& m) {
      using type = std::decay_t<decltype(m)>;
      if constexpr (Contract::template accepts<type>) {
        if (delay_ms_max_ > 0 && !is_local<type>)
          caf::delayed_anon_send(to, random_delay(delay_ms_max_), std::move(m));
        else
          caf::anon_send(to, std::move(m));
      } else {
        programming_error("post_office", "a core sent a message that its receiver's contract does not take");
      }
    },
    body);
}

void post_office::deliver(envelope letter) const {
  std::shared_lock lock(mutex_);
  const auto& to = letter.to;
  switch (to.who) {
    case role::optimizer: return hand_over<optimizer_contract>(optimizer_, letter.body);
    case role::loader: return hand_over<loader_contract>(loader_, letter.body);
    case role::coordinator: return hand_over<coordinator_contract>(coordinator_, letter.body);
    case role::router: return hand_over<router_contract>(lookup(routers_, to.index), letter.body);
    case role::dense: return hand_over<dense_contract>(lookup(dense_, to.index), letter.body);
    case role::host: return hand_over<host_contract>(lookup(hosts_, to.index), letter.body);
    case role::expert: return hand_over<expert_contract>(lookup(experts_, to.owner), letter.body);
  }
}

} // namespace troupe
