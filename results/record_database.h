#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "core/result.h"
#include "results/record.h"
#include "results/recorder.h"

// records.sqlite. Goals: written as it happens (WAL), readable at any time by sqlite3, pandas and DuckDB,
// every stamp as it was taken. Stamps are ns since the start of the run, NULL for what did not happen; words
// are those of results/record.h.
//
//   meta(key, value)      schema = "dsbench.records/1", the version that wrote it, the SLO in ns; run: what
//   the run
//            is, as its run.json says; closed: the run came to an end
//   tenants(tenant, name, slo_ttft_ns, slo_tpot_ns, slo_e2e_ns, reasoning_share)   classes of the workload;
//   none
//            where it has no classes
//   stages(stage, name, kind, planned_rps, start_ns, measure_from_ns, end_ns)
//   attempts(request, attempt, stage, worker, due_ns, sent_ns, first_byte_ns, first_token_ns, last_token_ns,
//   done_ns,
//            prompt_tokens, output_tokens, output_tokens_asked, token_source, reason, http_status, turn,
//            tenant, provider, cached_prompt_tokens, reasoning_tokens, connect_ns, tls_ns, gaps_us, dns_ns,
//            prompt_tokens_asked, prompt_token_source, images, image_bytes, read_lag_ns)
//   requests(request, stage, attempts, due_ns, sent_ns, final_sent_ns, first_token_ns, last_token_ns,
//   done_ns,
//            prompt_tokens, output_tokens, reason, good)
//
// gaps_us is a BLOB of results/gap_codec.h, NULL for none. Rows stand in the order in which we heard of their
// end (what was received first is not always read first); no
// index, so that writing stays cheap: `create index` in a copy where you need one.
namespace dsbench::results {

struct RowBuffer;

// One connection, for one thread at a time.
class RecordDatabase {
 public:
  // Creates the file; an existing one is refused. `most_pages` of 16 KiB, 0 for no limit, makes a small disk
  // for tests.
  [[nodiscard]] static Result<RecordDatabase> create(const std::filesystem::path& path, const Slo& slo,
                                                     std::int64_t most_pages = 0);
  RecordDatabase(RecordDatabase&&) noexcept;
  RecordDatabase& operator=(RecordDatabase&&) = delete;
  ~RecordDatabase();

  Result<void> write_meta(std::string_view key, std::string_view value);
  Result<void> write_tenants(std::span<const Tenant> tenants);
  Result<void> begin();
  Result<void> write_stage(std::uint32_t index, const StageInfo& stage);
  Result<void> write(const RowBuffer& rows);
  Result<void> commit();
  void roll_back();
  // Brings everything into the one file and leaves WAL mode, so that the file can be copied and read from a
  // read-only folder.
  Result<void> close();

 private:
  struct Handles;
  explicit RecordDatabase(std::unique_ptr<Handles> handles);
  std::unique_ptr<Handles> handles_;
};

}  // namespace dsbench::results
