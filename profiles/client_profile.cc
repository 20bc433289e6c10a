#include "profiles/client_profile.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "core/text.h"
#include "profiles/catalog.h"
#include "profiles/json_object.h"

namespace dsbench::profiles {
namespace {

struct Timeout {
  std::string_view key;
  std::optional<Nanos> ClientProfile::*field;
};
constexpr std::array<Timeout, 4> timeouts{{{"connect_timeout", &ClientProfile::connect_timeout},
                                           {"first_token_timeout", &ClientProfile::first_token_timeout},
                                           {"stall_timeout", &ClientProfile::stall_timeout},
                                           {"total_timeout", &ClientProfile::total_timeout}}};

template <std::size_t n>
std::vector<std::string_view> list(const std::array<std::string_view, n>& words) {
  return {words.begin(), words.end()};
}

// A duration above nought.
Nanos positive(JsonObject& object, std::string_view key, std::optional<Nanos> fallback = std::nullopt) {
  const Nanos value = object.duration(key, fallback);
  if (value <= Nanos{0}) object.complain(key, "must be above nought");
  return value;
}

// A whole number in [low, high].
std::int32_t whole(JsonObject& object, std::string_view key, std::int32_t low, std::int32_t high,
                   std::optional<std::int32_t> fallback = std::nullopt) {
  const std::int64_t value =
      object.integer(key, fallback ? std::optional<std::int64_t>{*fallback} : std::nullopt);
  if (value < low || value > high) {
    object.complain(key, fmt::format("found {}; accepted: {} to {}", value, low, high));
    return low;
  }
  return static_cast<std::int32_t>(value);
}

// A number in [low, high] or (low, high].
double number_in(JsonObject& object, std::string_view key, double low, double high, bool with_low,
                 std::string_view what, std::optional<double> fallback = std::nullopt) {
  const double value = object.number(key, fallback);
  if (!(value <= high && (with_low ? value >= low : value > low))) {
    object.complain(key, fmt::format("found {}; accepted: {}{:g} to {:g} ({})", value,
                                     with_low ? "" : "above ", low, high, what));
  }
  return value;
}

void read_retry(JsonObject& retry, ClientProfile& profile) {
  profile.max_retries = whole(retry, "max_retries", 0, 1000);
  profile.retry_growth = retry.choice("growth", list(growth_words), profile.retry_growth);
  profile.retry_initial = retry.duration("initial", profile.retry_initial);
  profile.retry_cap = retry.duration("cap", profile.retry_cap);
  profile.retry_jitter_law = retry.choice("jitter_law", list(jitter_words), profile.retry_jitter_law);
  profile.retry_jitter =
      number_in(retry, "jitter", 0, 1, true, "the share of the delay that is random", profile.retry_jitter);
  profile.obey_server = retry.boolean("obey_server", profile.obey_server);
  profile.retry_after_limit = retry.duration("retry_after_limit", profile.retry_after_limit);
  profile.own_delay_beyond_limit =
      retry.choice("beyond_limit", {"give_up", "own_delay"}, profile.own_delay_beyond_limit ? 1 : 0) == 1;
  if (retry.has("statuses")) {
    if (auto statuses = parse_statuses(retry.text("statuses"))) {
      profile.retry_statuses = std::move(*statuses);
    } else {
      retry.complain("statuses", statuses.error().message);
    }
  }
  profile.retry_connection_errors = retry.boolean("connection_errors", profile.retry_connection_errors);
  profile.retry_timeouts = retry.boolean("timeouts", profile.retry_timeouts);
  profile.retry_broken_streams = retry.boolean("broken_streams", profile.retry_broken_streams);
}

ClientProfile::Patience read_patience(JsonObject& object) {
  ClientProfile::Patience patience;
  patience.law = object.choice("law", list(patience_words));
  patience.scale = positive(object, "scale");
  if (patience_words[patience.law] == "lognormal" || patience_words[patience.law] == "weibull") {
    patience.shape = number_in(object, "shape", 0, 100, false,
                               "lognormal: standard deviation of the logarithm; weibull: shape");
  }
  return patience;
}

ClientProfile::Budget read_budget(JsonObject& object) {
  ClientProfile::Budget budget;
  budget.kind = object.choice("kind", list(budget_words));
  budget.share = number_in(object, "share", 0, 1000, true, "retries for each request", budget.share);
  const bool deposits = budget_words[budget.kind] == "deposits";
  budget.minimum = number_in(object, "minimum", 0, 1e6, true,
                             deposits ? "retries a second in any case" : "retries at once in any case",
                             deposits ? 10.0 : 3.0);
  if (deposits) budget.ttl = positive(object, "ttl", budget.ttl);
  return budget;
}

ClientProfile::Hedge read_hedge(JsonObject& object) {
  ClientProfile::Hedge hedge;
  if (object.has("delay")) hedge.delay = positive(object, "delay");
  if (object.has("quantile")) {
    hedge.quantile = number_in(object, "quantile", 0, 1, false, "of the recent times to first token");
  }
  if (!hedge.delay && !hedge.quantile) {
    object.complain("delay", "nothing says when to hedge; give delay, quantile, or both");
  }
  return hedge;
}

ClientProfile::Breaker read_breaker(JsonObject& object) {
  ClientProfile::Breaker breaker;
  breaker.consecutive_failures = whole(object, "consecutive_failures", 0, 1'000'000, 0);
  if (object.has("failure_share")) {
    breaker.failure_share = number_in(object, "failure_share", 0, 1, false, "of the attempts in the window");
    breaker.window = positive(object, "window", breaker.window);
    breaker.window_attempts = whole(object, "window_attempts", 1, 1'000'000, breaker.window_attempts);
  }
  if (object.has("slow_first_token")) breaker.slow_first_token = positive(object, "slow_first_token");
  if (breaker.consecutive_failures == 0 && !breaker.failure_share) {
    object.complain("consecutive_failures",
                    "this breaker never opens; give consecutive_failures, failure_share, or both");
  }
  breaker.open_for = positive(object, "open_for", breaker.open_for);
  breaker.probes = whole(object, "probes", 1, 1000, breaker.probes);
  breaker.probe_successes = whole(object, "probe_successes", 1, 1000, breaker.probe_successes);
  breaker.hold = object.duration("hold", breaker.hold);
  breaker.refuse_when_all_open = object.choice("when_all_open", {"send", "refuse"}, 0) == 1;
  return breaker;
}

}  // namespace

ClientProfile read_client(JsonObject& root) {
  ClientProfile profile;
  for (const Timeout& timeout : timeouts) {
    if (!root.has(timeout.key)) continue;
    const Nanos value = root.duration(timeout.key, Nanos{1});
    if (value <= Nanos{0})
      root.complain(timeout.key,
                    "gives up at once; give a time above nought, or leave it out to wait for ever");
    profile.*timeout.field = value;
  }
  profile.comments_feed_timeout = root.boolean("comments_feed_timeout", false);
  const auto optional = [&root](std::string_view key, auto& field, auto read) {
    if (!root.has(key)) return;
    JsonObject object = root.object(key);
    field = read(object);
  };
  optional("patience", profile.patience, read_patience);
  if (root.has("retry")) {
    JsonObject retry = root.object("retry");
    read_retry(retry, profile);
  }
  optional("budget", profile.budget, read_budget);
  optional("hedge", profile.hedge, read_hedge);
  optional("breaker", profile.breaker, read_breaker);
  return profile;
}

Result<ClientProfile> parse_client(std::string_view json, std::string source) {
  DSBENCH_TRY(JsonObject root, JsonObject::parse(json, std::move(source)));
  root.schema("client", 1);
  const std::string description = root.text("description", "");
  ClientProfile profile = read_client(root);
  profile.name = root.source();
  profile.description = description;
  DSBENCH_CHECK(root.finish());
  return profile;
}

Result<ClientProfile> load_client(std::string_view name_or_path) {
  DSBENCH_TRY(const ProfileText found, find_profile("client", name_or_path));
  DSBENCH_TRY(ClientProfile profile, parse_client(found.text, found.source));
  profile.name = std::string(name_or_path);
  return profile;
}

std::string to_json(const ClientProfile& profile) {
  nlohmann::ordered_json root;
  root["schema"] = "dsbench.client/1";
  if (!profile.description.empty()) root["description"] = profile.description;
  for (const Timeout& timeout : timeouts) {
    if (profile.*timeout.field) root[std::string(timeout.key)] = print_duration(*(profile.*timeout.field));
  }
  root["comments_feed_timeout"] = profile.comments_feed_timeout;
  if (const auto& patience = profile.patience) {
    auto& object = root["patience"];
    object = {{"law", patience_words[patience->law]}, {"scale", print_duration(patience->scale)}};
    if (patience->law >= 2) object["shape"] = patience->shape;
  }
  root["retry"] = {{"max_retries", profile.max_retries},
                   {"growth", growth_words[profile.retry_growth]},
                   {"initial", print_duration(profile.retry_initial)},
                   {"cap", print_duration(profile.retry_cap)},
                   {"jitter_law", jitter_words[profile.retry_jitter_law]},
                   {"jitter", profile.retry_jitter},
                   {"obey_server", profile.obey_server},
                   {"retry_after_limit", print_duration(profile.retry_after_limit)},
                   {"beyond_limit", profile.own_delay_beyond_limit ? "own_delay" : "give_up"},
                   {"statuses", print_statuses(profile.retry_statuses)},
                   {"connection_errors", profile.retry_connection_errors},
                   {"timeouts", profile.retry_timeouts},
                   {"broken_streams", profile.retry_broken_streams}};
  if (const auto& budget = profile.budget) {
    auto& object = root["budget"];
    object = {{"kind", budget_words[budget->kind]}, {"share", budget->share}, {"minimum", budget->minimum}};
    if (budget->kind == 0) object["ttl"] = print_duration(budget->ttl);
  }
  if (const auto& hedge = profile.hedge) {
    auto& object = root["hedge"] = nlohmann::ordered_json::object();
    if (hedge->delay) object["delay"] = print_duration(*hedge->delay);
    if (hedge->quantile) object["quantile"] = *hedge->quantile;
  }
  if (const auto& breaker = profile.breaker) {
    auto& object = root["breaker"] = nlohmann::ordered_json::object();
    object["consecutive_failures"] = breaker->consecutive_failures;
    if (breaker->failure_share) {
      object["failure_share"] = *breaker->failure_share;
      object["window"] = print_duration(breaker->window);
      object["window_attempts"] = breaker->window_attempts;
    }
    if (breaker->slow_first_token) object["slow_first_token"] = print_duration(*breaker->slow_first_token);
    object["open_for"] = print_duration(breaker->open_for);
    object["probes"] = breaker->probes;
    object["probe_successes"] = breaker->probe_successes;
    object["hold"] = print_duration(breaker->hold);
    object["when_all_open"] = breaker->refuse_when_all_open ? "refuse" : "send";
  }
  return root.dump();
}

}  // namespace dsbench::profiles
