#include "actors/loader/core.hpp"

#include "model/data/batch_geometry.hpp"

#include <utility>

namespace troupe {

loader_core::loader_core(loader_settings settings, const data_source& data)
  : settings_(settings), data_(data) {
  // nop
}

void loader_core::receive(const fetch& m, outbox& out) {
  if (m.term != settings_.term) return;
  const key wanted{m.kind, m.ordinal, m.microbatch};
  prepare(wanted, out);
  if (m.replica == fetch::nobody) return;
  auto& e = cache_[wanted];
  if (e.here)
    answer(m, e.rows, out);
  else
    e.waiting.push_back(m);
  // Steps long past cannot be asked for again: plans run at most two ahead of what every router has finished.
  // What a job still writes to stays until the next call.
  std::erase_if(cache_, [&](auto& c) {
    return c.second.here && c.first.kind == m.kind && c.first.ordinal + 3 < m.ordinal;
  });
}

void loader_core::prepare(const key& k, outbox& out) {
  if (cache_.contains(k)) return;
  const auto cut = cut_of(settings_.schedule, data_.rows(k.kind), k.kind, k.ordinal);
  if (k.microbatch >= cut.microbatch_rows.size()) return; // the next step has fewer
  auto& e = cache_[k];
  const auto id = ++last_job_;
  jobs_[id] = k;
  out.post(
    {id, priority_of(0, 0), static_cast<double>(cut.microbatch_rows[k.microbatch]) * 1e3, [this, &e, k, cut] {
       e.rows = data_.read(k.kind, cut.epoch, cut.first + cut.offset_of(k.microbatch),
                           cut.microbatch_rows[k.microbatch]);
     }});
}

void loader_core::finished(std::uint64_t job, outbox& out) {
  auto i = jobs_.find(job);
  if (i == jobs_.end()) return;
  auto& e = cache_[i->second];
  jobs_.erase(i);
  e.here = true;
  for (auto& m : std::exchange(e.waiting, {})) answer(m, e.rows, out);
}

void loader_core::answer(const fetch& m, const samples& rows, outbox& out) {
  out.send(router_address(m.replica),
           batch{m.term, m.step, m.microbatch, rows.inputs, rows.labels, rows.ids});
}

} // namespace troupe
