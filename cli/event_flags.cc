#include "cli/event_flags.h"

#include "cli/experiment_options.h"

namespace dsbench::cli {

void add_event_flags(CLI::App& app, EventOptions& options) {
  const std::string group = "Events (faults of the target at a time; docs/serve.md has the faults)";
  app.add_option("--event", options.events,
                 "what goes wrong with the target and when: 'FAULT [of target N] [at TIME] [in STAGE] "
                 "[until TIME]', times from the start of the traffic or of the stage; several times")
      ->type_name("EVENT")
      ->allow_extra_args(false)
      ->default_str("the traffic profile's")
      ->group(group);
  app.add_option("--admin-url", options.admin_urls,
                 "where a target with a URL takes faults: a dsbench serve --admin on this machine; with "
                 "several targets once for each, 'none' for one without")
      ->type_name("URL")
      ->allow_extra_args(false)
      ->default_str("none; embedded and simulated targets need none")
      ->group(group);
}

Result<std::vector<profiles::TrafficEvent>> make_events(const EventOptions& options) {
  std::vector<profiles::TrafficEvent> events;
  for (const std::string& text : options.events) {
    DSBENCH_TRY(profiles::TrafficEvent event, profiles::parse_event(text));
    events.push_back(std::move(event));
  }
  return events;
}

Result<void> check_events(const std::vector<profiles::TrafficEvent>& events, const EventOptions& options,
                          const std::vector<std::string>& targets) {
  if (!options.admin_urls.empty() && options.admin_urls.size() != targets.size()) {
    return fail(ErrorKind::usage,
                "{} --admin-url were given for {} targets; give one for each, in their order",
                options.admin_urls.size(), targets.size());
  }
  if (!options.admin_urls.empty() && events.empty()) {
    return fail(ErrorKind::usage,
                "--admin-url has no effect without events; give some by --event, or a profile that has them");
  }
  for (const profiles::TrafficEvent& event : events) {
    if (event.target && static_cast<std::size_t>(*event.target) >= targets.size()) {
      return fail(ErrorKind::usage, "the event '{}' is of a target that is not there; accepted: 0 to {}",
                  profiles::print_event(event), targets.size() - 1);
    }
    for (std::size_t i = 0; i < targets.size(); ++i) {
      if (event.target && static_cast<std::size_t>(*event.target) != i) continue;
      const bool takes =
          !is_url(targets[i]) || (i < options.admin_urls.size() && options.admin_urls[i] != "none");
      if (!takes) {
        return fail(ErrorKind::usage,
                    "the event '{}' is a fault of {}, and nobody said where that takes faults; give "
                    "--admin-url, the URL of a dsbench serve --admin",
                    profiles::print_event(event), targets[i]);
      }
      if (is_sim(targets[i]) && profiles::is_of_connection(event.fault.kind)) {
        return fail(ErrorKind::usage,
                    "the event '{}' is made of bytes on a connection, and {} has none; use --target embedded",
                    profiles::print_event(event), targets[i]);
      }
    }
  }
  return {};
}

}  // namespace dsbench::cli
