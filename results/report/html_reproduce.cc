#include <nlohmann/json.hpp>

#include "core/text.h"
#include "results/report/html_sections.h"

namespace dsbench::results::report {
namespace {

// Indented when it is JSON, as it is when it is not.
std::string pretty_json(const std::string& text) {
  const nlohmann::ordered_json parsed = nlohmann::ordered_json::parse(text, nullptr, false);
  return parsed.is_discarded() ? text
                               : parsed.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace

void put_reproduce(Html& html, const RunSummary& run, const std::string& prefix) {
  open_section(html, prefix + "reproduce", "How to reproduce");
  html.raw("<pre class=\"command\"><code>")
      .text(shell_line(run.command))
      .raw("</code></pre>\n<dl class=\"facts\">\n");
  html.raw("<dt>seed</dt><dd>").text(std::to_string(run.seed)).raw("</dd>\n");
  html.raw("<dt>dsbench</dt><dd>")
      .text(fmt::format("{}, commit {}, {}", run.dsbench_version, run.dsbench_commit, run.dsbench_build))
      .raw("</dd>\n");
  html.raw("<dt>SLO</dt><dd>").text(slo_text(run.slo)).raw("</dd>\n</dl>\n");
  html.raw(run.simulated
               ? "<p>In virtual time the same command and seed give the same numbers to the last digit.</p>\n"
               : "<p>The same seed gives the same schedule: the same requests at the same instants. What the "
                 "service makes of them is measured anew.</p>\n");
  if (!run.profile_json.empty()) {
    html.raw("<details><summary>Profile, workload, client policy and SLO as resolved</summary><pre><code>")
        .text(pretty_json(run.profile_json))
        .raw("</code></pre></details>\n");
  }
  close_section(html);
}

void put_method(Html& html) {
  open_section(html, "method", "What the words mean");
  html.raw(R"(<dl class="method">
<dt>due, sent, done</dt><dd>When the schedule wanted a request to leave; when its first byte left; when it ended. The schedule is fixed before the run and is never moved, so a slow service cannot slow the questions down.</dd>
<dt>response latency</dt><dd>done − due: what a user waits, our own delay included.</dd>
<dt>service latency</dt><dd>done − sent: what the service alone took.</dd>
<dt>send lag</dt><dd>sent − due: how late the generator was. When it is not small against the SLO, the run is invalid, and is called neither a pass nor a failure.</dd>
<dt>TTFT, TPOT, E2E</dt><dd>Time to the first token, counted from due. Time per output token after the first: (last token − first token) ÷ (tokens − 1). Time to the last token, counted from due.</dd>
<dt>offered, delivered, completed, good</dt><dd>What the schedule asked for. What was really sent. What came back whole. What came back whole and met every bound of the SLO. Each is counted over the requests due in the measured window of a stage.</dd>
<dt>failed</dt><dd>Refused, timed out, cut off, or ended without its end marker. A failed request counts as infinitely slow, never as fast: that is what “∞ (failed)” says.</dd>
<dt>n/a (needs 662)</dt><dd>A percentile is printed only when there are enough samples to know it: 662 for p99, 6,636 for p99.9. With fewer, one request more or less would move it.</dd>
<dt>95 % bounds</dt><dd>One-sided bounds on the good share after Clopper and Pearson: with 95 % confidence the true share is not below the lower one; with 95 % confidence it is not above the upper one.</dd>
<dt>good, bad, unclear</dt><dd>A stage is good when its lower bound reaches 99 %, bad when its upper bound stays below it, and unclear otherwise.</dd>
<dt>knee, safe load</dt><dd>The highest offered rate whose good rate stays at 99 % of offered or more, with a one-sided confidence bound. It lies between the highest rate measured good and the lowest rate above it measured bad.</dd>
<dt>collapse</dt><dd>The good rate falls while the offered rate rises: held at 1.5 × the knee it is below 0.8 × its peak, with confidence. A service that merely refuses the surplus does not collapse.</dd>
<dt>recovery, metastable</dt><dd>Recovery is the time from when the offered rate is back at or below the knee until the good rate is 95 % of offered again. Metastable: it does not come back, although the trigger is gone.</dd>
<dt>retry amplification</dt><dd>Attempts ÷ requests: how much the clients multiply the load when they try again.</dd>
<dt>recompute tax, tokens for nobody</dt><dd>Tokens computed a second time after a preemption, and tokens computed for requests that nobody waited for any more, each as a share of all computed tokens.</dd>
</dl>
)");
  close_section(html);
}

}  // namespace dsbench::results::report
