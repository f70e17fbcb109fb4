#include "actors/host/core.hpp"

#include "actors/plan_check.hpp"
#include "messages/check.hpp"

#include <algorithm>
#include <memory>
#include <utility>

namespace troupe {

namespace {

constexpr std::uint64_t never = ~std::uint64_t{0};

/// The coordinator's first placement, in force from step 0 on. Whoever lives somewhere under it was born
/// there: this, not the step, tells new experts from moved ones, since plan 1 may come before plan 0.
constexpr std::uint64_t first_placement = 1;

} // namespace

host_core::host_core(host_settings settings) : settings_(settings) {
  // nop
}

owner_id host_core::owner_at(std::size_t index) const {
  return {static_cast<std::uint16_t>(index / settings_.experts),
          static_cast<std::uint16_t>(index % settings_.experts), 0};
}

std::vector<owner_id> host_core::mine(const plan& p) const {
  std::vector<owner_id> result;
  for (std::size_t i = 0; i < p.placement.size(); ++i)
    if (p.placement[i] == settings_.node) result.push_back(owner_at(i));
  return result;
}

std::vector<owner_id> host_core::experts() const {
  std::vector<owner_id> result;
  for (auto& r : residents_) result.push_back(r.first);
  return result;
}

std::vector<owner_id> host_core::leaving() const {
  std::vector<owner_id> result;
  for (auto& r : residents_)
    if (r.second.end != never) result.push_back(r.first);
  return result;
}

void host_core::forward_to_experts(const message& m, outbox& out) {
  for (auto& r : residents_) out.send(expert_address(settings_.node, r.first), m);
}

// -- plans --------------------------------------------------------------------

/// Buries experts whose successors are proven, marks those that leave with this plan, and bears new ones.
void host_core::settle_residents(const plan& p, const std::vector<owner_id>& here, outbox& out) {
  for (auto i = residents_.begin(); i != residents_.end();) {
    if (i->second.end != never && i->second.end + 2 <= p.step) {
      out.experts.push_back({i->first, false, false});
      i = residents_.erase(i);
    } else {
      ++i;
    }
  }
  for (auto& [owner, time] : residents_) {
    if (std::ranges::binary_search(here, owner))
      time.begin = std::min(time.begin, p.step);
    else if (time.begin <= p.step) // a plan of the time before it came says nothing about its leaving
      time.end = std::min(time.end, p.step);
  }
  for (auto& owner : here)
    if (residents_.emplace(owner, residency{p.step, never}).second)
      out.experts.push_back({owner, true, settings_.fresh_start && p.placement_version == first_placement});
}

void host_core::receive(const plan& p, outbox& out) {
  accept(std::make_shared<const plan>(p), out);
}

void host_core::accept(std::shared_ptr<const plan> permission, outbox& out) {
  const auto& p = *permission;
  if (!term_holds(p.term)) return;
  if (auto defect = defect_of(p, settings_.experts))
    return out.send(coordinator_address(), refusal{{p.term, p.step, 0, 0}, *defect});
  // Plans may overtake each other, but a plan proves that all are done with the steps two before it.
  if (!steps_.empty() && p.step + 2 <= steps_.rbegin()->first) return;
  std::erase_if(steps_, [&](auto& s) { return s.first + 2 <= p.step; });
  if (auto known = steps_.find(p.step); known != steps_.end()) {
    report_applied(known->second, out);
  } else {
    auto here = mine(p);
    settle_residents(p, here, out);
    steps_.emplace(p.step, step_book{p.step, p.last, std::move(here), {}, {}, {}});
    if (p.step > 0)
      if (auto before = steps_.find(p.step - 1); before != steps_.end()) settle_report(before->second, out);
  }
  const expert_plan shared{std::move(permission)};
  for (auto& [owner, time] : residents_)
    if (time.begin <= p.step) out.send(expert_address(settings_.node, owner), shared);
  for (auto& m : std::exchange(held_, {})) receive(m, out);
  for (auto& m : std::exchange(early_states_, {})) receive(m, out);
}

void host_core::receive(const commit& c, outbox& out) {
  if (term_holds(c.term)) forward_to_experts(c, out);
}

void host_core::receive(const applied& m, outbox& out) {
  auto i = steps_.find(m.step);
  if (i == steps_.end()) return;
  auto& book = i->second;
  const auto repeated = book.complete();
  for (auto& owner : m.owners)
    if (book.applied_by.insert(owner).second) {
      book.times.forward_us += m.forward_us;
      book.times.backward_us += m.backward_us;
      book.times.apply_us += m.apply_us;
    }
  if (repeated) return report_applied(book, out);
  book.unreported = book.complete();
  settle_report(book, out);
}

/// A report waits for the next step's first bundle home and leaves with it, unless there may be none.
void host_core::settle_report(step_book& book, outbox& out) {
  if (!book.unreported) return;
  const auto next = steps_.find(book.step + 1);
  const auto comes = next == steps_.end()
                     || (!next->second.answered && std::ranges::includes(next->second.mine, book.mine));
  if (book.last || !comes) report_applied(book, out);
}

void host_core::report_applied(step_book& book, outbox& out) {
  if (!book.complete()) return;
  book.unreported = false;
  out.send(optimizer_address(), report_of(book));
}

applied host_core::report_of(const step_book& book) const {
  const auto& t = book.times;
  return {settings_.term, book.step, book.mine, t.forward_us, t.backward_us, t.apply_us};
}

void host_core::receive(const norm_report& m, outbox& out) {
  auto book = steps_.find(m.step);
  if (book == steps_.end()) return;
  for (auto& entry : m.norms) book->second.norms[entry.owner] = entry.squared;
  report_norms(book->second, out);
}

void host_core::report_norms(const step_book& book, outbox& out) {
  if (book.norms.size() < book.mine.size()) return;
  norm_report report{settings_.term, book.step, {}};
  for (auto& [owner, squared] : book.norms) report.norms.push_back({owner, squared});
  out.send(optimizer_address(), std::move(report));
}

// -- bundles ------------------------------------------------------------------

/// A bundle names exactly the experts that the plan places here, of its layer.
bool host_core::bundle_is_ours(const dispatch& m, const step_book& book) const {
  std::vector<owner_id> expected;
  for (auto& owner : book.mine)
    if (owner.layer == m.id.layer) expected.push_back(owner);
  return std::ranges::equal(m.experts, expected, {}, &expert_span::owner);
}

void host_core::open(const work_id& id, replica_id replica, const std::vector<owner_id>& owners,
                     std::map<work_id, assembly>& where) {
  assembly a{replica, {}, static_cast<std::uint32_t>(owners.size())};
  for (auto& owner : owners) a.parts.push_back({owner, {}});
  where.emplace(id, std::move(a));
}

bool host_core::complete(const work_id& id, const owner_id& owner, const tensor& value,
                         std::map<work_id, assembly>& where) {
  auto i = where.find(id);
  if (i == where.end()) return false; // an answer to a repeat that another answer has settled
  auto part = std::ranges::find(i->second.parts, owner, &owner_tensor::owner);
  if (part == i->second.parts.end() || part->value.present()) return false;
  part->value = value;
  return --i->second.missing == 0;
}

void host_core::receive(const dispatch& m, outbox& out) {
  if (!term_holds(m.id.term))
    return out.send(router_address(m.replica), refusal{m.id, "[host] old term", true});
  if (m.permission) {
    TROUPE_CHECK(m.permission->term == m.id.term && m.permission->step == m.id.step,
                 "a bundle with the plan of another step");
    if (!steps_.contains(m.id.step)) accept(m.permission, out);
  }
  auto book = steps_.find(m.id.step);
  if (book == steps_.end()) {
    const auto newest = steps_.empty() ? 0 : steps_.rbegin()->first;
    if (m.id.step < newest)
      return out.send(router_address(m.replica), refusal{m.id, "[host] the step is over", true});
    const auto same = [&](const dispatch& h) { return h.id == m.id; };
    if (std::ranges::none_of(held_, same)) held_.push_back(m);
    return;
  }
  if (!bundle_is_ours(m, book->second))
    return out.send(router_address(m.replica),
                    refusal{m.id, "[host] the bundle names other experts than the plan"});
  if (forward_.contains(m.id)) return; // a repeat, the answer is on its way
  std::vector<owner_id> owners;
  for (auto& span : m.experts) owners.push_back(span.owner);
  open(m.id, m.replica, owners, forward_);
  for (auto& span : m.experts)
    out.send(expert_address(settings_.node, span.owner),
             expert_forward{m.id, span.owner, m.keep, m.rows, m.indices, span.begin, span.end});
}

void host_core::receive(const expert_output& m, outbox& out) {
  if (!complete(m.id, m.owner, m.value, forward_)) return;
  auto done = forward_.extract(m.id);
  combine answer{m.id, settings_.node, std::move(done.mapped().parts), {}};
  if (auto book = steps_.find(m.id.step); book != steps_.end()) book->second.answered = true;
  const auto unreported = [](auto& s) { return s.second.unreported; };
  if (auto book = std::ranges::find_if(steps_, unreported); book != steps_.end()) {
    book->second.unreported = false;
    answer.done = report_of(book->second);
  }
  out.send(router_address(done.mapped().replica), std::move(answer));
}

void host_core::receive(const gradient& m, outbox& out) {
  if (!term_holds(m.id.term))
    return out.send(router_address(m.replica), refusal{m.id, "[host] old term", true});
  auto book = steps_.find(m.id.step);
  if (book == steps_.end())
    return out.send(router_address(m.replica), refusal{m.id, "[host] the step is over", true});
  if (backward_.contains(m.id)) return; // a repeat, the answer is on its way
  std::vector<owner_id> owners;
  for (auto& owner : book->second.mine)
    if (owner.layer == m.id.layer) owners.push_back(owner);
  if (m.input_wanted) open(m.id, m.replica, owners, backward_);
  for (auto& owner : owners)
    out.send(expert_address(settings_.node, owner),
             expert_backward{m.id, owner, m.input_wanted, m.rows, m.gates});
}

void host_core::receive(const expert_input_gradient& m, outbox& out) {
  if (!complete(m.id, m.owner, m.value, backward_)) return;
  auto done = backward_.extract(m.id);
  out.send(router_address(done.mapped().replica),
           input_gradient{m.id, settings_.node, std::move(done.mapped().parts)});
}

void host_core::receive(const refusal& m, outbox& out) {
  auto drop = [&](std::map<work_id, assembly>& where) {
    if (auto i = where.find(m.id); i != where.end()) {
      out.send(router_address(i->second.replica), m);
      where.erase(i);
    }
  };
  drop(forward_);
  drop(backward_);
}

// -- states -------------------------------------------------------------------

void host_core::receive(const owner_state& m, outbox& out) {
  if (!term_holds(m.term)) return;
  if (residents_.contains(m.owner)) {
    out.send(expert_address(settings_.node, m.owner), m);
    return;
  }
  if (!steps_.empty() && m.version + 2 <= steps_.rbegin()->first)
    return; // of an earlier stay, long taken over
  // Its plan is not here yet. A state that comes twice is kept once.
  std::erase_if(early_states_, [&](const owner_state& s) { return s.owner == m.owner; });
  early_states_.push_back(m);
}

void host_core::receive(const state_received& m, outbox& out) {
  if (term_holds(m.term) && residents_.contains(m.owner))
    out.send(expert_address(settings_.node, m.owner), m);
}

void host_core::receive(const state_request& m, outbox& out) {
  if (term_holds(m.term)) forward_to_experts(m, out);
}

} // namespace troupe
