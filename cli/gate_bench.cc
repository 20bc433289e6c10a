#include "cli/gate_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "cli/command_words.h"
#include "core/clock.h"
#include "core/rng.h"
#include "core/text.h"
#include "loadgen/wire/preflight.h"

namespace dsbench::cli {
namespace {

namespace gate = results::gate;

constexpr std::array<std::string_view, 2> load_verbs{"load", "rehearse"};
constexpr std::uint64_t warm_up_seed = 1'000'003;  // beside the seeds of the rounds
constexpr Nanos server_patience{30'000'000'000};

bool is_load_verb(std::string_view word) {
  return std::find(load_verbs.begin(), load_verbs.end(), word) != load_verbs.end();
}

std::string base_name(const std::string& path) {
  return path.substr(path.rfind('/') == std::string::npos ? 0 : path.rfind('/') + 1);
}

void replace_all(std::string& text, std::string_view what, const std::string& with) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size()))
    text.replace(at, what.size(), with);
}

// Those after which there is a whole run.json to read: criteria missed, undecided, guard, invalid.
bool tells_its_verdict(int status) {
  return status == 0 || status == 3 || status == 5 || status == 6 || status == 7;
}

}  // namespace

Result<GateBench::Command> GateBench::parse(const std::string& text) {
  Command command;
  DSBENCH_TRY(command.words, split_words(text));
  auto& words = command.words;
  if (words.empty()) return fail(ErrorKind::usage, "an empty command; accepted: as in 'load --target URL'");
  if (words.front() == "dsbench") {
    command.self = true;
  } else if (is_load_verb(words.front()) || words.front() == "kernels") {
    command.self = true;
    words.insert(words.begin(), "dsbench");
  }
  command.is_load =
      words.size() > 1 && is_load_verb(words[1]) && (command.self || base_name(words[0]) == "dsbench");
  command.is_kernels =
      words.size() > 1 && words[1] == "kernels" && (command.self || base_name(words[0]) == "dsbench");
  if (!command.is_load && !command.is_kernels) {
    if (std::none_of(words.begin(), words.end(),
                     [](const auto& w) { return w.find("{out}") != std::string::npos; })) {
      return fail(ErrorKind::usage,
                  "the command '{}' does not say where its result goes; accepted: load … and rehearse … of "
                  "dsbench, or "
                  "any command with {{out}} where the name of its run directory or JSON file stands",
                  text);
    }
    return command;
  }
  for (const std::string& word : words) {
    const std::string flag = word.substr(0, word.find('='));
    if (flag == "--out" || (flag == "--seed" && command.is_load)) {
      return fail(ErrorKind::usage,
                  "the command '{}' has {}, which is the gate's to give ({} of `gate` itself)", text, flag,
                  flag);
    }
  }
  return command;
}

Result<std::unique_ptr<GateBench>> GateBench::open(GateBenchOptions options, std::atomic<bool>& stop,
                                                   Progress& progress) {
  std::unique_ptr<GateBench> bench{new GateBench(std::move(options), stop, progress)};
  const GateBenchOptions& o = bench->o_;
  const bool servers = !o.sides.front().server.empty();
  for (const GateSide& side : o.sides) {
    Command command;
    if (servers) {
      DSBENCH_TRY(command.words, split_words(side.server));
      if (command.words.empty()) return fail(ErrorKind::usage, "--{}-server is empty", side.name);
      command.self = command.words.front() == "dsbench";
    } else {
      DSBENCH_TRY(command, parse(side.command));
    }
    bench->commands_.push_back(std::move(command));
  }
  if (servers) {
    DSBENCH_TRY(bench->load_, parse("load --target '" + o.target + "' " + o.load));
    if (o.warm_up != "none") {
      DSBENCH_TRY(bench->warm_load_,
                  parse("load --target '" + o.target + "' " + (o.warm_up == "same" ? o.load : o.warm_up)));
    }
  } else if (o.warm_up != "none" && o.warm_up != "same") {
    return fail(ErrorKind::usage, "--warm-up '{}': accepted are same and none; flags only with --base-server",
                o.warm_up);
  }
  return bench;
}

