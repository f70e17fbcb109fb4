#include "launcher/node/head.hpp"

#include "launcher/node/address_trial.hpp"
#include "launcher/node/interruption.hpp"
#include "launcher/node/layer_report.hpp"
#include "model/catch_failures.hpp"
#include "model/checkpoint/file.hpp"
#include "model/checkpoint/model_directory.hpp"
#include "model/data/batch_geometry.hpp"
#include "model/memory.hpp"
#include "model/message_sizes.hpp"

#include <caf/io/middleman.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <random>
#include <thread>

namespace troupe::node {

namespace {

constexpr owner_id dense_owner{0, owner_id::dense_part, 0};
constexpr std::uint16_t layers = 1;

std::uint64_t draw_64() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}

std::string hex(std::uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

/// A run's id is shown on terminals, typed into commands and part of JSON: it must be able to stand between
/// JSON's quotes as it is, in valid UTF-8 without control characters, quotes and backslashes.
expected<void> check_run_id(const std::string& id) {
  constexpr std::size_t bytes_max = 128;
  if (id.size() <= bytes_max && nlohmann::json::accept('"' + id + '"')) return {};
  return fail(error_code::usage, "--run-id: got " + std::to_string(id.size()) + " bytes, limit "
                                   + std::to_string(bytes_max)
                                   + " of printable UTF-8 without quotes and backslashes");
}

/// Runs what reads or writes the state of one owner, whose module may come from outside. An error names the
/// owner.
template <class F>
expected<void> with_state_of(owner_id owner, F&& f) {
  auto ok = catch_failures("module", std::forward<F>(f));
  if (!ok) ok.error().text = "[head] state of " + owner_name(owner) + ": " + ok.error().text;
  return ok;
}

} // namespace

head::head(head_options options, const extensions& more, event_writer& events)
  : options_(std::move(options)), more_(more), events_(events), factory_(standard_factory(more)) {
  term_ = {draw_64(), 1};
  if (options_.run_id.empty()) options_.run_id = hex(draw_64());
}

std::uint32_t head::nodes_expected() const {
  return std::max<std::uint32_t>(options_.run.nodes, options_.listens ? 1 : 0);
}

/// Whatever a part throws ends the run like any other failure: the actors go home.
expected<void> head::run() {
  if (auto ok = catch_failures("head", [this] { return prepare(); }); !ok) return ok;
  auto result = catch_failures("head", [this] {
    return hire().and_then([this] { return listen(); }).and_then([this] { return follow(); });
  });
  auto how = result || delivered_ ? parting::finished : parting::failed;
  if (interrupted()) {
    result = fail(error_code::unavailable, "the run was interrupted");
    how = parting::interrupted;
  }
  dismiss({how == parting::finished ? "the run is over" : result.error().text, how});
  return result;
}

// -- before the first actor ---------------------------------------------------

expected<void> head::prepare() {
  if (auto ok = validate(options_.config, options_.run, more_); !ok) return ok;
  if (auto ok = check_run_id(options_.run_id); !ok) return ok;
  if (options_.listens && !options_.listen.loopback() && !options_.insecure)
    return fail(error_code::usage,
                "--listen: got " + options_.listen.text()
                  + ", which other machines can reach without encryption; add --insecure if you trust "
                    "the network, or use 127.0.0.1");
  if (!options_.save_directory.empty())
    if (auto ok = check_model_target(options_.save_directory); !ok) return ok;
  if (!options_.predictions_file.empty())
    if (auto ok = check_file_target(options_.predictions_file); !ok) return ok;
  if (auto ok = load_model(); !ok) return ok;
  auto data = factory_.make_data(options_.config);
  if (!data) return tl::unexpected(data.error());
  data_ = std::move(*data);
  auto shape = shape_of(options_.config, *data_);
  if (!shape) return tl::unexpected(shape.error());
  shape_ = *shape;
  if (auto ok = check_sizes(); !ok) return ok;
  steps_per_epoch_ = steps_per_epoch(options_.config.schedule, data_->rows(step_kind::train));
  return {};
}

/// Of messages where there are nodes, and of memory unless nodes of other machines may take experts.
expected<void> head::check_sizes() const {
  const bool nodes = nodes_expected() > 0;
  if (nodes) {
    const auto travels = check_message_sizes(options_.config, shape_, data_->rows(step_kind::evaluate));
    if (!travels || options_.listens) return travels;
  }
  const bool collects = !options_.save_directory.empty() || options_.print_digest;
  return check_experts_fit(options_.config, shape_, {options_.training, collects, nodes},
                           nodes ? machine_memory() : usable_memory());
}

expected<void> head::load_model() {
  if (options_.model_directory.empty()) return {};
  auto directory = model_directory::open(options_.model_directory);
  if (!directory) return tl::unexpected(directory.error());
  auto parameters = directory->read_all();
  if (!parameters) return tl::unexpected(parameters.error());
  initial_ = std::move(*parameters);
  updates_before_ = directory->description().updates;
  trained_on_ = directory->description().config.data.name;
  options_.config.model = directory->description().config.model;
  options_.config.intra_op_threads = directory->description().config.intra_op_threads;
  return {};
}

// -- hiring -------------------------------------------------------------------

/// Adds to an error about a model's parameters what most likely lies behind it, if nothing was thrown.
error head::about_model(error e) const {
  if (e.code == error_code::internal) return e;
  const auto& data = options_.config.data.name;
  e.text += data == trained_on_
              ? "; the model was trained on rows or classes of another number"
              : "; the model was trained with --data " + trained_on_ + ", this is --data " + data;
  return e;
}

expected<void> head::start_from_model(dense_module& dense, std::map<owner_id, tensor>& states) {
  for (auto& [owner, values] : std::exchange(initial_, {})) {
    auto ok = with_state_of(owner, [&]() -> expected<void> {
      if (owner == dense_owner) return dense.set_parameters(values);
      auto expert = factory_.make_unset_expert(options_.config, shape_, owner);
      if (!expert) return tl::unexpected(expert.error());
      if (auto set = (*expert)->set_parameters(values); !set) return set;
      states[owner] = (*expert)->save();
      return {};
    });
    if (!ok) return ok;
  }
  return {};
}

expected<void> head::hire() {
  const auto& c = options_.config;
  const auto cores = std::max(1u, std::thread::hardware_concurrency());
  const auto threads = options_.run.compute_threads > 0 ? options_.run.compute_threads
                       : nodes_expected() == 0          ? cores
                                                        : std::min(cores, options_.run.data_parallel_size);
  const auto waiting = parse_wait_policy(options_.run.wait_policy).value_or(wait_policy::active);
  place_ = make_workplace({threads, c.intra_op_threads, waiting, options_.run.message_delay_ms_max},
                          more_.libraries);
  place_.run_failed = news_.observer().run_failed;
  config_ = std::make_unique<system_config>(threads);
  system_ = std::make_unique<caf::actor_system>(*config_);
  refusals_.emplace(*system_, [this](std::string line) { news_.push(warning_news{std::move(line)}); });
  auto dense = factory_.make_dense(c, shape_, 0);
  if (!dense) return tl::unexpected(dense.error());
  coordinator_staff staff;
  if (auto ok = start_from_model(**dense, staff.initial_states); !ok)
    return tl::unexpected(about_model(ok.error()));
  auto& office = *place_.office;
  owner_settings dense_settings;
  dense_settings.term = term_;
  dense_settings.owner = dense_owner;
  dense_settings.reports_to = optimizer_address();
  dense_settings.now_us = place_.now_us;
  const auto replicas = static_cast<replica_id>(options_.run.data_parallel_size);
  dense_ = spawn_dense(*system_, place_, dense_settings, std::move(*dense), replicas);
  office.enter_dense(0, dense_);
  loader_ = spawn_loader(*system_, place_, {term_, c.schedule}, data_);
  office.enter_loader(loader_);
  if (auto ok = hire_routers(replicas); !ok) return ok;
  optimizer_settings o;
  o.term = term_;
  o.config = c;
  o.replicas = replicas;
  o.train_rows = data_->rows(step_kind::train);
  o.test_rows = data_->rows(step_kind::evaluate);
  o.training = options_.training;
  optimizer_ = spawn_optimizer(*system_, place_, o, news_.observer());
  office.enter_optimizer(optimizer_);
  if (nodes_expected() == 0) {
    host_settings h{term_, 0, c.model.owners_per_layer(), fresh(), {}};
    const auto make = [this](owner_id owner, bool fresh) {
      return (fresh ? factory_.make_expert : factory_.make_unset_expert)(options_.config, shape_, owner);
    };
    host_ = spawn_host(*system_, place_, h, make, [](const release&) {});
    office.enter_host(0, host_);
  }
  const auto updates = options_.training ? train_steps(c.schedule, o.train_rows) : 0;
  recorder_ = std::make_unique<recorder>(options_, updates, steps_per_epoch_, events_);
  if (auto ok = recorder_->open(); !ok) return ok;
  events_.write({{"event", "start"},
                 {"train_steps", updates},
                 {"steps_per_epoch", steps_per_epoch_},
                 {"aux_name", shown_balance_loss(c.model.router)}});
  if (options_.training)
    for (const auto& text : warnings_of(c)) events_.write({{"event", "warning"}, {"text", text}});
  staff.directory = {optimizer_, routers_};
  staff.owners = std::size_t{layers} * c.model.owners_per_layer() + 1;
  staff.states_bytes = states_bytes(c, shape_);
  staff.progress = [this] { return progress_.read(std::chrono::steady_clock::now(), options_.run_id); };
  begin_ = std::chrono::steady_clock::now();
  coordinator_ = spawn_coordinator(*system_, place_, membership(), std::move(staff), news_.observer());
  office.enter_coordinator(coordinator_);
  return {};
}

expected<void> head::hire_routers(replica_id replicas) {
  const auto& c = options_.config;
  for (replica_id r = 0; r < replicas; ++r) {
    auto trunk = factory_.make_trunk(c, shape_);
    if (!trunk) return tl::unexpected(trunk.error());
    router_settings s;
    s.term = term_;
    s.replica = r;
    s.experts = c.model.owners_per_layer();
    s.in_flight = options_.run.in_flight;
    s.now_us = place_.now_us;
    if (!options_.predictions_file.empty()) s.on_outputs = predictions_.collector();
    routers_.push_back(spawn_router(*system_, place_, s, std::move(*trunk)));
    place_.office->enter_router(r, routers_.back());
  }
  return {};
}

coordinator_settings head::membership() const {
  coordinator_settings s;
  s.term = term_;
  s.run_id = options_.run_id;
  nlohmann::ordered_json told;
  told["configuration"] = nlohmann::ordered_json::parse(to_json(options_.config));
  told["run"] = nlohmann::ordered_json::parse(to_json(options_.run));
  told["fresh"] = fresh();
  s.configuration = told.dump();
  s.configuration_hash = hash_of(options_.config);
  s.layers = layers;
  s.experts = options_.config.model.owners_per_layer();
  s.nodes_expected = nodes_expected();
  if (s.nodes_expected > 0) {
    const auto f = own_fingerprint(more_.libraries);
    s.fingerprint = f.hex;
    s.fingerprint_text = f.text;
  }
  return s;
}

expected<void> head::listen() {
  if (nodes_expected() == 0) return {};
  const auto& at = options_.listen;
  look_for_interruption(); // from here on there may be nodes to let go
  auto port = system_->middleman().publish(coordinator_, at.port, at.host.c_str(), true);
  if (!port)
    return fail(error_code::unavailable,
                "--listen: cannot open " + at.text() + " (" + or_words_of(why_not_listen(at), port.error())
                  + "); limit an address of this machine with a free port; port 0 takes any");
  port_ = *port;
  connections_.emplace(port_);
  events_.write({{"event", "listening"}, {"host", at.host}, {"port", *port}, {"run_id", options_.run_id}});
  return {};
}

/// Nobody who connects takes a descriptor from here on, nor does who looks at connections.
void head::stop_listening() {
  connections_.reset();
  if (port_ != 0) system_->middleman().unpublish(coordinator_, std::exchange(port_, 0));
  spare_.release();
}

// -- the run ------------------------------------------------------------------

expected<void> head::follow() {
  bool started = false;
  while (!interrupted()) {
    auto next = news_.pop(std::chrono::milliseconds(100));
    events_.catch_up();
    if (!next) continue;
    if (auto* failure = std::get_if<error>(&*next)) return tl::unexpected(*failure);
    if (auto* event = std::get_if<node_event>(&*next)) {
      report_node(*event);
    } else if (auto* idle = std::get_if<idle_news>(&*next)) {
      events_.write({{"event", "idle"}, {"names", idle->names}});
    } else if (auto* step = std::get_if<step_news>(&*next)) {
      if (!std::exchange(started, true) && step->summary.permission.step == 0)
        begin_ = step->at; // waiting for nodes is no training time
      take(*step);
    } else if (auto* warning = std::get_if<warning_news>(&*next)) {
      events_.write({{"event", "warning"}, {"text", warning->text}});
    } else if (auto* end = std::get_if<exhausted_news>(&*next)) {
      if (options_.save_directory.empty() && !options_.print_digest) return finish({});
      caf::anon_send(coordinator_, collect_states{end->version});
    } else if (auto* states = std::get_if<states_news>(&*next)) {
      return finish(states->states);
    }
  }
  for (std::size_t i = 0; started && i < news_queue::steps_waiting_max; ++i) { // what has been done is
                                                                               // recorded
    const auto next = news_.pop(std::chrono::milliseconds(0));
    if (!next) break;
    if (const auto* step = std::get_if<step_news>(&*next)) take(*step);
  }
  return {};
}

void head::take(const step_news& step) {
  progress_.step_ended(step.at);
  if (recorder_->take(step.summary, std::chrono::duration<double>(step.at - begin_).count()))
    progress_.write(recorder_->progress(), recorder_->rates());
}

void head::report_node(const node_event& e) {
  const auto state = e.state == node_state::active ? std::string("joined") : to_string(e.state);
  if (e.state == node_state::joining || e.node == 0) return;
  events_.write(
    {{"event", "node"}, {"node", e.node}, {"name", e.name}, {"state", state}, {"reason", e.reason}});
}

expected<std::vector<owner_parameters>> head::parameters_of(const std::map<owner_id, tensor>& states) const {
  std::vector<owner_parameters> result;
  const auto read = [&](owner_id owner, const tensor& state, auto module) -> expected<void> {
    if (!module) return tl::unexpected(module.error());
    if (auto ok = (*module)->load(state); !ok) return ok;
    result.push_back({owner, (*module)->parameters()});
    return {};
  };
  for (auto& [owner, state] : states) {
    auto ok = with_state_of(owner, [&] {
      return owner.is_dense()
               ? read(owner, state, factory_.make_dense(options_.config, shape_, owner.layer))
               : read(owner, state, factory_.make_unset_expert(options_.config, shape_, owner));
    });
    if (!ok) return tl::unexpected(ok.error());
  }
  std::ranges::sort(result, canonical_less, &owner_parameters::owner);
  return result;
}

/// The trained model comes first: nothing else that cannot be written may cost it.
expected<void> head::finish(const std::map<owner_id, tensor>& states) {
  stop_listening();
  std::vector<error> failures;
  const auto note = [&](const expected<void>& result) {
    if (!result) failures.push_back(result.error());
  };
  const auto delivered = states.empty() ? expected<void>{} : hand_over(states);
  delivered_ = delivered.has_value(); // what else fails from here on is no matter of the nodes
  note(delivered);
  if (!options_.predictions_file.empty()) note(predictions_.write(options_.predictions_file));
  note(recorder_->write_bench());
  note(recorder_->close_metrics(news_.left_out()));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin_;
  events_.write({{"event", "done"},
                 {"seconds", seconds.count()},
                 {"samples_per_second", or_null(recorder_->samples_per_second_of_run())}});
  if (failures.empty()) return {};
  auto all = std::move(failures.front());
  for (std::size_t i = 1; i < failures.size(); ++i) all.text += "; " + failures[i].text;
  return tl::unexpected(std::move(all));
}

/// Saves the parameters and tells their digest, as far as either was asked for.
expected<void> head::hand_over(const std::map<owner_id, tensor>& states) {
  auto parameters = parameters_of(states);
  if (!parameters) return tl::unexpected(parameters.error());
  const auto tell_digest = [&](const std::string& digest) {
    if (options_.print_digest) events_.write({{"event", "digest"}, {"sha256", digest}});
  };
  if (options_.save_directory.empty()) {
    tell_digest(digest_of(*parameters));
    return {};
  }
  const auto& schedule = options_.config.schedule;
  const auto more = options_.training ? train_steps(schedule, data_->rows(step_kind::train)) : 0;
  auto saved = write_model(options_.save_directory, options_.config, updates_before_ + more, *parameters);
  tell_digest(saved ? *saved : digest_of(*parameters));
  if (!saved) return tl::unexpected(saved.error());
  events_.write({{"event", "saved"}, {"directory", options_.save_directory}});
  return {};
}

/// Lets the nodes go and ends the actors.
void head::dismiss(const end_run& farewell) {
  const auto retire_if_hired = [](auto& actor) {
    if (actor) caf::anon_send(actor, retire{});
  };
  if (coordinator_) caf::anon_send(coordinator_, farewell);
  for (auto& r : routers_) caf::anon_send(r, retire{});
  retire_if_hired(optimizer_);
  retire_if_hired(loader_);
  retire_if_hired(dense_);
  retire_if_hired(host_);
  retire_if_hired(coordinator_);
  if (place_.office) place_.office->close();
}

} // namespace troupe::node
