#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "results/histogram.h"
#include "results/record.h"

namespace dsbench::results {

// The latency metrics of a stage; their words are the fields of StageSummary and the first half of an .hlog
// tag.
enum class Metric : std::uint8_t {
  ttft,
  ttft_service,
  tpot,
  itl,
  e2e,
  e2e_service,
  ntpot,
  send_lag,
  read_lag,
};
inline constexpr std::size_t metric_count = 9;
[[nodiscard]] std::string_view to_word(Metric metric);

// A metric of a request that ended well, where it is defined. itl, send_lag and read_lag are not of
// requests.
[[nodiscard]] std::optional<Nanos> latency_of(const RequestRecord& request, Metric metric);

// One histogram per metric.
//
//   ttft          first token − due                 ttft_service  first token − sent, of the final attempt
//   e2e           last token − due                  e2e_service   last token − sent, of the final attempt
//   tpot          (last − first token) ÷ (n − 1); not defined for n < 2
//   ntpot         e2e ÷ n                           itl           gaps between content chunks, all attempts
//   pooled send_lag      sent − due of every attempt; infinite when we could not send, absent when the target
//   refused us before
//   read_lag      the longest that bytes of an attempt's answer waited in our kernel; absent where the wire
//   does not tell
//
// A request that failed is one infinite sample in each but the two lags.
class MetricSet {
 public:
  void add(const RequestRecord& request);
  void add(const AttemptRecord& attempt);
  void add(const MetricSet& other);
  [[nodiscard]] const Histogram& operator[](Metric metric) const {
    return sets_[static_cast<std::size_t>(metric)];
  }

 private:
  Histogram& at(Metric metric) { return sets_[static_cast<std::size_t>(metric)]; }
  std::array<Histogram, metric_count> sets_;
};

}  // namespace dsbench::results
