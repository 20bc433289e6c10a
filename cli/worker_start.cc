#include "cli/worker_start.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string_view>

#include "core/clock.h"
#include "core/text.h"

namespace dsbench::cli {
namespace {

// The run's time at the agreed start: a whole second, so that the per-second counts are whole.
constexpr Nanos lead{1'000'000'000};
constexpr Nanos worth_a_warning{5'000'000};
constexpr Nanos never_worth_one{1'000'000};

// RFC 3339 in UTC, or seconds since 1970.
Result<Nanos> instant_of(const std::string& text) {
  if (text.find('T') != std::string::npos) return parse_utc(text);
  double seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc{} || end != text.data() + text.size() || !(seconds > 0) || seconds > 9e9) {
    return fail(ErrorKind::usage,
                "'{}' is no instant; accepted: UTC, as in 2026-11-22T18:00:00Z, or seconds since 1970", text);
  }
  return from_seconds(seconds);
}

}  // namespace

Result<std::unique_ptr<WorkerStart>> WorkerStart::plan(const WorkerFlags& flags, const Worker& worker,
                                                       bool simulated) {
  std::unique_ptr<WorkerStart> start{new WorkerStart};
  if (flags.start_at.empty() && flags.rendezvous.empty()) return start;
  const char* flag = flags.start_at.empty() ? "--rendezvous" : "--start-at";
  if (simulated)
    return fail(ErrorKind::usage, "{} has no effect in virtual time, which begins at nought", flag);
  if (!flags.start_at.empty() && !flags.rendezvous.empty())
    return fail(ErrorKind::usage,
                "--start-at names the start, and --rendezvous agrees on one; give one of them");
  if (!flags.start_at.empty()) {
    DSBENCH_TRY(start->at_, instant_of(flags.start_at));
    const Nanos now = wall_clock_now();
    if (*start->at_ <= now) {
      return fail(
          ErrorKind::usage,
          "--start-at {} has passed {} ago (it is {}); accepted is an instant within the next 24 hours",
          flags.start_at, format_duration(now - *start->at_), format_utc(now));
    }
    if (*start->at_ - now > std::chrono::hours{24}) {
      return fail(ErrorKind::usage,
                  "--start-at {}: accepted is an instant within the next 24 hours; it is {}", flags.start_at,
                  format_utc(now));
    }
    return start;
  }
  if (worker.alone())
    return fail(ErrorKind::usage, "--rendezvous has no effect with one worker; add --worker K/N");
  DSBENCH_CHECK(loadgen::set_meeting_point(start->meeting_, flags.rendezvous));
  start->meeting_.index = worker.index;
  start->meeting_.count = worker.count;
  start->meeting_.patience = flags.patience;
  start->meeting_.margin = std::max(flags.margin, lead + Nanos{200'000'000});
  start->meets_ = true;
  return start;
}

Result<std::optional<Nanos>> WorkerStart::wait(const std::string& plan_digest, const std::atomic<bool>& stop,
                                               Progress& progress) {
  if (meets_) {
    meeting_.plan = plan_digest;
    if (meeting_.index == 0) {
      DSBENCH_TRY(const auto host, loadgen::RendezvousHost::open(meeting_));
      progress.line(
          fmt::format("waiting for {} workers at {}:{}", meeting_.count - 1, meeting_.host, host->port()));
      DSBENCH_TRY(agreement_, host->meet(stop, [&](std::string_view text) { progress.status(text); }));
    } else {
      progress.line(fmt::format("meeting worker 0 at {}:{}", meeting_.host, meeting_.port));
      DSBENCH_TRY(agreement_, loadgen::join_rendezvous(meeting_, stop));
    }
    at_ = agreement_->start_at;
  }
  if (!at_) return std::optional<Nanos>{};
  const Nanos own = agreement_ ? agreement_->own_start() : *at_;
  DSBENCH_CHECK(loadgen::wait_for_wall(own - lead, stop, [&](Nanos left) {
    progress.status(fmt::format("ready; the load begins in {}", format_duration(left + lead)));
  }));
  const Nanos steady = loadgen::steady_of_wall(own);
  watch_ = std::make_unique<loadgen::StartWatch>(own, steady);
  return std::optional{steady - lead};
}

std::optional<Nanos> WorkerStart::run_time() const {
  return watch_ ? std::optional{lead} : std::nullopt;
}

void WorkerStart::tell(results::WorkerShare& share, Nanos began_at) const {
  share.start = agreement_ ? "rendezvous" : at_ ? "--start-at" : "at once";
  share.start_at = at_;
  share.began_at = at_ ? *at_ : began_at;
  if (watch_) share.lateness = watch_->lateness();
  if (agreement_) {
    share.clock_offset = agreement_->offset;
    share.round_trip = agreement_->round_trip;
  }
}

void judge_start(const results::WorkerShare& share, Nanos mean_gap, results::RunSummary& summary) {
  if (share.round_trip) {
    const Nanos error = *share.round_trip / 2;
    const std::string said = fmt::format("worker {} of {} knows worker 0's clock to ± {} only", share.index,
                                         share.count, format_duration(error));
    if (error > most_lateness) {
      summary.invalid_causes.push_back(
          fmt::format("{}, accepted {}: meet over a shorter way", said, format_duration(most_lateness)));
    } else if (error > worth_a_warning) {
      summary.warnings.push_back(said + ", and may have begun so much earlier or later than the others");
    }
  }
  if (!share.lateness) return;
  if (*share.lateness > most_lateness) {
    summary.invalid_causes.push_back(fmt::format(
        "worker {} of {} was {} late at the agreed start, accepted {}: leave more time before it, or use a "
        "quieter machine",
        share.index, share.count, format_duration(*share.lateness), format_duration(most_lateness)));
    return;
  }
  const Nanos limit = std::clamp(mean_gap, never_worth_one, worth_a_warning);
  if (*share.lateness <= limit) return;
  summary.warnings.push_back(fmt::format(
      "worker {} of {} woke {} after the agreed start, more than {}; what was due meanwhile has it as send "
      "lag",
      share.index, share.count, format_duration(*share.lateness),
      limit < worth_a_warning ? fmt::format("one mean gap of the schedule ({})", format_duration(limit))
                              : format_duration(limit)));
}

std::optional<std::string> too_late_to_start(const Worker& worker, Nanos late) {
  if (late <= most_lateness) return std::nullopt;
  return fmt::format(
      "worker {} of {} was ready {} after the agreed start, accepted {}; it sent nothing, because what was "
      "due "
      "meanwhile would have left as one burst: leave more time before the start",
      worker.index, worker.count, format_duration(late), format_duration(most_lateness));
}

}  // namespace dsbench::cli
