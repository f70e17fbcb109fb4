#include "model/checkpoint/digest.hpp"

#include "model/checkpoint/safetensors.hpp"
#include "model/sha256.hpp"

#include <algorithm>
#include <tuple>

namespace troupe {

namespace {

constexpr std::string_view nul("\0", 1);

std::string joined(const shape& dims) {
  std::string out;
  for (auto d : dims.dims()) out += (out.empty() ? "" : ",") + std::to_string(d);
  return out;
}

template <class T, class Less>
std::vector<const T*> sorted(std::span<const T> items, Less less) {
  std::vector<const T*> result;
  for (const auto& item : items) result.push_back(&item);
  std::sort(result.begin(), result.end(), [&](const T* a, const T* b) { return less(*a, *b); });
  return result;
}

} // namespace

std::string owner_name(owner_id owner) {
  const auto layer = std::to_string(owner.layer);
  if (owner.is_dense()) return "dense-" + layer;
  const auto name = "expert-" + layer + "-" + std::to_string(owner.expert);
  return owner.slice == 0 ? name : name + "-" + std::to_string(owner.slice);
}

bool canonical_less(owner_id a, owner_id b) {
  return std::tuple(!a.is_dense(), a) < std::tuple(!b.is_dense(), b);
}

std::string digest_of(std::span<const owner_parameters> owners) {
  sha256 hash;
  const auto by_owner = [](const auto& a, const auto& b) { return canonical_less(a.owner, b.owner); };
  const auto by_name = [](const auto& a, const auto& b) { return a.name < b.name; };
  for (const auto* part : sorted(owners, by_owner)) {
    for (const auto* item : sorted(std::span<const named_tensor>(part->values), by_name)) {
      hash.update(owner_name(part->owner));
      hash.update(".");
      hash.update(item->name);
      hash.update(nul);
      hash.update(safetensors_type(item->value.type()));
      hash.update(nul);
      hash.update(joined(item->value.dims()));
      hash.update(nul);
      hash.update(item->value.data().bytes());
    }
  }
  return hash.hex();
}

} // namespace troupe
