#include "cli/worker_identity.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <string_view>

namespace dsbench::cli {
namespace {

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return n;
}

// A launcher's two variables. In this order: mpirun inside a Slurm allocation leaves Slurm's own variables,
// which are those of the batch script, in every process's environment.
struct Launcher {
  const char *index, *count;
};
constexpr std::array<Launcher, 3> launchers{{{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
                                             {"PMI_RANK", "PMI_SIZE"},
                                             {"SLURM_PROCID", "SLURM_NTASKS"}}};
constexpr Launcher array_job{"SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"};
constexpr const char* indexed_job = "JOB_COMPLETION_INDEX";
constexpr std::string_view looked_for =
    "OMPI_COMM_WORLD_RANK and _SIZE, PMI_RANK and _SIZE, SLURM_ARRAY_TASK_ID and _COUNT, SLURM_PROCID and "
    "SLURM_NTASKS, JOB_COMPLETION_INDEX with --workers N";

// What is there of all that was looked for.
std::string found_text(const Environment& environment) {
  std::string text;
  const auto see = [&](const char* name) {
    if (const char* value = environment(name))
      text += fmt::format("{}{}={}", text.empty() ? "" : ", ", name, value);
  };
  for (const Launcher& l : launchers) {
    see(l.index);
    see(l.count);
  }
  see(array_job.index);
  see(array_job.count);
  see(indexed_job);
  return text.empty() ? "none of them" : text;
}

Result<Worker> checked(std::int64_t index, std::int64_t count, std::string found) {
  if (count < 1 || count > std::int64_t{most_workers} || index < 0 || index >= count) {
    return fail(ErrorKind::usage, "{} says worker {} of {}; accepted: 0 to N-1 of N workers, at most {}",
                found, index, count, most_workers);
  }
  return Worker{static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(count), std::move(found)};
}

// Array tasks may be numbered from anywhere, in steps.
Result<std::optional<Worker>> of_array(const Environment& environment) {
  const char *id = environment(array_job.index), *count = environment(array_job.count);
  if (id == nullptr || count == nullptr) return std::optional<Worker>{};
  const auto number = [&](const char* name, std::int64_t absent) {
    const char* value = environment(name);
    return value == nullptr ? std::optional{absent} : whole_number(value);
  };
  const auto i = whole_number(id), n = whole_number(count);
  const auto first = number("SLURM_ARRAY_TASK_MIN", 0), step = number("SLURM_ARRAY_TASK_STEP", 1);
  if (!i || !n || !first || !step || *step < 1 || (*i - *first) % *step != 0) {
    return fail(ErrorKind::usage, "{}={} of {}={} is no place in an array; give --worker K/N",
                array_job.index, id, array_job.count, count);
  }
  DSBENCH_TRY(Worker worker,
              checked((*i - *first) / *step, *n, fmt::format("{} and {}", array_job.index, array_job.count)));
  return std::optional{std::move(worker)};
}

Result<Worker> of_environment(std::optional<std::int32_t> workers, const Environment& environment) {
  DSBENCH_TRY(const auto array, of_array(environment));
  for (const Launcher& l : launchers) {
    const char *index = environment(l.index), *count = environment(l.count);
    if (index == nullptr || count == nullptr) continue;
    const auto i = whole_number(index), n = whole_number(count);
    if (!i || !n) {
      return fail(ErrorKind::usage, "{}={} and {}={} are no numbers; give --worker K/N", l.index, index,
                  l.count, count);
    }
    if (array && array->count > 1) {
      if (*n == 1) break;  // one task in each element: the array tells
      return fail(ErrorKind::usage,
                  "{} says {} tasks, and the job array has {} elements: which of {} this is cannot be told; "
                  "give --worker K/N",
                  l.count, *n, array->count, *n * array->count);
    }
    return checked(*i, *n, fmt::format("{} and {}", l.index, l.count));
  }
  if (array) return *array;
  if (const char* index = environment(indexed_job)) {
    const auto i = whole_number(index);
    if (!workers) {
      return fail(ErrorKind::usage,
                  "{}={} says which worker this is and not of how many; add --workers N, the Job's "
                  "completions",
                  indexed_job, index);
    }
    if (!i) return fail(ErrorKind::usage, "{}={} is no number; give --worker K/N", indexed_job, index);
    return checked(*i, *workers, fmt::format("{} and --workers", indexed_job));
  }
  return fail(ErrorKind::usage,
              "--worker auto: nothing says which worker this is; looked for {}; found {}; give --worker K/N",
              looked_for, found_text(environment));
}

}  // namespace

Result<Worker> worker_of(const std::string& text, std::optional<std::int32_t> workers,
                         const Environment& environment) {
  if (text.empty()) {
    if (!workers) return Worker{};
    return fail(ErrorKind::usage,
                "--workers {} alone does not say which of them this is; add --worker K/{} or --worker auto",
                *workers, *workers);
  }
  Worker worker;
  if (text == "auto") {
    DSBENCH_TRY(worker, of_environment(workers, environment));
  } else {
    const std::size_t slash = text.find('/');
    const auto index = whole_number(std::string_view{text}.substr(0, slash));
    const auto count =
        slash == std::string::npos ? std::nullopt : whole_number(std::string_view{text}.substr(slash + 1));
    if (!index || !count || *count < 1 || *count > std::int64_t{most_workers} || *index < 0 ||
        *index >= *count) {
      return fail(ErrorKind::usage,
                  "'{}' is no worker; write which of how many, from 0, as in 2/4 (the last is 3/4), at most "
                  "{}; or auto",
                  text, most_workers);
    }
    worker = {static_cast<std::uint32_t>(*index), static_cast<std::uint32_t>(*count), "--worker " + text};
  }
  if (workers && static_cast<std::uint32_t>(*workers) != worker.count) {
    return fail(ErrorKind::usage, "--workers {}, but {} says {}", *workers, worker.found, worker.count);
  }
  return worker;
}

}  // namespace dsbench::cli
