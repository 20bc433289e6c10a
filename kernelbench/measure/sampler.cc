#include "kernelbench/measure/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace dsbench::kernelbench {
namespace {

Result<Sample> take_one(Device& device, const Launch& launch, int slots, const SamplerOptions& options) {
  return options.mode == Mode::graph ? device.time_graph(launch, slots, kGraphLaunches)
                                     : device.time(launch, slots, options.cache);
}

}  // namespace

Result<void> warm_up(Device& device, const Launch& launch, int slots, const SamplerOptions& options,
                     Clock& clock) {
  const Nanos start = clock.now();
  double before = 0;
  while (true) {
    std::array<double, 3> times{};
    for (double& t : times) {
      DSBENCH_TRY(const Sample sample, take_one(device, launch, slots, options));
      t = sample.seconds;
    }
    std::sort(times.begin(), times.end());
    const double median = times[1];
    if (before > 0 && std::abs(median - before) <= 0.01 * before) return {};
    before = median;
    if (clock.now() - start >= options.warm_up) return {};
  }
}

Result<std::vector<Sample>> take_samples(Device& device, const Launch& launch, int slots,
                                         const SamplerOptions& options, Clock& clock,
                                         const std::atomic<bool>& stop) {
  std::vector<Sample> samples;
  const Nanos start = clock.now();
  while (!stop.load(std::memory_order_relaxed)) {
    DSBENCH_TRY(const Sample sample, take_one(device, launch, slots, options));
    samples.push_back(sample);
    const std::int64_t n = static_cast<std::int64_t>(samples.size());
    if (n >= options.max_samples) break;
    if (n >= 3 && clock.now() - start >= options.budget) break;
    // The error is looked at now and then: it costs a sort.
    if (n >= options.min_samples && n % 5 == 0 && describe(samples).relative_error() < options.relative_error)
      break;
  }
  return samples;
}

}  // namespace dsbench::kernelbench
