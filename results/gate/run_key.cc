// What must be equal for two run directories to be compared.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "results/gate/evidence.h"
#include "results/gate/evidence_readers.h"
#include "results/run_file.h"

namespace dsbench::results::gate {
namespace {

using Json = nlohmann::json;  // sorted keys: equal objects give equal texts

// Prose does not change what is measured.
void without_prose(Json& json) {
  if (json.is_object()) {
    json.erase("description");
    json.erase("comments");
  }
  for (auto& inner : json) {
    if (inner.is_structured()) without_prose(inner);
  }
}

std::string text_of(Json json) {
  if (json.is_null()) return "none";
  without_prose(json);
  return json.is_string() ? json.get<std::string>() : json.dump();
}

std::string fact(const RunSummary& run, std::string_view name) {
  const auto found =
      std::find_if(run.host.begin(), run.host.end(), [&](const auto& f) { return f.first == name; });
  return found == run.host.end() ? "not known" : found->second;
}

struct Target {
  std::string model = "not known", flags = "not known";
};

// "model M, server S, context N tokens, dsbench serve --a b" by target, joined by " | "; of a simulated fleet
// its parameters.
Target target_of(const RunSummary& run) {
  const std::string& text = run.target_description;
  if (text.empty()) return {};
  if (run.simulated) return {"simulated", text};
  Target target{"", ""};
  for (std::size_t from = 0; from <= text.size();) {
    const std::size_t to = std::min(text.find(" | ", from), text.size());
    const std::string one = text.substr(from, to - from);
    const std::size_t comma = one.find(", ");
    if (!target.model.empty()) {
      target.model += " | ";
      target.flags += " | ";
    }
    target.model +=
        one.substr(one.starts_with("model ") ? 6 : 0,
                   comma == std::string::npos ? comma : comma - (one.starts_with("model ") ? 6 : 0));
    target.flags += comma == std::string::npos ? "not known" : one.substr(comma + 2);
    from = to + 3;
  }
  return target;
}

std::string memory_in_gib(const std::string& bytes) {
  if (bytes.empty() || bytes.size() > 18 || bytes.find_first_not_of("0123456789") != std::string::npos)
    return bytes;
  return fmt::format("{:.0f} GiB", static_cast<double>(std::stoll(bytes)) / 1073741824.0);
}

}  // namespace

std::vector<std::string_view> run_keys() {
  return {"schema", "kind",  "workload",     "arrivals", "rates",  "slo",           "client",
          "seed",   "model", "server_flags", "hardware", "driver", "client_version"};
}

std::vector<std::pair<std::string, std::string>> comparability_key(const RunSummary& run) {
  Json profile = Json::parse(run.profile_json, nullptr, false);
  if (profile.is_discarded() || !profile.is_object()) profile = Json::object();
  const auto part = [&](const char* name) {
    const auto found = profile.find(name);
    return found == profile.end() ? Json{} : *found;
  };
  Json traffic = part("traffic");
  Json arrivals;
  if (traffic.is_object()) {
    if (traffic.contains("arrivals")) arrivals = traffic["arrivals"];
    traffic.erase("arrivals");
  }
  // A rehearsal finds its rates; what it may take to find them is given.
  if (traffic.is_null()) traffic = part("rehearsal");
  const Target target = target_of(run);
  return {
      {"schema", fmt::format("dsbench.run/{}", run_schema_major)},
      {"kind", run.kind},
      {"workload", text_of(part("workload"))},
      {"arrivals", text_of(arrivals)},
      {"rates", text_of(traffic)},
      {"slo", text_of(part("slo"))},
      {"client", text_of(part("client"))},
      {"seed", fmt::format("{}", run.seed)},
      {"model", target.model},
      {"server_flags", target.flags},
      {"hardware", fmt::format("{}, {} cores, {}", fact(run, "cpu_model"), fact(run, "cores"),
                               memory_in_gib(fact(run, "memory_bytes")))},
      {"driver", fmt::format("{}, clock {}, governor {}", fact(run, "kernel"), fact(run, "clock_source"),
                             fact(run, "cpu_governor"))},
      {"client_version", fmt::format("{} {} {}", run.dsbench_version, run.dsbench_commit, run.dsbench_build)},
  };
}

}  // namespace dsbench::results::gate
