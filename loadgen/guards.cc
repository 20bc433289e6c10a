#include "loadgen/guards.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/text.h"

namespace dsbench::loadgen {
namespace {

using results::Reason;
using results::RequestRecord;

constexpr Nanos one_second{1'000'000'000};
constexpr Nanos longest_window = std::chrono::minutes{30};
// Below these a share says nothing.
constexpr std::int64_t enough_for_long = 50, enough_for_short = 5;
constexpr double z95 = 1.6449;

constexpr std::array<std::string_view, 7> words{"burn",   "collapse", "failed",   "refused",
                                                "tokens", "cost",     "generator"};
constexpr std::string_view forms =
    "burn(14.4,60s,5s), collapse(10s), failed(10%,10s), refused(20), tokens(5000000), cost(10), "
    "generator(10s)";

// The arguments between the parentheses of one rule.
struct Arguments {
  std::string_view rule;
  std::vector<std::string_view> values;

  [[nodiscard]] tl::unexpected<Error> wrong(std::string_view why) const {
    return fail(ErrorKind::usage, "stop rule '{}': {}; accepted: {}", rule, why, forms);
  }
  Result<void> count(std::size_t n) const {
    if (values.size() == n) return {};
    return wrong(fmt::format("it takes {} value{}, found {}", n, n == 1 ? "" : "s", values.size()));
  }
  Result<double> number(std::size_t i, double above) const {
    const std::string_view text = values[i];
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || !(value > above))
      return wrong(fmt::format("'{}' is no number above {}", text, above));
    return value;
  }
  Result<std::int64_t> whole(std::size_t i) const {
    const std::string_view text = values[i];
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value < 1)
      return wrong(fmt::format("'{}' is no whole number from 1 on", text));
    return value;
  }
  Result<Nanos> window(std::size_t i) const {
    const auto d = parse_duration(values[i]);
    if (!d) return wrong(d.error().message);
    if (*d < one_second || *d > longest_window)
      return wrong(fmt::format("a window of {}; accepted: 1s to 30m", print_duration(*d)));
    return *d;
  }
  Result<double> share(std::size_t i) const {
    std::string_view text = values[i];
    if (!text.ends_with('%')) return wrong(fmt::format("'{}' is no share; write it as in 10%", text));
    text.remove_suffix(1);
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || !(value > 0 && value <= 100))
      return wrong(fmt::format("'{}%' is no share above 0% and up to 100%", text));
    return value / 100;
  }
};

Result<GuardRule> read_rule(std::string_view name, const Arguments& in) {
  if (name == "burn") {
    DSBENCH_CHECK(in.count(3));
    BurnRule rule;
    DSBENCH_TRY(rule.factor, in.number(0, 0));
    DSBENCH_TRY(rule.long_window, in.window(1));
    DSBENCH_TRY(rule.short_window, in.window(2));
    if (rule.short_window > rule.long_window)
      return in.wrong("the second window must not be longer than the first");
    return rule;
  }
  DSBENCH_CHECK(in.count(name == "failed" ? 2 : 1));
  if (name == "collapse") {
    DSBENCH_TRY(const Nanos window, in.window(0));
    return CollapseRule{window};
  }
  if (name == "failed") {
    FailedRule rule;
    DSBENCH_TRY(rule.share, in.share(0));
    DSBENCH_TRY(rule.window, in.window(1));
    return rule;
  }
  if (name == "refused") {
    DSBENCH_TRY(const std::int64_t n, in.whole(0));
    return RefusedRule{n};
  }
  if (name == "tokens") {
    DSBENCH_TRY(const std::int64_t n, in.whole(0));
    return TokensRule{n};
  }
  if (name == "cost") {
    DSBENCH_TRY(const double most, in.number(0, 0));
    return CostRule{most};
  }
  DSBENCH_TRY(const Nanos window, in.window(0));
  return GeneratorRule{window};
}

double percent(std::int64_t part, std::int64_t whole) {
  return whole > 0 ? 100.0 * static_cast<double>(part) / static_cast<double>(whole) : 0;
}

}  // namespace

