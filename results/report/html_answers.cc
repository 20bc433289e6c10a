// The launch checklist, as far as a run can fill it in: what it answers, and what it does not.
#include <algorithm>
#include <utility>

#include "core/text.h"
#include "results/rebuild.h"
#include "results/report/html_sections.h"

namespace dsbench::results::report {
namespace {

Rate highest_tested(const RunSummary& run) {
  Rate most;
  for (const StageSummary& s : run.stages) most = std::max(most, s.offered);
  return most;
}

}  // namespace

void put_answers(Html& html, const RunSummary& run, const std::string& prefix) {
  constexpr Mark answered{"●", "answered", "pass"};
  constexpr Mark undecided{"◇", "undecided", "doubt"};
  constexpr Mark open{"○", "not assessed", "plain"};
  open_section(html, prefix + "answers", "What this run answers, and what it does not");
  Table t{.caption = "Questions and answers",
          .head = {"question", "answer", "status"},
          .rows = {},
          .numeric = false};
  const bool collapse_open = run.collapse.verdict == CollapseVerdict::not_tested;
  const bool recovery_open = run.recovery.verdict == RecoveryVerdict::not_tested;
  t.rows.push_back({"How much load is safe?", knee_sentence(run),
                    mark_cell(run.knee.offered         ? answered
                              : run.kind == "rehearse" ? undecided
                                                       : open)});
  t.rows.push_back({"What happens above it?",
                    collapse_open ? std::string("Not tested: no overload was held.") : collapse_sentence(run),
                    mark_cell(collapse_open                                        ? open
                              : run.collapse.verdict == CollapseVerdict::undecided ? undecided
                                                                                   : answered)});
  t.rows.push_back({"Does it come back by itself when the overload is gone?",
                    recovery_open ? std::string("Not tested: the load was not brought back down.")
                                  : recovery_sentence(run),
                    mark_cell(recovery_open                                        ? open
                              : run.recovery.verdict == RecoveryVerdict::undecided ? undecided
                                                                                   : answered)});
  const bool known = run.validity != Validity::unknown;
  const bool fit = run.validity == Validity::valid;
  t.rows.push_back({"Do these numbers belong to the service, and not to the generator?",
                    !known ? run.kind == "imported"
                                 ? "Not known: another tool made the requests and does not say."
                                 : "Not known: how the generator was went with the end of the run."
                    : fit  ? "Yes: the generator kept its schedule."
                           : "No: the generator was not fit to measure. See generator health.",
                    mark_cell(!known ? undecided
                              : fit  ? answered
                                     : Mark{"△", "invalid", "void"})});
  t.rows.push_back(
      {"What did failure cost?",
       fmt::format("{:.2f} attempts per request{}.", run.retry_amplification,
                   run.ledger
                       ? fmt::format("; {} of the computed tokens were computed again, {} were for nobody",
                                     part_text(run.ledger->recomputed_tokens, run.ledger->computed_tokens),
                                     part_text(run.ledger->abandoned_tokens, run.ledger->computed_tokens))
                       : std::string("; the target does not tell what it computed")),
       mark_cell(run.ledger ? answered : undecided)});
  const auto forecast = std::find_if(run.criteria.begin(), run.criteria.end(), [](const Criterion& c) {
    return c.name.find("forecast") != std::string::npos;
  });
  const bool has_forecast = forecast != run.criteria.end();
  t.rows.push_back({"Is there room for what the launch expects?",
                    has_forecast ? forecast->name + ": " + forecast->measured
                                 : std::string("No --forecast was given to compare the safe load with."),
                    mark_cell(!has_forecast                               ? open
                              : forecast->verdict == StepVerdict::unclear ? undecided
                                                                          : answered)});
  const Rate most = highest_tested(run);
  const bool tenfold = run.knee.offered && most.per_second() >= 10 * run.knee.offered->per_second();
  t.rows.push_back({"Ten times the safe load?",
                    fmt::format("The highest rate offered was {}.", format_rate(most)),
                    mark_cell(tenfold ? answered : open)});
  if (run.tenants.size() > 1) {
    t.rows.push_back({"Other traffic: longer contexts, more agents, a sudden spike?",
                      fmt::format("{} classes of requests were offered together; how each fared is under "
                                  "“Waste”.",
                                  run.tenants.size()),
                      mark_cell(answered)});
  } else {
    t.rows.push_back({"Other traffic: longer contexts, more agents, a sudden spike?",
                      "One profile and one workload were offered; both are under “How to reproduce”.",
                      mark_cell(open)});
  }
  const bool lost_target = run.failover && (!run.faults.empty() || !run.failover->incidents.empty());
  t.rows.push_back(
      {"Losing a node, a cache or a dependency under load?",
       lost_target ? run.failover->sentence
       : run.events.empty()
           ? std::string{"No fault was injected."}
           : fmt::format("{} fault{} made; the timeline shows {}.", run.events.size(),
                         run.events.size() == 1 ? " was" : "s were", run.events.size() == 1 ? "it" : "them"),
       mark_cell(lost_target || !run.events.empty() ? answered : open)});
  if (run.simulated) {
    t.rows.push_back({"Does the real fleet behave like this?",
                      "These are simulated steps in virtual time; the parameters and where they come from "
                      "are in the fleet file.",
                      mark_cell(open)});
  }
  // Rows of a launch checklist that no load from outside can fill; a reader is to know that they are open.
  for (const auto& [question, why] :
       {std::pair{"What the service leans on: accounts, gateways, storage, other services?",
                  "Only this target was loaded; what is behind it saw no more than it let through."},
        std::pair{"Would anybody notice, and know what to do? Monitoring, alerts, runbook",
                  "dsbench looked from outside, and at what the target publishes of itself."},
        std::pair{"Can the release be made in steps, stopped and taken back?", "No rollout was exercised."}})
    t.rows.push_back({question, why, mark_cell(open)});
  put_table(html, t);
  close_section(html);
}

}  // namespace dsbench::results::report