void GateBench::set_aside(const std::string& name, const std::string& why) {
  std::error_code error;  // there may be nothing to rename
  std::filesystem::rename(o_.out / name, o_.out / (name + "-" + why), error);
}

Result<gate::Evidence> GateBench::run_command(const Command& command, const std::string& name,
                                              std::uint64_t seed) {
  const std::string folder = (o_.out / name).string(), log = folder + ".log";
  const std::string out = command.is_kernels ? folder + ".json" : folder;
  std::vector<std::string> argv = command.words;
  if (command.is_load) {
    for (const std::string& word :
         {std::string{"--out"}, out, std::string{"--seed"}, fmt::format("{}", seed)})
      argv.push_back(word);
    argv.emplace_back("--quiet");
  } else if (command.is_kernels) {
    for (const std::string& word : {std::string{"--out"}, out, std::string{"--quiet"}}) argv.push_back(word);
  } else {
    for (std::string& word : argv) {
      replace_all(word, "{out}", out);
      replace_all(word, "{seed}", fmt::format("{}", seed));
    }
  }
  DSBENCH_TRY(auto child, ChildProcess::start(argv, command.self, log));
  const auto status = child->wait(stop_, o_.run_limit);
  if (!status) {
    set_aside(name, "interrupted");
    if (status.error().kind == ErrorKind::interrupted) return tl::unexpected(status.error());
    return fail(status.error().kind, "run {}: {}; the last it said:\n{}", name, status.error().message,
                last_lines(log));
  }
  if (stop_) {
    set_aside(name, "interrupted");
    return fail(ErrorKind::interrupted, "interrupted");
  }
  const bool fine = command.is_load ? tells_its_verdict(*status) : *status == 0;
  if (!fine) {
    std::string line;
    for (const std::string& word : argv) line += (line.empty() ? "" : " ") + word;
    return fail(*status == 8 ? ErrorKind::unreachable : ErrorKind::usage,
                "run {} ended with status {}; the last it said:\n{}\nThe command was: {}", name, *status,
                last_lines(log), line);
  }
  return gate::read_evidence(out);
}