Result<std::vector<GuardRule>> parse_guards(std::string_view text) {
  std::vector<GuardRule> rules;
  while (true) {
    text.remove_prefix(std::min(text.find_first_not_of(" \t\n"), text.size()));
    if (text.empty()) return rules;
    const std::size_t open = text.find('(');
    const std::size_t close = text.find(')');
    const std::string_view name = text.substr(0, std::min(open, text.find_first_of(" \t\n)")));
    if (std::find(words.begin(), words.end(), name) == words.end()) {
      const std::string_view near = nearest_word(name, words);
      return fail(ErrorKind::usage, "'{}' is no stop rule; accepted: {}{}", name, forms,
                  near.empty() ? "" : fmt::format("; did you mean '{}'?", near));
    }
    if (open == std::string_view::npos || close == std::string_view::npos || close < open ||
        open != name.size())
      return fail(ErrorKind::usage, "stop rule '{}' has no values in parentheses; accepted: {}", name, forms);
    Arguments in{text.substr(0, close + 1), {}};
    std::string_view rest = text.substr(open + 1, close - open - 1);
    while (true) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      std::string_view value = rest.substr(0, comma);
      while (value.starts_with(' ')) value.remove_prefix(1);
      while (value.ends_with(' ')) value.remove_suffix(1);
      in.values.push_back(value);
      if (comma == rest.size()) break;
      rest.remove_prefix(comma + 1);
    }
    DSBENCH_TRY(GuardRule rule, read_rule(name, in));
    rules.push_back(rule);
    text.remove_prefix(close + 1);
  }
}

std::string print_guard(const GuardRule& rule) {
  struct Print {
    std::string operator()(const BurnRule& r) const {
      return fmt::format("burn({},{},{})", r.factor, print_duration(r.long_window),
                         print_duration(r.short_window));
    }
    std::string operator()(const CollapseRule& r) const {
      return fmt::format("collapse({})", print_duration(r.window));
    }
    std::string operator()(const FailedRule& r) const {
      return fmt::format("failed({}%,{})", r.share * 100, print_duration(r.window));
    }
    std::string operator()(const RefusedRule& r) const { return fmt::format("refused({})", r.attempts); }
    std::string operator()(const TokensRule& r) const { return fmt::format("tokens({})", r.most); }
    std::string operator()(const CostRule& r) const { return fmt::format("cost({})", r.most); }
    std::string operator()(const GeneratorRule& r) const {
      return fmt::format("generator({})", print_duration(r.window));
    }
  };
  return std::visit(Print{}, rule);
}

double cost_of(const Prices& prices, std::int64_t input, std::int64_t cached, std::int64_t output) {
  return (static_cast<double>(input - cached) * prices.input +
          static_cast<double>(cached) * prices.cached_input + static_cast<double>(output) * prices.output) /
         1e6;
}

class Guards::Sink final : public results::RecordSink {
 public:
  Sink(Guards& guards, results::RecordSink& next) : guards_{guards}, next_{next} {}

  void offered(std::uint32_t stage, std::uint64_t request, Nanos due) override {
    guards_.offered(due);
    next_.offered(stage, request, due);
  }
  std::uint32_t stage_at(Nanos due, std::uint32_t before) override { return next_.stage_at(due, before); }

  void decided(const results::ProviderDecision& decision) override { next_.decided(decision); }

