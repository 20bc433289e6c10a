#include "cli/ceiling.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <system_error>

#include "core/files.h"
#include "core/text.h"

namespace dsbench::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* schema = "dsbench.ceiling/1";
constexpr double safe_share = 0.8;

}  // namespace

std::filesystem::path ceiling_path() {
  const auto variable = [](const char* name) -> std::filesystem::path {
    const char* const value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
  std::filesystem::path cache = variable("XDG_CACHE_HOME");
  if (!cache.is_absolute()) {  // as the specification wants it
    const auto home = variable("HOME");
    if (home.empty()) return {};
    cache = home / ".cache";
  }
  return cache / "dsbench" / "ceiling.json";
}

std::string print_ceiling(const Ceiling& c) {
  Json json;
  json["schema"] = schema;
  json["measured_at"] = c.measured_at;
  json["dsbench_version"] = c.dsbench_version;
  json["dsbench_commit"] = c.dsbench_commit;
  json["cpu_model"] = c.cpu_model;
  json["cores"] = c.cores;
  json["threads"] = c.threads;
  json["requests_rps"] = c.requests.per_second();
  json["requests_limited_by"] = c.requests_limited_by;
  json["events_per_s"] = c.events.per_second();
  json["packed_events_per_s"] = c.packed_events.per_second();
  json["streams"] = c.streams;
  json["stream_events_per_s"] = c.stream_events.per_second();
  json["lag_rate_rps"] = c.lag_rate.per_second();
  json["send_lag_p50_ns"] = c.send_lag_p50.count();
  json["send_lag_p99_ns"] = c.send_lag_p99.count();
  json["platform_jitter_p99_ns"] = c.platform_jitter_p99.count();
  return json.dump(2) + "\n";
}

Result<Ceiling> parse_ceiling(const std::string& text) {
  try {
    const Json json = Json::parse(text);
    if (json.at("schema") != schema) {
      return fail(ErrorKind::usage, "the ceiling has schema {}; accepted is \"{}\"", json.at("schema").dump(),
                  schema);
    }
    Ceiling c;
    json.at("measured_at").get_to(c.measured_at);
    json.at("dsbench_version").get_to(c.dsbench_version);
    json.at("dsbench_commit").get_to(c.dsbench_commit);
    json.at("cpu_model").get_to(c.cpu_model);
    json.at("cores").get_to(c.cores);
    json.at("threads").get_to(c.threads);
    json.at("requests_limited_by").get_to(c.requests_limited_by);
    json.at("streams").get_to(c.streams);
    const auto rate = [&](const char* key) { return Rate::per_second(json.at(key).get<double>()); };
    c.requests = rate("requests_rps");
    c.events = rate("events_per_s");
    c.packed_events = rate("packed_events_per_s");
    c.stream_events = rate("stream_events_per_s");
    c.lag_rate = rate("lag_rate_rps");
    const auto time = [&](const char* key) { return Nanos{json.at(key).get<std::int64_t>()}; };
    c.send_lag_p50 = time("send_lag_p50_ns");
    c.send_lag_p99 = time("send_lag_p99_ns");
    c.platform_jitter_p99 = time("platform_jitter_p99_ns");
    return c;
  } catch (const Json::exception& e) {
    return fail(ErrorKind::usage,
                "the ceiling cannot be read: {}; measure it again with dsbench doctor --ceiling", e.what());
  }
}

Result<void> write_ceiling(const std::filesystem::path& path, const Ceiling& ceiling) {
  if (path.empty()) {
    return fail(ErrorKind::usage,
                "there is no place for the ceiling: neither XDG_CACHE_HOME nor HOME is set");
  }
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) {
    return fail(ErrorKind::io, "cannot make the folder '{}': {}", path.parent_path().string(),
                error.message());
  }
  return write_file_atomically(path, print_ceiling(ceiling));
}

std::optional<Ceiling> read_ceiling(const std::filesystem::path& path) {
  if (path.empty()) return std::nullopt;
  const auto text = read_file(path);
  if (!text) return std::nullopt;
  auto ceiling = parse_ceiling(*text);
  if (!ceiling) return std::nullopt;
  return std::move(*ceiling);
}

std::optional<std::string> beyond_ceiling(const Ceiling& c, const CeilingLoad& load) {
  if (c.cpu_model != load.cpu_model || c.cores != load.cores || c.threads < 1) return std::nullopt;
  const double scale =
      std::max(1.0, static_cast<double>(std::min(load.threads, std::max(load.cores, c.threads))) /
                        static_cast<double>(c.threads));
  struct Figure {
    const char* name;
    double asked, most;
  };
  const Figure figures[] = {
      {"requests/s", load.requests.per_second(), c.requests.per_second() * scale},
      {"SSE events/s", load.events.per_second(), c.events.per_second() * scale},
      {"concurrent streams", static_cast<double>(load.streams), static_cast<double>(c.streams) * scale}};
  const Figure* worst = nullptr;
  for (const Figure& f : figures) {
    if (f.most <= 0 || f.asked <= safe_share * f.most) continue;
    if (worst == nullptr || f.asked / f.most > worst->asked / worst->most) worst = &f;
  }
  if (worst == nullptr) return std::nullopt;
  return fmt::format(
      "the run asked the generator for {:.0f} {}, {:.0f} % of the {:.0f} that it reached here against a "
      "server that does "
      "nothing (measured {}); beyond {:.0f} % what is measured may be the generator: use more --threads or "
      "more hosts",
      worst->asked, worst->name, 100 * worst->asked / worst->most, worst->most, c.measured_at,
      100 * safe_share);
}

}  // namespace dsbench::cli
