#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "loadgen/target.h"

namespace dsbench::loadgen {

// Several targets in virtual time as one: an attempt goes to the one that its provider names.
class MultiTarget final : public VirtualTarget {
 public:
  // They must outlive this one.
  explicit MultiTarget(std::vector<VirtualTarget*> targets) : targets_{std::move(targets)} {}

  void submit(const Attempt& attempt, Nanos now) override;
  void cancel(std::uint64_t request, std::uint32_t attempt, Nanos now) override;
  [[nodiscard]] std::optional<Nanos> next_event() const override;
  void advance(Nanos now, std::vector<TargetEvent>& events) override;

 private:
  std::vector<VirtualTarget*> targets_;
  std::map<std::pair<std::uint64_t, std::uint32_t>, std::uint16_t> at_;  // of the attempts in flight
};

}  // namespace dsbench::loadgen
