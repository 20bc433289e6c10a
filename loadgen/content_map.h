#pragma once

#include <array>
#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "loadgen/request_source.h"

namespace dsbench::loadgen {

// Which content a request has. Requests are numbered through the run; their content is numbered within their
// stage, so that the same rate offered on the way up and on the way down offers the same prompts and lengths.
//
// One writer (the controller, before it offers a stage's arrivals), any number of readers (the issuers).
class ContentMap final : public RequestSource {
 public:
  explicit ContentMap(SharedSource source) : source_{std::move(source)} {}

  // Requests from `first_request` on have contents first_content, first_content + 1, … of this mix of tenants
  // (see make_source()), until the next call's first request.
  void begin(std::uint64_t first_request, std::uint64_t first_content, std::uint32_t mix = 0) {
    const std::size_t n = count_.load(std::memory_order_relaxed);
    assert(n == 0 || first_request >= entries_[n - 1].first_request);
    if (n == entries_.size()) return;  // beyond 4,096 stages the content numbering goes on unbroken
    entries_[n] = {first_request, first_content, mix};
    count_.store(n + 1, std::memory_order_release);
  }

  [[nodiscard]] Attempt first(std::uint64_t request) const override {
    std::size_t low = 0;
    std::size_t high = count_.load(std::memory_order_acquire);
    while (low < high) {  // the last entry that begins at or before the request
      const std::size_t middle = (low + high) / 2;
      if (entries_[middle].first_request <= request) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    const Entry entry = low == 0 ? Entry{} : entries_[low - 1];
    const std::uint64_t content = entry.first_content + (request - entry.first_request);
    Attempt attempt = source_.first_of_mix(content, entry.mix);
    attempt.request = request;
    attempt.content = content;
    return attempt;
  }
  void next(const Attempt& ended, const results::RequestRecord& outcome,
            std::vector<FollowUp>& follow_ups) const override {
    source_.next(ended, outcome, follow_ups);
  }

 private:
  struct Entry {
    std::uint64_t first_request = 0;
    std::uint64_t first_content = 0;
    std::uint32_t mix = 0;
  };
  SharedSource source_;
  std::array<Entry, 4096> entries_{};
  std::atomic<std::size_t> count_{0};
};

}  // namespace dsbench::loadgen
