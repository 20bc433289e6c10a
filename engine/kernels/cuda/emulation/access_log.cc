#include "engine/kernels/cuda/emulation/access_log.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>

namespace dsbench::engine::kernels::cuda {

namespace {

struct PipeClose {
  void operator()(std::FILE* pipe) const { (void)pclose(pipe); }
};

// The calling instruction's place in the source, innermost first, down to the kernel's own file.
std::string source_of(std::uintptr_t address) {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(address), &info) == 0 || info.dli_fname == nullptr) return "?";
  // A call's return address belongs to what comes next; one byte before it is still the call.
  const std::uintptr_t offset = address - 1 - reinterpret_cast<std::uintptr_t>(info.dli_fbase);
  std::array<char, 512> command{};
  (void)std::snprintf(command.data(), command.size(), "addr2line -i -s -e /proc/%d/exe %#zx 2>/dev/null",
                      getpid(), offset);
  const std::unique_ptr<std::FILE, PipeClose> pipe(popen(command.data(), "r"));
  std::string lines;
  std::array<char, 256> line{};
  while (pipe && std::fgets(line.data(), line.size(), pipe.get()) != nullptr) {
    std::string_view text(line.data());
    text = text.substr(0, text.find_first_of(" \n"));
    if (text.starts_with("simt_host.h")) continue;
    if (!lines.empty()) lines += " < ";
    lines += text;
  }
  return lines.empty() ? "?" : lines;
}

}  // namespace

void AccessLog::access(const simt::Access& access) {
  const auto warp = static_cast<std::size_t>(access.thread / 32);
  const auto lane = static_cast<std::size_t>(access.thread % 32);
  if (warps_.size() <= warp) warps_.resize(warp + 1);
  Pending& pending = warps_[warp][{access.site, access.space, access.touch, access.bytes}];
  const auto number = static_cast<std::size_t>(pending.seen[lane]++);
  if (pending.instructions.size() <= number) pending.instructions.resize(number + 1);
  pending.instructions[number].push_back({static_cast<int>(lane), access.address});
}

void AccessLog::warp_met(int warp) {
  if (static_cast<std::size_t>(warp) >= warps_.size()) return;
  Warp& met = warps_[static_cast<std::size_t>(warp)];
  for (const auto& [site, pending] : met) {
    Tally& tally = sites_[site];
    for (const std::vector<LaneAccess>& lanes : pending.instructions) {
      ++tally.instructions;
      if (site.space == simt::Space::shared) {
        const SharedCost cost = shared_cost(lanes, site.bytes);
        tally.cost += cost.turns;
        tally.least += cost.least;
      } else {
        const GlobalCost cost = global_cost(lanes, site.bytes);
        tally.cost += cost.sectors;
        tally.least += cost.least;
      }
    }
  }
  met.clear();
}

Tally AccessLog::total(simt::Space space, simt::Touch touch) const {
  Tally sum;
  for (const auto& [site, tally] : sites_) {
    if (site.space == space && site.touch == touch) sum += tally;
  }
  return sum;
}

std::string AccessLog::worst(simt::Space space, int sites) const {
  std::vector<std::pair<Site, Tally>> order;
  for (const auto& [site, tally] : sites_) {
    if (site.space == space && tally.cost > tally.least) order.emplace_back(site, tally);
  }
  std::ranges::stable_sort(order, std::greater{},
                           [](const auto& s) { return s.second.cost - s.second.least; });
  order.resize(std::min(order.size(), static_cast<std::size_t>(sites)));
  std::string text;
  for (const auto& [site, tally] : order) {
    std::array<char, 160> line{};
    (void)std::snprintf(
        line.data(), line.size(),
        "  %lld instead of %lld by %lld instructions (%s of %d bytes): ", static_cast<long long>(tally.cost),
        static_cast<long long>(tally.least), static_cast<long long>(tally.instructions),
        site.touch == simt::Touch::read ? "reads" : "writes", site.bytes);
    text += line.data() + source_of(site.address) + '\n';
  }
  return text;
}

}  // namespace dsbench::engine::kernels::cuda