Result<void> GateBench::wait_until_ready(ChildProcess& server, const std::string& log) {
  SteadyClock clock;
  const Nanos begin = clock.now();
  std::string origin = o_.target;
  while (origin.ends_with('/')) origin.pop_back();
  if (origin.ends_with("/v1")) origin.resize(origin.size() - 3);
  while (true) {
    for (const char* path : {"/health", "/v1/models"}) {
      if (loadgen::http_get(origin + path, Nanos{2'000'000'000})) return {};
    }
    if (const auto status = server.ended()) {
      return fail(ErrorKind::unreachable,
                  "the server ended with status {} before it was ready; the last it said:\n{}", *status,
                  last_lines(log));
    }
    if (stop_) return fail(ErrorKind::interrupted, "interrupted");
    if (clock.now() - begin > o_.server_timeout) {
      return fail(ErrorKind::unreachable,
                  "the server did not answer at {}/health nor /v1/models within {}; the last it said:\n{}",
                  origin, format_duration(o_.server_timeout), last_lines(log));
    }
    clock.sleep_until(clock.now() + Nanos{100'000'000});
  }
}

Result<gate::Evidence> GateBench::run(std::size_t side, const std::string& name, std::uint64_t seed) {
  const Command& command = commands_[side];
  if (o_.sides[side].server.empty()) return run_command(command, name, seed);
  // What answers before the server was started is another one.
  SteadyClock clock;
  for (const Nanos begin = clock.now(); loadgen::http_get(o_.target, Nanos{1'000'000'000}) ||
                                        loadgen::http_get(o_.target + "/health", Nanos{1'000'000'000});) {
    if (clock.now() - begin > Nanos{5'000'000'000}) {
      return fail(ErrorKind::usage,
                  "{} answers before the {} server was started: another process listens there; stop it, or "
                  "use another "
                  "port",
                  o_.target, o_.sides[side].name);
    }
    clock.sleep_until(clock.now() + Nanos{200'000'000});
  }
  const std::string log = (o_.out / (name + ".server.log")).string();
  DSBENCH_TRY(const auto server, ChildProcess::start(command.words, command.self, log));
  DSBENCH_CHECK(wait_until_ready(*server, log));
  if (!warm_load_.words.empty()) {
    DSBENCH_TRY(const auto warm, run_command(warm_load_, name + "-warm-up", seed + warm_up_seed));
    (void)warm;
  }
  auto evidence = run_command(load_, name, seed);
  if (const auto status = server->ended(); status && evidence) {
    return fail(ErrorKind::unreachable,
                "the {} server ended with status {} under the load of run {}; the last it said:\n{}",
                o_.sides[side].name, *status, name, last_lines(log));
  }
  server->stop(server_patience);
  return evidence;
}

std::vector<std::size_t> GateBench::order_of(std::size_t round) const {
  std::vector<std::size_t> order(o_.sides.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  Rng rng{o_.seed, "gate-order", round / 2};
  for (std::size_t k = order.size(); k > 1; --k) std::swap(order[k - 1], order[rng.below(k)]);
  if (round % 2 == 1) std::reverse(order.begin(), order.end());
  return order;
}

Result<std::vector<gate::Evidence>> GateBench::warm_up() {
  std::vector<gate::Evidence> runs;
  if (o_.warm_up == "none" || !o_.sides.front().server.empty()) return runs;
  for (std::size_t side = 0; side < o_.sides.size(); ++side) {
    progress_.status(fmt::format("warming up · {}", o_.sides[side].name));
    DSBENCH_TRY(gate::Evidence run,
                this->run(side, o_.sides[side].name + "-warm-up", o_.seed + warm_up_seed));
    runs.push_back(std::move(run));
  }
  return runs;
}

Result<void> GateBench::measure(std::size_t from, std::size_t to, std::size_t expected,
                                std::vector<std::vector<gate::Evidence>>& runs) {
  SteadyClock clock;
  const Nanos begin = clock.now();
  runs.resize(o_.sides.size());
  for (std::size_t round = from; round < to; ++round) {
    std::vector<gate::Evidence> of_round(o_.sides.size());
    std::size_t done = 0;
    for (const std::size_t side : order_of(round)) {
      const double finished = static_cast<double>((round - from) * o_.sides.size() + done);
      std::string left;
      if (finished > 0) {
        const double all = static_cast<double>((expected - from) * o_.sides.size());
        left = " · about " +
               format_duration(from_seconds(to_seconds(clock.now() - begin) / finished * (all - finished))) +
               " left";
      }
      progress_.status(fmt::format("round {} of {} · {}{}", round + 1, expected, o_.sides[side].name, left));
      const std::string name = fmt::format("{}-{:03}", o_.sides[side].name, round + 1);
      auto measured = run(side, name, seed_of(round));
      for (std::int32_t again = 1; measured && again <= o_.retries && !measured->invalid.empty(); ++again) {
        notes_.push_back(
            fmt::format("run {} was invalid ({}) and was made again", name, measured->invalid.front()));
        progress_.line(notes_.back());
        set_aside(name, fmt::format("invalid-{}", again));
        measured = run(side, name, seed_of(round));
      }
      if (!measured) {
        // A side without its partner would make what is kept uncomparable.
        for (const gate::Evidence& kept : of_round) {
          if (!kept.source.empty()) set_aside(base_name(kept.source), "unpaired");
        }
        return tl::unexpected(measured.error());
      }
      of_round[side] = std::move(*measured);
      ++done;
    }
    for (std::size_t side = 0; side < of_round.size(); ++side)
      runs[side].push_back(std::move(of_round[side]));
  }
  return {};
}

}  // namespace dsbench::cli
