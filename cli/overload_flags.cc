#include "cli/overload_flags.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>

#include "cli/flags.h"

namespace dsbench::cli {
namespace {

constexpr std::array<std::string_view, 12> names{
    "max-queued-tokens",   "ttft-target",    "adaptive-concurrency", "queue-order",
    "codel-target",        "standing-queue", "account-rate",         "account-tokens",
    "account-concurrency", "tenant",         "expire-after",         "cancel-expired"};

template <class T>
T value_or_throw(const std::string& flag, Result<T> parsed) {
  if (!parsed) throw CLI::ValidationError(flag, parsed.error().message);
  return *std::move(parsed);
}

// "5/s" or "5/s:20": a rate and what may be saved up, by default a second's worth.
Result<engine::Bucket> parse_bucket(const std::string& text) {
  const std::size_t colon = text.find(':');
  std::string rate = text.substr(0, colon);
  if (rate.ends_with("/s")) rate.resize(rate.size() - 2);
  const auto number = [&](const std::string& part) -> std::optional<double> {
    double value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (error != std::errc{} || end != part.data() + part.size() || !(value > 0)) return std::nullopt;
    return value;
  };
  engine::Bucket bucket;
  const auto per_second = number(rate);
  const auto burst = colon == std::string::npos ? std::optional{std::max(1.0, per_second.value_or(1))}
                                                : number(text.substr(colon + 1));
  if (!per_second || !burst) {
    return fail(ErrorKind::usage, "'{}' is no limit; give a rate as 5/s, or with a burst as 5/s:20", text);
  }
  bucket.rate = *per_second;
  bucket.burst = *burst;
  return bucket;
}

}  // namespace

bool is_overload_flag(std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void add_overload_flags(CLI::App& app, engine::OverloadConfig& c, const std::string& prefix,
                        const std::string& group) {
  const auto flag = [&](const char* name) { return "--" + prefix + name; };
  const auto text = [&](const char* name, const char* type, const char* help, const char* absent, auto set) {
    const std::string full = flag(name);
    return app
        .add_option_function<std::string>(
            full, [full, set](const std::string& value) { set(full, value); }, help)
        ->type_name(type)
        ->default_str(absent)
        ->group(group);
  };
  text("max-queued-tokens", "N", "prompt tokens that may wait; more are refused with 503", "unbounded",
       [&c](const std::string& f, const std::string& v) {
         std::int64_t n = 0;
         const auto [end, error] = std::from_chars(v.data(), v.data() + v.size(), n);
         if (error != std::errc{} || end != v.data() + v.size() || n < 1)
           throw CLI::ValidationError(f, "'" + v + "' is not accepted; give a whole number from 1");
         c.max_queued_tokens = n;
       });
  add_duration(app, flag("ttft-target"), c.ttft_target,
               "early rejection: refuse with 503 what is predicted to get its first token later than this",
               "none")
      ->group(group);
  text("adaptive-concurrency", "FACTOR",
       "bound what runs and waits so that the time per token stays below this multiple of the unloaded one; "
       "more are refused with 503",
       "none", [&c](const std::string& f, const std::string& v) {
         double factor = 0;
         const auto [end, error] = std::from_chars(v.data(), v.data() + v.size(), factor);
         if (error != std::errc{} || end != v.data() + v.size() || !(factor > 1))
           throw CLI::ValidationError(f, "'" + v + "' is not accepted; give a number above 1, such as 2");
         c.adaptive_concurrency = factor;
       });
  text("queue-order", "ORDER", "who of the waiting goes next: fcfs, shortest-prompt, priority, adaptive-lifo",
       "fcfs", [&c](const std::string& f, const std::string& v) {
         c.order = value_or_throw(f, engine::parse_queue_order(v));
       });
  add_duration(
      app, flag("codel-target"), c.codel_target,
      "controlled delay: once the queue is standing, who has waited longer than this is refused with 503",
      "none")
      ->group(group);
  add_duration(app, flag("standing-queue"), c.standing,
               "a queue that has not been empty for this long is standing (codel-target, adaptive-lifo)")
      ->group(group);
  const auto bucket = [&](const char* name, const char* help, std::optional<engine::Bucket>& into) {
    text(name, "RATE[:BURST]", help, "unlimited",
         [&into](const std::string& f, const std::string& v) { into = value_or_throw(f, parse_bucket(v)); });
  };
  bucket("account-rate", "requests per second of one account; more are refused with 429 and Retry-After",
         c.account.requests);
  bucket("account-tokens",
         "tokens per second (prompt and max_tokens) of one account; more are refused with 429",
         c.account.tokens);
  add_count(app, flag("account-concurrency"), c.account.concurrency, 1, 1 << 20,
            "requests of one account at a time; more are refused with 429", "unlimited")
      ->group(group);
  const std::string tenant = flag("tenant");
  app.add_option_function<std::vector<std::string>>(
         tenant,
         [tenant, &c](const std::vector<std::string>& all) {
           for (const std::string& one : all)
             c.tenants.push_back(value_or_throw(tenant, engine::parse_tenant(one)));
         },
         "a class of callers, repeatable; the first is whoever names none: "
         "paid:rank=0,weight=4,rate=5/s,burst=10,tokens=20000/s,concurrency=8,all=100")
      ->type_name("NAME[:K=V,…]")
      ->default_str("one class")
      ->group(group);
  add_duration(
      app, flag("expire-after"), c.expire_after,
      "an answer is of no use after this long from its request's arrival: counted as work after expiry",
      "never")
      ->group(group);
  app.add_flag(flag("cancel-expired"), c.cancel_expired,
               "end requests whose answer has become of no use, waiting or running")
      ->group(group);
}

}  // namespace dsbench::cli
