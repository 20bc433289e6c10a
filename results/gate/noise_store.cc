#include "results/gate/noise_store.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <system_error>

#include "core/files.h"
#include "results/gate/noise.h"

namespace dsbench::results::gate {
namespace {

using Json = nlohmann::ordered_json;
constexpr const char* schema = "dsbench.gate-noise/1";
constexpr std::array<std::string_view, 7> of_a_build{"seed",     "model",  "server_flags", "client_version",
                                                     "compiler", "driver", "slo"};

Result<void> write_noise(const std::filesystem::path& path, const std::vector<NoiseEntry>& entries) {
  Json json{{"schema", schema}, {"entries", Json::array()}};
  for (const NoiseEntry& e : entries) {
    Json entry{{"measured_at", e.measured_at}, {"key", Json::object()}, {"metrics", Json::object()}};
    for (const auto& [name, value] : e.key) entry["key"][name] = value;
    for (const auto& [name, m] : e.metrics)
      entry["metrics"][name] = {{"floor", m.floor}, {"spread", m.spread}, {"runs", m.runs}};
    json["entries"].push_back(std::move(entry));
  }
  std::error_code error;
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), error);
  return write_file_atomically(path, json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace

double MetricNoise::floor_at(std::size_t other_runs) const {
  return floor *
         std::sqrt(static_cast<double>(runs) / static_cast<double>(std::max<std::size_t>(1, other_runs)));
}

Result<std::vector<NoiseEntry>> read_noise(const std::filesystem::path& path) {
  std::error_code error;
  std::vector<NoiseEntry> entries;
  if (path.empty() || !std::filesystem::exists(path, error)) return entries;
  DSBENCH_TRY(const std::string text, read_file(path));
  try {
    const Json json = Json::parse(text);
    if (json.at("schema") != schema) {
      return fail(ErrorKind::usage, "{}: schema {}; accepted: {}", path.string(), json.at("schema").dump(),
                  schema);
    }
    for (const Json& entry : json.at("entries")) {
      NoiseEntry e;
      e.measured_at = entry.at("measured_at").get<std::string>();
      for (const auto& [name, value] : entry.at("key").items())
        e.key.emplace_back(name, value.get<std::string>());
      for (const auto& [name, m] : entry.at("metrics").items()) {
        e.metrics[name] = {m.at("floor").get<double>(), m.at("spread").get<double>(),
                           m.at("runs").get<std::size_t>()};
      }
      entries.push_back(std::move(e));
    }
  } catch (const Json::exception& e) {
    return fail(ErrorKind::usage, "{}: not a noise file of dsbench gate selftest: {}", path.string(),
                e.what());
  }
  return entries;
}

Result<void> store_noise(const std::filesystem::path& path, const NoiseEntry& entry) {
  DSBENCH_TRY(std::vector<NoiseEntry> entries, read_noise(path));
  const auto same =
      std::find_if(entries.begin(), entries.end(), [&](const auto& e) { return e.key == entry.key; });
  if (same != entries.end()) {
    *same = entry;
  } else {
    entries.push_back(entry);
  }
  return write_noise(path, entries);
}

std::vector<std::pair<std::string, std::string>> noise_key(const Evidence& run) {
  std::vector<std::pair<std::string, std::string>> key;
  for (const auto& part : run.key) {
    if (std::find(of_a_build.begin(), of_a_build.end(), part.first) == of_a_build.end()) key.push_back(part);
  }
  // A simulation has no noise of the machine, and a real engine has none of the simulation.
  if (run.run) key.emplace_back("simulated", run.run->simulated ? "yes" : "no");
  return key;
}

const NoiseEntry* find_noise(const std::vector<NoiseEntry>& entries, const Evidence& run) {
  const auto key = noise_key(run);
  const auto found =
      std::find_if(entries.begin(), entries.end(), [&](const auto& e) { return e.key == key; });
  return found == entries.end() ? nullptr : &*found;
}

NoiseEntry noise_of(std::span<const Evidence> runs, const std::vector<std::string>& metrics,
                    std::string measured_at) {
  NoiseEntry entry;
  entry.measured_at = std::move(measured_at);
  if (runs.empty()) return entry;
  entry.key = noise_key(runs.front());
  for (const std::string& name : metrics) {
    std::vector<double> values;
    for (const Evidence& run : runs) {
      if (const Measured* m = run.find(name); m != nullptr && m->value) values.push_back(*m->value);
    }
    const double floor = noise_floor(values, 1);
    if (std::isfinite(floor)) entry.metrics[name] = {floor, relative_spread(values), values.size() / 2};
  }
  return entry;
}

Result<void> check_margins(const NoiseEntry& noise, const std::vector<std::string>& metrics,
                           const JudgeSettings& settings, std::string_view kind, std::size_t runs) {
  std::string refused;
  for (const std::string& name : metrics) {
    const auto known = noise.metrics.find(name);
    if (known == noise.metrics.end()) continue;
    const double margin = margin_of(settings, name, kind), floor = known->second.floor_at(runs);
    if (margin >= floor) continue;
    refused += fmt::format("\n  {}: margin {:g} %, floor {:.1f} %", name, 100 * margin, 100 * floor);
  }
  if (refused.empty()) return {};
  return fail(
      ErrorKind::usage,
      "a margin below the noise floor would call noise a change: medians of {} runs of one and the same "
      "build differed by more than the floor one time in twenty (self-test of {}){}\n"
      "accepted: a margin of at least the floor (--margin 'METRIC=P%'), more --runs, longer runs, or other "
      "--metric",
      runs, noise.measured_at, refused);
}

}  // namespace dsbench::results::gate
