#include "cli/experiment_options.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/flags.h"
#include "core/text.h"
#include "loadgen/codec/codec.h"
#include "profiles/catalog.h"

namespace dsbench::cli {
namespace {

struct Defaults {
  std::string_view workload, slo;
};
Defaults defaults_of(const ExperimentOptions& o) {
  // The reference engine's tiny model and the simulated laptop are small; what people really serve is not.
  return std::any_of(o.targets.begin(), o.targets.end(), is_url) ? Defaults{"chat", "interactive"}
                                                                 : Defaults{"chat-tiny", "tiny"};
}

}  // namespace

bool is_url(std::string_view target) {
  return target.starts_with("http://") || target.starts_with("https://");
}

bool is_sim(std::string_view target) {
  return target.starts_with(sim_prefix);
}

std::string workload_name(const ExperimentOptions& options) {
  return options.workload.empty() ? std::string{defaults_of(options).workload} : options.workload;
}

std::string slo_name(const ExperimentOptions& options) {
  return options.slo.empty() ? std::string{defaults_of(options).slo} : options.slo;
}

void add_experiment_flags(CLI::App& app, ExperimentOptions& o, const std::string& default_client) {
  app.add_option_function<std::vector<std::string>>(
         "--target",
         [&o](const std::vector<std::string>& targets) {
           o.targets = targets;
           o.target = join(std::vector<std::string_view>{targets.begin(), targets.end()});
         },
         "what to load: embedded starts the reference engine; http(s)://host:port; or a fleet profile in "
         "virtual "
         "time; several times: providers, see --route")
      ->type_name("embedded|URL|sim:FLEET")
      ->allow_extra_args(false)
      ->default_str("embedded");
  const auto profile = [&](const char* flag, std::string& value, const char* kind,
                           const std::string& fallback) {
    app.add_option(flag, value,
                   fmt::format("{} profile; shipped: {}", kind, join(profiles::shipped_names(kind))))
        ->type_name("NAME|FILE")
        ->default_str(fallback);
  };
  profile("--workload", o.workload, "workload", "chat-tiny; with a URL: chat");
  profile("--slo", o.slo, "slo", "tiny; with a URL: interactive");
  profile("--client", o.client, "client", default_client);
  app.add_option("--seed", o.seed, "seed of schedule, contents and jitter")
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--out", o.out, "run directory; must not exist, or be empty")
      ->type_name("DIR")
      ->default_str("dsbench-run-<date>-<time>");
  app.add_flag("--json", o.json, "print run.json on stdout instead of the summary");
  app.add_flag("--quiet", o.quiet, "no progress on stderr");
  const std::string several = "Providers (several targets); docs/failover.md";
  app.add_option("--route", o.route,
                 "which target an attempt goes to: ordered (the first that is healthy), round-robin, "
                 "weighted:90,10, or shift:100..0@30s..90s (per cent of the first target, from when to when)")
      ->type_name("ROUTE")
      ->capture_default_str()
      ->group(several);
  app.add_flag("--sticky", o.sticky, "a session stays with its target until that fails")->group(several);
  app.add_option(
         "--fault", o.faults,
         "do this to a target, by its place from 0: 'kill 0 at 20s heal 40s' or 'stall 0 at 20s heal 40s' "
         "(embedded and simulated targets); may be given several times")
      ->type_name("FAULT")
      ->allow_extra_args(false)
      ->default_str("none")
      ->group(several);
  add_event_flags(app, o.events);
  add_duration(app, "--recovery-objective", o.recovery_objective,
               "how long a recovery, or a failover to another target, may take");
  const std::string wire = "Wire (targets with a URL)";
  app.add_option("--model", o.model, "model to ask for")
      ->type_name("NAME")
      ->default_str("the first of /v1/models")
      ->group(wire);
  std::string api_help = "which API to speak:";
  for (const loadgen::ApiName& api : loadgen::apis())
    api_help += fmt::format("\n{:<12} {}", api.name, api.help);
  app.add_option("--api", o.api, api_help)
      ->type_name("NAME")
      ->check([](const std::string& api) {
        const auto made = loadgen::make_codec({.api = api, .model = "any"});
        return made ? std::string{} : made.error().message;
      })
      ->capture_default_str()
      ->group(wire);
  app.add_flag_callback(
         "--no-stream", [&o] { o.stream = false; },
         "ask for answers in one piece; the first token is then the whole answer")
      ->group(wire);
  app.add_flag_callback(
         "--no-exact-lengths", [&o] { o.exact_lengths = false; },
         "do not ask for ignore_eos and min_tokens, which hosted APIs may refuse; answers may end sooner")
      ->group(wire);
  app.add_flag_callback(
         "--no-caller-headers", [&o] { o.caller_headers = false; },
         "do not say with every request whose it is (x-dsbench-tenant: the class of the workload) and which "
         "attempt (x-dsbench-attempt, from 0)")
      ->group(wire);
  app.add_option(
         "--api-key", o.api_keys,
         "where the key is: file:PATH (mode 0600), fd:N, command:SHELL, env:NAME; never the key itself. With "
         "several targets once for each, in their order, 'none' for one without")
      ->type_name("SOURCE")
      ->allow_extra_args(false)
      ->default_str("none")
      ->group(wire);
  app.add_option("--ca-file", o.ca_file, "certificates to trust instead of the system's")
      ->type_name("FILE")
      ->default_str("the system's")
      ->group(wire);
  app.add_flag("--insecure", o.insecure, "do not verify the server's certificate")->group(wire);
  add_count(app, "--threads", o.threads, 1, 256, "issuer threads")->group(wire);
  app.add_option(
         "--wire", o.wire,
         "what carries requests; lean: http:// and HTTP/1.1 only, at a third of the cost; automatic: lean "
         "where it can")
      ->check(CLI::IsMember({"automatic", "libcurl", "lean"}))
      ->capture_default_str()
      ->group(wire);
  app.add_option("--http", o.http, "HTTP version; 2 over TLS, 2-prior-knowledge also in the clear")
      ->check(CLI::IsMember({"1.1", "2", "2-prior-knowledge"}))
      ->capture_default_str()
      ->group(wire);
  app.add_option("--proxy", o.proxy, "http://, https://, socks5:// or socks5h://HOST:PORT")
      ->type_name("URL")
      ->default_str("none")
      ->group(wire);
  app.add_option("--proxy-auth", o.proxy_auth,
                 "where the proxy's user:password is: file:PATH (mode 0600), fd:N, command:SHELL, env:NAME")
      ->type_name("SOURCE")
      ->default_str("none")
      ->group(wire);
  app.add_flag("--resolve-each", o.resolve_each,
               "look the target's name up with every new connection, as part of the attempt, instead of once "
               "before the run")
      ->group(wire);
  app.add_flag(
         "--calibrate-tokens", o.calibrate_tokens,
         "ask a dozen requests first, and make prompts as long as the server's own token counts say they "
         "should be; docs/workloads.md")
      ->group(wire);
  app.add_option(
         "--tokenizer", o.tokenizer,
         "the model's tokenizer.json, or the folder that has it: counts the tokens of answers that come "
         "without a usage, and makes prompts as long as it says they should be")
      ->type_name("PATH")
      ->default_str("none")
      ->group(wire);
  app.add_flag("--compressed", o.compressed, "accept compressed answers")->group(wire);
  app.add_option("--unix-socket", o.unix_socket, "connect there instead of to the target's host")
      ->type_name("PATH")
      ->default_str("none")
      ->group(wire);
  add_engine_flags(app, o.engine, "engine-");
}

std::vector<std::string> recorded_command(int argc, const char* const* argv) {
  std::vector<std::string> command{"dsbench"};
  for (int i = 1; i < argc; ++i) {
    const std::string_view a = argv[i];
    if (a == "--out") {
      ++i;
    } else if (!a.starts_with("--out=")) {
      command.emplace_back(a);
    }
  }
  return command;
}

}  // namespace dsbench::cli
