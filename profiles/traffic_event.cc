#include "profiles/traffic_event.h"

#include <fmt/format.h>

#include <charconv>

#include "core/text.h"

namespace dsbench::profiles {
namespace {

constexpr std::string_view form =
    "'FAULT [of target N] [at TIME] [in STAGE] [until TIME]', as in 'cores:left=0.5 at 20s until 40s' or "
    "'crash at 5s in hold until 15s'";
constexpr std::int32_t most_targets = 64;

std::string_view next_word(std::string_view& rest) {
  while (rest.starts_with(' ')) rest.remove_prefix(1);
  const std::string_view word = rest.substr(0, rest.find(' '));
  rest.remove_prefix(word.size());
  while (rest.starts_with(' ')) rest.remove_prefix(1);
  return word;
}

}  // namespace

Result<Fault> parse_event_fault(std::string_view text) {
  DSBENCH_TRY(Fault fault, parse_fault(text));
  if (fault.start > Nanos{0} || fault.duration) {
    return fail(ErrorKind::usage,
                "fault '{}': an event says by 'at' and 'until' when it happens; leave out '@…' and '+…'",
                text);
  }
  return fault;
}

Result<TrafficEvent> parse_event(std::string_view text) {
  const auto refuse = [&] {
    return fail(ErrorKind::usage, "the event '{}' cannot be read; accepted: {}", text, form);
  };
  std::string_view rest = text;
  TrafficEvent event;
  const std::string_view fault = next_word(rest);
  if (fault.empty()) return refuse();
  DSBENCH_TRY(event.fault, parse_event_fault(fault));
  bool timed = false;
  while (!rest.empty()) {
    const std::string_view word = next_word(rest);
    if (word == "of" && !event.target) {
      if (next_word(rest) != "target") return refuse();
      const std::string_view number = next_word(rest);
      std::int32_t target = -1;
      const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), target);
      if (error != std::errc{} || end != number.data() + number.size()) return refuse();
      event.target = target;
    } else if (word == "at" && !timed) {
      timed = true;
      DSBENCH_TRY(event.at, parse_duration(next_word(rest)));
    } else if (word == "in" && event.stage.empty()) {
      const std::size_t end = std::min(rest.find(" until "), rest.size());
      event.stage = rest.substr(0, end);
      while (event.stage.ends_with(' ')) event.stage.pop_back();
      rest.remove_prefix(end);
      if (event.stage.empty()) return refuse();
    } else if (word == "until" && !event.until) {
      DSBENCH_TRY(event.until, parse_duration(next_word(rest)));
    } else {
      return refuse();
    }
  }
  if (const std::string wrong = check_event(event); !wrong.empty())
    return fail(ErrorKind::usage, "the event '{}': {}", text, wrong);
  return event;
}

std::string print_event(const TrafficEvent& event) {
  std::string text = print_fault(event.fault);
  if (event.target) text += fmt::format(" of target {}", *event.target);
  text += " at " + print_duration(event.at);
  if (!event.stage.empty()) text += " in " + event.stage;
  if (event.until) text += " until " + print_duration(*event.until);
  return text;
}

std::string check_event(const TrafficEvent& event) {
  if (event.until && *event.until <= event.at) {
    return fmt::format("it is over at {}, and begins at {} only; both count from the start of {}",
                       print_duration(*event.until), print_duration(event.at),
                       event.stage.empty() ? "the traffic" : "the stage");
  }
  if (event.target && (*event.target < 0 || *event.target >= most_targets))
    return fmt::format("there is no target {}; accepted: 0 to {}", *event.target, most_targets - 1);
  return "";
}

}  // namespace dsbench::profiles
