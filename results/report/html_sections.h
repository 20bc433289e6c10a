#pragma once

#include <span>
#include <string>
#include <string_view>

#include "results/report/html_parts.h"
#include "results/report/latency_picture.h"
#include "results/run_summary.h"

// The sections of the page, in reading order. `prefix` makes the ids of one run unique in a page that holds
// several.
namespace dsbench::results::report {

// The verdict as a picture that is told apart without colour: disc, octagon, diamond, triangle, square.
[[nodiscard]] std::string_view verdict_icon(Verdict verdict);
void put_verdict(Html& html, const RunSummary& run, std::string_view heading, std::string_view level);
void put_warnings(Html& html, const RunSummary& run);
void put_answers(Html& html, const RunSummary& run, const std::string& prefix);
void put_capacity(Html& html, const RunSummary& run, const std::string& prefix);
void put_latency(Html& html, const RunSummary& run, const std::string& prefix);
void put_recovery(Html& html, const RunSummary& run, const std::string& prefix);
// What went wrong when, told from the timeline.
void put_incident(Html& html, const RunSummary& run, const std::string& prefix);
[[nodiscard]] bool has_outage(const RunSummary& run);
void put_latency_picture(Html& html, const LatencyPicture& picture, const std::string& prefix);
// Nothing for a run with one target and no faults.
void put_providers(Html& html, const RunSummary& run, const std::string& prefix);
void put_errors(Html& html, const RunSummary& run, const std::string& prefix);
void put_health(Html& html, const RunSummary& run, const std::string& prefix);
void put_waste(Html& html, const RunSummary& run, const std::string& prefix);
void put_stages(Html& html, const RunSummary& run, const std::string& prefix);
// `at_most`: points of the interactive timeline.
void put_timeline(Html& html, const RunSummary& run, const std::string& prefix, std::size_t at_most);
void put_system(Html& html, const RunSummary& run, const std::string& prefix);
void put_reproduce(Html& html, const RunSummary& run, const std::string& prefix);
void put_method(Html& html);

// Several runs: what differs, and the summary charts over each other.
void put_comparison(Html& html, std::span<const LabelledRun> runs);

}  // namespace dsbench::results::report
