#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string_view>

#include "core/result.h"
#include "core/units.h"
#include "results/record.h"

namespace dsbench::results {

// A request as its first attempt was recorded: what was wanted, and when.
struct RecordedRequest {
  std::uint64_t request = 0;
  Nanos due{0};  // since the start of the run
  std::int32_t prompt_tokens = 0;
  std::int32_t output_tokens_asked = 0;
  std::int32_t output_tokens = 0;      // that arrived
  std::int32_t reasoning_tokens = -1;  // of them; -1: the server did not say
  std::int32_t tenant = 0;             // class of the workload
  std::string_view reason;             // until the call returns
};

// Gives `f` every request of a records.sqlite, in the order in which their first attempts ended. Reads only;
// a run that is still writing can be read. Errors: io; usage for a file that is no dsbench.records/1.
[[nodiscard]] Result<void> read_recorded_requests(const std::filesystem::path& path,
                                                  const std::function<void(const RecordedRequest&)>& f);

// Every request of a run's database, in the order in which they ended, and whether it was good. Errors: as
// above.
[[nodiscard]] Result<void> read_request_rows(const std::filesystem::path& path,
                                             const std::function<void(const RequestRecord&, bool good)>& f);

}  // namespace dsbench::results