  void attempt(const results::AttemptRecord& r) override {
    next_.attempt(r);
    Guards& g = guards_;
    if (r.reason == Reason::connect_failed || r.reason == Reason::connect_timeout) {
      const std::int64_t n = g.refusals_.fetch_add(1, std::memory_order_relaxed) + 1;
      if (g.refusals_allowed_ > 0 && n == g.refusals_allowed_) {
        g.trip(fmt::format("{} attempts in a row found no connection: the target is probably down", n));
      }
    } else if (r.first_byte != results::never) {
      g.refusals_.store(0, std::memory_order_relaxed);
    }
    if (r.sent == results::never) return;
    // What was sent is read, whatever became of it; what a failed attempt had generated is paid as well.
    g.input_.fetch_add(r.prompt_tokens, std::memory_order_relaxed);
    g.cached_.fetch_add(std::max(r.cached_prompt_tokens, 0), std::memory_order_relaxed);
    g.output_.fetch_add(r.output_tokens, std::memory_order_relaxed);
    if (r.due < Nanos{0}) return;
    Cell& cell = g.cell(r.due / one_second);
    cell.sent.fetch_add(1, std::memory_order_relaxed);
    if (g.late_from_ > Nanos{0} && r.sent - r.due > g.late_from_)
      cell.late.fetch_add(1, std::memory_order_relaxed);
  }

  void request(const RequestRecord& r) override {
    next_.request(r);
    Guards& g = guards_;
    if (r.due < Nanos{0} || r.reason == Reason::interrupted) return;
    Cell& cell = g.cell(r.due / one_second);
    const auto& slos = g.config_.slos;
    const bool good = !slos.empty() && is_good(r, slos[r.tenant < slos.size() ? r.tenant : 0]);
    cell.ended.fetch_add(1, std::memory_order_relaxed);
    if (good) cell.good.fetch_add(1, std::memory_order_relaxed);
    Cell& end = g.cell(std::max(r.done, Nanos{0}) / one_second);
    end.ends.fetch_add(1, std::memory_order_relaxed);
    if (!results::ended_well(r.reason)) end.failures.fetch_add(1, std::memory_order_relaxed);
  }

 private:
  Guards& guards_;
  results::RecordSink& next_;
};

Guards::Guards(GuardConfig config, std::atomic<bool>& stop)
    : config_{std::move(config)},
      stop_{stop},
      storage_{std::make_unique<std::array<Cell, seconds_kept>>()},
      cells_{*storage_} {
  for (const GuardRule& rule : config_.rules) {
    if (const auto* refused = std::get_if<RefusedRule>(&rule)) refusals_allowed_ = refused->attempts;
  }
  std::optional<Nanos> tightest;
  for (const results::Slo& slo : config_.slos) {
    for (const auto& bound : {slo.ttft, slo.e2e}) {
      if (!bound) continue;
      deadline_ = std::max(deadline_, *bound);
      tightest = std::min(tightest.value_or(*bound), *bound);
    }
  }
  if (tightest) late_from_ = *tightest / 10;
  cleared_ = seconds_kept - 1;
}

Guards::~Guards() = default;

results::RecordSink& Guards::watch(results::RecordSink& sink) {
  sinks_.push_back(std::make_unique<Sink>(*this, sink));
  return *sinks_.back();
}

void Guards::offered(Nanos due) {
  if (due >= Nanos{0}) cell(due / one_second).due.fetch_add(1, std::memory_order_relaxed);
}

void Guards::trip(std::string sentence, bool generator) {
  {
    const std::lock_guard lock{mutex_};
    if (trip_) return;
    trip_ = Trip{std::move(sentence), generator};
  }
  stop_ = true;
}

std::optional<Guards::Trip> Guards::tripped() const {
  const std::lock_guard lock{mutex_};
  return trip_;
}

std::int64_t Guards::tokens() const {
  return input_ + output_;
}
double Guards::cost() const {
  return cost_of(config_.prices, input_, cached_, output_);
}

void Guards::on_second(Nanos now) {
  // The ring comes round: what lies a little ahead is from an hour ago.
  const std::int64_t ahead = now / one_second + seconds_kept / 4;
  for (; cleared_ < ahead; ++cleared_) {
    Cell& c = cell(cleared_ + 1);
    c.due = c.ended = c.good = c.sent = c.late = c.ends = c.failures = 0;
  }
  for (const GuardRule& rule : config_.rules) {
    if (tripped()) return;
    std::visit([&](const auto& r) { judge(r, now); }, rule);
  }
}

