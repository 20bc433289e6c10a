#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "results/record.h"

namespace dsbench::results {

// An attempt less its gaps, which lie beside it as bytes.
struct AttemptRow {
  std::uint64_t request = 0;
  std::uint32_t attempt = 0, stage = 0, worker = 0, turn = 0;
  std::uint16_t tenant = 0, provider = 0;
  Nanos due = never, sent = never, first_byte = never, first_token = never, last_token = never, done = never;
  std::int32_t prompt_tokens = 0, output_tokens = 0, output_tokens_asked = 0, http_status = 0;
  std::int32_t cached_prompt_tokens = -1, reasoning_tokens = -1;
  Nanos dns_time = never, connect_time = never, tls_time = never, read_lag = never;
  std::int32_t prompt_tokens_asked = 0, images = 0;
  std::int64_t image_bytes = 0;
  TokenSource token_source = TokenSource::chunks, prompt_token_source = TokenSource::asked;
  Reason reason = Reason::ok;
};

// Rows that wait for the disk.
struct RowBuffer {
  struct Attempt {
    AttemptRow row;
    std::size_t gaps_at = 0, gaps_size = 0;
  };
  struct Request {
    RequestRecord record;
    bool good = false;
  };
  std::vector<Attempt> attempts;
  std::vector<Request> requests;
  std::vector<ProviderDecision> decisions;
  std::string gaps;

  // Its gaps become the bytes of results/gap_codec.h.
  void add(const AttemptRecord& record);
  [[nodiscard]] std::size_t rows() const { return attempts.size() + requests.size() + decisions.size(); }
  [[nodiscard]] std::string_view gaps_of(const Attempt& a) const {
    return std::string_view{gaps}.substr(a.gaps_at, a.gaps_size);
  }
  // Keeps the memory.
  void clear() {
    attempts.clear();
    requests.clear();
    decisions.clear();
    gaps.clear();
  }
};

}  // namespace dsbench::results
