#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/kernels/cuda/emulation/memory_cost.h"
#include "engine/kernels/cuda/emulation/simt_host.h"

// Counts what the memory accesses of emulated kernels would cost. Lanes of a warp run one after another here,
// so their accesses are put together again: the n-th that a lane does at one place of the code since its warp
// last met belongs to the n-th of the other lanes there. Lanes that take another way through the code in
// between are simply not part of it, as on the machine; one that leaves out a turn of a loop is taken to be a
// turn ahead from then on. Boxes of TMA, what wgmma reads and what stays in registers is not counted; an
// atomic addition counts as a read and a write.
namespace dsbench::engine::kernels::cuda {

// Sums over the instructions of one place in the code, or of many.
struct Tally {
  std::int64_t instructions = 0;  // of a warp
  std::int64_t cost = 0;          // turns of shared memory, or sectors
  std::int64_t least = 0;         // of the same, see memory_cost.h

  [[nodiscard]] double ratio() const {
    return least == 0 ? 1.0 : static_cast<double>(cost) / static_cast<double>(least);
  }
  Tally& operator+=(const Tally& more) {
    instructions += more.instructions;
    cost += more.cost;
    least += more.least;
    return *this;
  }
};

// One place in the code: what it touches and how, and the address of the instruction in this program.
struct Site {
  std::uintptr_t address;
  simt::Space space;
  simt::Touch touch;
  int bytes;
  friend auto operator<=>(const Site&, const Site&) = default;
};

class AccessLog : public simt::Watcher {
 public:
  void access(const simt::Access& access) override;
  void warp_met(int warp) override;

  [[nodiscard]] const std::map<Site, Tally>& sites() const { return sites_; }
  [[nodiscard]] Tally total(simt::Space space, simt::Touch touch) const;
  // The sites of one space that cost most beyond the least, a line each: how much, and `file:line` of this
  // program's source by addr2line, where there is one.
  [[nodiscard]] std::string worst(simt::Space space, int sites) const;

 private:
  struct Pending {
    std::array<int, 32> seen{};  // instructions of each lane
    std::vector<std::vector<LaneAccess>> instructions;
  };
  struct Hash {
    std::size_t operator()(const Site& s) const {
      return s.address ^ (static_cast<std::size_t>(s.bytes) << 48);
    }
  };
  using Warp = std::unordered_map<Site, Pending, Hash>;

  std::vector<Warp> warps_;
  std::map<Site, Tally> sites_;
};

}  // namespace dsbench::engine::kernels::cuda