Guards::Sum Guards::sum(Nanos from, Nanos to, Nanos now) {
  Sum s;
  for (std::int64_t second = std::max(from, Nanos{0}) / one_second; second < to / one_second; ++second) {
    const Cell& c = cell(second);
    const std::int64_t due = c.due;
    const std::int64_t ended = c.ended;
    s.due += due;
    s.ended += ended;
    s.good += c.good;
    s.ends += c.ends;
    s.failures += c.failures;
    s.sent += c.sent;
    s.late += c.late;
    if (deadline_ > Nanos{0} && one_second * (second + 1) + deadline_ < now)
      s.overdue += std::max<std::int64_t>(due - ended, 0);
  }
  return s;
}

void Guards::judge(const BurnRule& rule, Nanos now) {
  const auto burn = [&](Nanos window, std::int64_t enough) -> std::optional<double> {
    // Longer by the deadline, so that requests which hang are in it when they are known to be bad.
    const Sum s = sum(now - window - deadline_, now, now);
    const std::int64_t judged = s.ended + s.overdue;
    if (judged < enough) return std::nullopt;
    return static_cast<double>(judged - s.good) / static_cast<double>(judged) / (1 - config_.objective);
  };
  const auto longer = burn(rule.long_window, enough_for_long);
  const auto shorter = burn(rule.short_window, enough_for_short);
  if (!longer || !shorter || *longer < rule.factor * (1 - 1e-9) || *shorter < rule.factor * (1 - 1e-9))
    return;
  trip(fmt::format(
      "the error budget burns at {:.1f} times its rate over {} and at {:.1f} times over {}; the limit is {}",
      *longer, format_duration(rule.long_window), *shorter, format_duration(rule.short_window), rule.factor));
}

void Guards::judge(const CollapseRule& rule, Nanos now) {
  // Requests younger than the deadline may still turn out good.
  const Nanos to = (now - deadline_) / one_second * one_second;
  if (to < rule.window) return;
  const Sum s = sum(to - rule.window, to, now);
  if (best_ && s.due >= best_->due) {
    const double wanted = 0.8 * static_cast<double>(best_->good);
    const double found = static_cast<double>(s.good);
    // Counts of independent events: the variance of each is its mean.
    if (wanted - found > z95 * std::sqrt(0.64 * static_cast<double>(best_->good) + found)) {
      const double seconds = to_seconds(rule.window);
      trip(fmt::format("collapse: {:.1f}/s good at {:.1f}/s offered, after {:.1f}/s good at {:.1f}/s",
                       found / seconds, static_cast<double>(s.due) / seconds,
                       static_cast<double>(best_->good) / seconds,
                       static_cast<double>(best_->due) / seconds));
      return;
    }
  }
  if (!best_ || s.good > best_->good) best_ = s;
}

void Guards::judge(const FailedRule& rule, Nanos now) {
  const Sum s = sum(now - rule.window, now, now);
  if (s.ends < enough_for_short * 4 ||
      static_cast<double>(s.failures) <= rule.share * static_cast<double>(s.ends))
    return;
  trip(fmt::format("{:.1f} % of the {} requests of the last {} failed; the limit is {:g} %",
                   percent(s.failures, s.ends), s.ends, format_duration(rule.window), rule.share * 100));
}

void Guards::judge(const TokensRule& rule, Nanos) {
  if (tokens() > rule.most) trip(fmt::format("{} tokens were used; the limit is {}", tokens(), rule.most));
}

void Guards::judge(const CostRule& rule, Nanos) {
  if (cost() > rule.most)
    trip(fmt::format("{:.4g} was spent on tokens; the limit is {:.4g}", cost(), rule.most));
}

void Guards::judge(const GeneratorRule& rule, Nanos now) {
  const Sum s = sum(now - rule.window, now, now);
  if (s.sent < 100 || s.late * 100 <= s.sent) return;
  trip(fmt::format("{:.1f} % of the attempts of the last {} left more than {} late: the generator is not fit "
                   "to measure",
                   percent(s.late, s.sent), format_duration(rule.window), format_duration(late_from_)),
       true);
}

}  // namespace dsbench::loadgen
