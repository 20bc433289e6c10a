#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/result.h"
#include "results/record.h"
#include "results/recorder.h"

namespace dsbench::results {

// Every record of a closed records.sqlite once more, in the order in which they ended, as the issuer threads
// gave them: a request's attempts before the request. What a Recorder makes of them is what the run's own
// made, but for gaps between chunks, which the file keeps in whole microseconds.
class RecordReplay {
 public:
  // Errors: io; usage for a file that is no dsbench.records/1, or an early one that lacks columns.
  [[nodiscard]] static Result<RecordReplay> open(const std::filesystem::path& path);
  RecordReplay(RecordReplay&&) noexcept;
  ~RecordReplay();

  enum class Kind : std::uint8_t { attempt, request, decision };
  struct Item {
    Kind kind = Kind::attempt;
    Nanos at{0};  // when it ended
    AttemptRecord attempt;
    RequestRecord request;
    ProviderDecision decision;
  };
  // When the next one ended; nothing: there is none.
  [[nodiscard]] std::optional<Nanos> next_at() const;
  // The next one; only when next_at() has a value. Valid until the next call.
  [[nodiscard]] Result<const Item*> next();

 private:
  struct Handles;
  explicit RecordReplay(std::unique_ptr<Handles> handles);
  std::unique_ptr<Handles> handles_;
};

// The stages that had begun, with their latest known ends, and the meta table.
struct RecordedPlan {
  std::vector<StageInfo> stages;
  std::map<std::string, std::string> meta;
  [[nodiscard]] Slo slo() const;
};
[[nodiscard]] Result<RecordedPlan> read_plan(const std::filesystem::path& path);

// Brings what a killed run left beside its database (the -wal file) into it. Errors: usage while somebody has
// the database open, the run itself for one; io.
[[nodiscard]] Result<void> settle_records(const std::filesystem::path& path);

// The classes of the workload, as the run's own recorder knew them.
[[nodiscard]] Result<std::vector<Tenant>> read_tenants(const std::filesystem::path& path);

}  // namespace dsbench::results
