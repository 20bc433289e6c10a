#include "engine/kernels/cuda/emulation/memory_cost.h"

#include <algorithm>
#include <array>
#include <vector>

namespace dsbench::engine::kernels::cuda {

namespace {

constexpr int banks = 32;
constexpr std::uintptr_t bank_bytes = 4;
constexpr std::uintptr_t sector_bytes = 32;

// How often `place` (a function of a byte's address) differs among the bytes that lanes ask for.
template <class Place>
int distinct(std::span<const LaneAccess> lanes, int bytes, const Place& place) {
  std::vector<std::uintptr_t> seen;
  for (const LaneAccess& a : lanes) {
    for (std::uintptr_t at = a.address; at < a.address + static_cast<std::uintptr_t>(bytes); ++at)
      if (seen.empty() || seen.back() != place(at)) seen.push_back(place(at));
  }
  std::ranges::sort(seen);
  return static_cast<int>(std::unique(seen.begin(), seen.end()) - seen.begin());
}

}  // namespace

SharedCost shared_cost(std::span<const LaneAccess> lanes, int bytes) {
  const int together = bytes <= 4 ? 32 : bytes <= 8 ? 16 : 8;
  SharedCost cost;
  for (int first = 0; first < 32; first += together) {
    std::array<std::vector<std::uintptr_t>, banks> words;
    bool any = false;
    for (const LaneAccess& a : lanes) {
      if (a.lane < first || a.lane >= first + together) continue;
      any = true;
      const std::uintptr_t last = (a.address + static_cast<std::uintptr_t>(bytes) - 1) / bank_bytes;
      for (std::uintptr_t word = a.address / bank_bytes; word <= last; ++word) {
        std::vector<std::uintptr_t>& of_bank = words[word % banks];
        if (std::ranges::find(of_bank, word) == of_bank.end()) of_bank.push_back(word);
      }
    }
    if (!any) continue;
    ++cost.least;
    cost.turns +=
        static_cast<int>(std::ranges::max_element(words, {}, [](const auto& w) { return w.size(); })->size());
  }
  return cost;
}

GlobalCost global_cost(std::span<const LaneAccess> lanes, int bytes) {
  const int asked = distinct(lanes, bytes, [](std::uintptr_t at) { return at; });
  return {distinct(lanes, bytes, [](std::uintptr_t at) { return at / sector_bytes; }),
          (asked + static_cast<int>(sector_bytes) - 1) / static_cast<int>(sector_bytes)};
}

}  // namespace dsbench::engine::kernels::cuda
