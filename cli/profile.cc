#include "cli/profile.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "cli/exit_codes.h"
#include "cli/flags.h"
#include "cli/profile_fit.h"
#include "cli/refuse.h"
#include "cli/terminal_width.h"
#include "cli/traffic_chart.h"
#include "core/files.h"
#include "core/text.h"
#include "profiles/catalog.h"
#include "profiles/client_profile.h"
#include "profiles/fleet_profile.h"
#include "profiles/hardware_profile.h"
#include "profiles/json_object.h"
#include "profiles/model_profile.h"
#include "profiles/slo_profile.h"
#include "profiles/traffic_profile.h"
#include "profiles/workload_profile.h"

namespace dsbench::cli {
namespace {

template <class T>
Result<void> outcome(const Result<T>& loaded) {
  if (!loaded) return tl::unexpected(loaded.error());
  return {};
}

Result<void> load_any(std::string_view kind, const std::string& name) {
  if (kind == "traffic") return outcome(profiles::load_traffic(name));
  if (kind == "workload") return outcome(profiles::load_workload(name));
  if (kind == "slo") return outcome(profiles::load_slo(name));
  if (kind == "client") return outcome(profiles::load_client(name));
  if (kind == "model") return outcome(profiles::load_model_profile(name));
  if (kind == "hardware") return outcome(profiles::load_hardware(name));
  return outcome(profiles::load_fleet(name));
}

Result<void> known_kind(const std::string& kind) {
  const auto kinds = profiles::kinds();
  if (std::find(kinds.begin(), kinds.end(), kind) != kinds.end()) return {};
  const std::string_view near = nearest_word(kind, kinds);
  return fail(ErrorKind::usage, "no kind of profile '{}'; accepted: {}{}", kind, join(kinds),
              near.empty() ? "" : fmt::format("; did you mean '{}'?", near));
}

struct ShowOptions {
  profiles::TrafficScale scale;
  bool json = false;
  bool given = false;  // a scale
};

// The first sentence of what a profile says of itself, as long as a line has room.
std::string summary_of(std::string_view kind, std::string_view name) {
  constexpr std::size_t room = 88;
  const auto found = profiles::find_profile(kind, name);
  if (!found) return {};
  const auto json = nlohmann::json::parse(found->text, nullptr, false);
  if (!json.is_object() || !json.contains("description") || !json["description"].is_string()) return {};
  std::string text = json["description"].get<std::string>();
  text = text.substr(0, text.find(". "));
  while (text.ends_with('.')) text.pop_back();
  if (text.size() <= room) return text;
  const std::size_t space = text.rfind(' ', room);
  return text.substr(0, space == std::string::npos ? room : space) + " …";
}

int list() {
  std::size_t widest = 0;
  for (const std::string_view kind : profiles::kinds()) {
    for (const std::string_view name : profiles::shipped_names(kind))
      widest = std::max(widest, kind.size() + 1 + name.size());
  }
  for (const std::string_view kind : profiles::kinds()) {
    for (const std::string_view name : profiles::shipped_names(kind)) {
      const std::string summary = summary_of(kind, name);
      const std::string full = fmt::format("{}/{}", kind, name);
      fmt::print("{}\n", summary.empty() ? full : fmt::format("{:<{}}  {}", full, widest, summary));
    }
  }
  return exit_ok;
}

// What "traffic ramp", "traffic/ramp", "ramp" and "my.json" mean: a kind, and a name or a path. A file's kind
// is in its schema.
Result<std::pair<std::string, std::string>> resolve(const std::string& kind, const std::string& name) {
  if (!name.empty()) {
    DSBENCH_CHECK(known_kind(kind));
    return std::pair{kind, name};
  }
  const auto kinds = profiles::kinds();
  if (const std::size_t slash = kind.find('/'); slash != std::string::npos && !kind.ends_with(".json")) {
    const std::string before = kind.substr(0, slash);
    if (std::find(kinds.begin(), kinds.end(), before) != kinds.end())
      return std::pair{before, kind.substr(slash + 1)};
  }
  if (kind.ends_with(".json") || kind.find('/') != std::string::npos) {
    DSBENCH_TRY(const std::string text, read_file(kind));
    const auto json = nlohmann::json::parse(text, nullptr, false);
    std::string schema;
    if (json.is_object() && json.contains("schema") && json["schema"].is_string())
      schema = json["schema"].get<std::string>();
    for (const std::string_view known : kinds) {
      if (schema.starts_with(fmt::format("dsbench.{}/", known))) return std::pair{std::string{known}, kind};
    }
    return fail(ErrorKind::usage, "'{}' has the schema '{}'; accepted: dsbench.KIND/1 with a KIND of {}",
                kind, schema, join(kinds));
  }
  std::vector<std::string> found;
  std::vector<std::string_view> all;
  for (const std::string_view known : kinds) {
    for (const std::string_view shipped : profiles::shipped_names(known)) {
      all.push_back(shipped);
      if (shipped == kind) found.push_back(std::string{known});
    }
  }
  if (found.size() == 1) return std::pair{found.front(), kind};
  if (!found.empty())
    return fail(ErrorKind::usage, "'{}' is a name of several kinds: {}; say which, as in '{} {}'", kind,
                fmt::join(found, ", "), found.front(), kind);
  if (std::find(kinds.begin(), kinds.end(), kind) != kinds.end()) {
    return fail(ErrorKind::usage, "which {} profile? accepted: {}, or a .json file", kind,
                join(profiles::shipped_names(kind)));
  }
  const std::string_view near = nearest_word(kind, all);
  return fail(ErrorKind::usage, "no profile '{}'; dsbench profile list has them all{}", kind,
              near.empty() ? "" : fmt::format("; did you mean '{}'?", near));
}

int show_traffic(const std::string& name, const ShowOptions& o) {
  auto traffic = profiles::load_traffic(name);
  if (traffic) traffic = profiles::scaled(std::move(*traffic), o.scale);
  if (!traffic) return refuse("profile", traffic.error());
  fmt::print("{}", o.json ? to_json(*traffic) + "\n" : draw_traffic(*traffic, page_width(STDOUT_FILENO)));
  return exit_ok;
}

int show(const std::string& asked_kind, const std::string& asked_name, const ShowOptions& o) {
  const auto what = resolve(asked_kind, asked_name);
  if (!what) return refuse("profile", what.error());
  const auto& [kind, name] = *what;
  if (kind == "traffic") return show_traffic(name, o);
  if (o.given) {
    return refuse("profile",
                  {ErrorKind::usage, fmt::format("--compress, --rate-scale and --base-rate are for traffic "
                                                 "profiles; '{}' is a {} profile",
                                                 name, kind)});
  }
  const auto found = profiles::find_profile(kind, name);
  if (!found) return refuse("profile", found.error());
  fmt::print("{}{}", found->text, found->text.ends_with('\n') ? "" : "\n");
  return exit_ok;
}

int check(const std::string& asked_kind, const std::string& asked_name, const ShowOptions&) {
  const auto what = resolve(asked_kind, asked_name);
  if (!what) return refuse("profile", what.error());
  const auto& [kind, name] = *what;
  if (const auto loaded = load_any(kind, name); !loaded) return refuse("profile", loaded.error());
  fmt::print("{}{}{}: accepted\n", kind, name.find('/') == std::string::npos ? "/" : " ", name);
  return exit_ok;
}

}  // namespace

void add_profile(CLI::App& app, std::function<int()>& chosen) {
  struct Options {
    std::string kind, name;
    ShowOptions show;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("profile", "list, show, check or fit profiles");
  verb->require_subcommand(1);
  verb->add_subcommand("list", "every shipped profile")->callback([&chosen] { chosen = list; });
  const auto kinds = profiles::kinds();
  const auto with_name = [&](const char* word, const char* help,
                             int (*act)(const std::string&, const std::string&, const ShowOptions&)) {
    CLI::App* sub = verb->add_subcommand(word, help);
    sub->add_option(
           "kind", options->kind,
           "one of: " + join(kinds) + "; may be left out where the name or the file's schema says it")
        ->required()
        ->type_name("KIND");
    sub->add_option("name", options->name, "a shipped name, or a path to a .json file")
        ->type_name("NAME|FILE");
    sub->callback([options, act, &chosen] {
      chosen = [options, act] { return act(options->kind, options->name, options->show); };
    });
    return sub;
  };
  CLI::App* shown = with_name("show",
                              "print a profile; a traffic profile is drawn, as wide as the terminal (or "
                              "COLUMNS; 60 to 200, else 100)",
                              show);
  ShowOptions& s = options->show;
  shown->add_flag("--json", s.json, "a traffic profile as JSON, as resolved, instead of drawn");
  const auto factor = [&](const char* flag, double& value, const char* help) {
    shown
        ->add_option_function<double>(
            flag,
            [&s, &value](double v) {
              value = v;
              s.given = true;
            },
            help)
        ->check(CLI::Range(1e-9, 1e9))
        ->type_name("X")
        ->default_str("1");
  };
  factor("--compress", s.scale.compress, "let it pass so many times faster");
  factor("--rate-scale", s.scale.rate, "multiply every rate");
  add_rate(*shown, "--base-rate", s.scale.base_rate, "the rate of an ordinary day", "the profile's");
  with_name("check", "read a profile strictly and say everything that is wrong with it", check);
  add_profile_fit(*verb, chosen);
}

}  // namespace dsbench::cli
