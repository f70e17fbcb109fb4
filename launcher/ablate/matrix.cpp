#include "launcher/ablate/matrix.hpp"

#include <algorithm>
#include <set>

namespace troupe::ablate {

std::string setting::text() const {
  std::string joined;
  for (const auto& value : values) joined += (joined.empty() ? "" : ",") + value;
  return joined;
}

namespace {

/// The later value of a key replaces the earlier one in its place.
void put(std::vector<setting>& into, const std::vector<setting>& more) {
  for (const auto& each : more) {
    const auto known = std::ranges::find(into, each.key, &setting::key);
    if (known == into.end())
      into.push_back(each);
    else
      *known = each;
  }
}

bool meets(const combination& candidate, const setting& condition) {
  const auto label = std::ranges::find(candidate.labels, condition.key,
                                       &decltype(combination::labels)::value_type::first);
  if (label != candidate.labels.end() && label->second == condition.text()) return true;
  const auto found = std::ranges::find(candidate.settings, condition.key, &setting::key);
  return found != candidate.settings.end() && found->text() == condition.text();
}

bool meets_all(const combination& candidate, const std::vector<setting>& conditions) {
  return std::ranges::all_of(conditions, [&](const setting& each) { return meets(candidate, each); });
}

/// Two axes that set one option would make the result depend on their order.
expected<void> check_axes(const matrix& all) {
  std::set<std::string> earlier;
  for (const auto& each : all.axes) {
    std::set<std::string> own;
    for (const auto& choice : each.choices)
      for (const auto& setting : choice.settings) {
        if (earlier.contains(setting.key))
          return fail(error_code::usage,
                      "[" + setting.place + "] " + setting.key
                        + ": set by two lists of [vary], limit one; write the combinations as "
                          "tables of one list, or with [[include]]");
        own.insert(setting.key);
      }
    earlier.merge(own);
  }
  return {};
}

expected<std::vector<combination>> product(const std::vector<setting>& base, const std::vector<axis>& axes,
                                           const std::string& file) {
  std::vector<combination> result = {{{}, base}};
  for (const auto& each : axes) {
    if (result.size() * each.choices.size() > combinations_max)
      return fail(error_code::usage, "[" + file + "] got more than " + std::to_string(combinations_max)
                                       + " combinations, limit " + std::to_string(combinations_max)
                                       + "; cut the matrix into several files");
    std::vector<combination> longer;
    for (const auto& begun : result)
      for (const auto& choice : each.choices) {
        auto next = begun;
        next.labels.emplace_back(each.name, choice.label);
        put(next.settings, choice.settings);
        longer.push_back(std::move(next));
      }
    result = std::move(longer);
  }
  return result;
}

expected<void> leave_out(std::vector<combination>& from, const std::vector<setting>& conditions) {
  const auto before = from.size();
  std::erase_if(from, [&](const combination& each) { return meets_all(each, conditions); });
  if (from.size() < before) return {};
  std::string text;
  for (const auto& each : conditions) text += (text.empty() ? "" : ", ") + each.key + " = " + each.text();
  return fail(error_code::usage, "[" + conditions.front().place + "] exclude: no combination has " + text
                                   + "; correct it or take it out");
}

bool has(const std::vector<setting>& settings, const std::string& key) {
  return std::ranges::find(settings, key, &setting::key) != settings.end();
}

/// What an [[include]] adds: one combination, or one per seed of the matrix.
expected<std::vector<combination>> included(const matrix& all, const std::vector<setting>& extra) {
  auto base = all.fixed;
  put(base, extra);
  std::vector<axis> seeds;
  if (!has(extra, seed_key))
    std::ranges::copy_if(all.axes, std::back_inserter(seeds),
                         [](const axis& each) { return each.name == seed_key; });
  auto result = product(base, seeds, all.file);
  if (!result) return result;
  for (auto& each : *result)
    for (std::size_t at = extra.size(); at-- > 0;)
      each.labels.emplace(each.labels.begin(), extra[at].key, extra[at].text());
  return result;
}

} // namespace

expected<std::vector<combination>> expand(const matrix& all) {
  if (const auto good = check_axes(all); !good) return tl::unexpected(good.error());
  auto result = product(all.fixed, all.axes, all.file);
  if (!result) return result;
  for (const auto& conditions : all.exclude)
    if (const auto good = leave_out(*result, conditions); !good) return tl::unexpected(good.error());
  for (const auto& extra : all.include) {
    auto more = included(all, extra);
    if (!more) return more;
    std::ranges::move(*more, std::back_inserter(*result));
  }
  if (result->empty())
    return fail(error_code::usage, "[" + all.file + "] exclude leaves no combination, limit one or more");
  return result;
}

} // namespace troupe::ablate
