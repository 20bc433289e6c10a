#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cli/child_process.h"
#include "cli/progress.h"
#include "core/result.h"
#include "core/units.h"
#include "results/gate/evidence.h"

namespace dsbench::cli {

// One of the things that are compared: a command that measures by itself, or a server that we start and load.
struct GateSide {
  std::string name;     // "base", "cand": of its run directories
  std::string command;  // as a person writes it; a verb of dsbench (load, rehearse), or any with {out} in it
  std::string server;   // instead: what to start; the bench's load is what is run against it
};

struct GateBenchOptions {
  std::vector<GateSide> sides;
  std::string target;            // of servers: where they answer
  std::string load;              // of servers: flags of `dsbench load`
  std::string warm_up = "same";  // "same", "none"; of servers also other flags of `dsbench load`
  Nanos server_timeout{600'000'000'000};
  Nanos run_limit{0};  // 0: none
  std::uint64_t seed = 1;
  bool vary_seed = false;
  std::int32_t retries = 1;  // of a run that is invalid
  std::filesystem::path out;
};

// Runs the sides, in fresh processes, and reads what they measured.
class GateBench {
 public:
  // Errors: usage, for a command that cannot be understood.
  [[nodiscard]] static Result<std::unique_ptr<GateBench>> open(GateBenchOptions options,
                                                               std::atomic<bool>& stop, Progress& progress);

  // One run of each side that counts for nothing, where there is a warm-up and no server to start; what they
  // measured, by side. Empty otherwise.
  [[nodiscard]] Result<std::vector<results::gate::Evidence>> warm_up();

  // Rounds [from, to): each side once a round, in an order drawn for every other round; the round between has
  // it reversed (ABBA). Appends to `runs`, by side. Errors: interrupted; what a command that failed said
  // last.
  [[nodiscard]] Result<void> measure(std::size_t from, std::size_t to, std::size_t expected,
                                     std::vector<std::vector<results::gate::Evidence>>& runs);

  // What happened on the way: runs that were invalid and were made again.
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }

 private:
  struct Command {
    std::vector<std::string> words;
    bool self = false;        // this binary
    bool is_load = false;     // a verb that takes --out, --seed and --quiet
    bool is_kernels = false;  // takes --out FILE and --quiet
  };
  GateBench(GateBenchOptions options, std::atomic<bool>& stop, Progress& progress)
      : o_{std::move(options)}, stop_{stop}, progress_{progress} {}

  static Result<Command> parse(const std::string& text);
  Result<results::gate::Evidence> run(std::size_t side, const std::string& name, std::uint64_t seed);
  Result<results::gate::Evidence> run_command(const Command& command, const std::string& name,
                                              std::uint64_t seed);
  // So that NAME-??? are runs that count.
  void set_aside(const std::string& name, const std::string& why);
  Result<void> wait_until_ready(ChildProcess& server, const std::string& log);
  [[nodiscard]] std::vector<std::size_t> order_of(std::size_t round) const;
  [[nodiscard]] std::uint64_t seed_of(std::size_t round) const {
    return o_.seed + (o_.vary_seed ? round : 0);
  }

  GateBenchOptions o_;
  std::atomic<bool>& stop_;
  Progress& progress_;
  std::vector<Command> commands_;  // by side; of servers the server's
  Command load_, warm_load_;       // of servers
  std::vector<std::string> notes_;
};

}  // namespace dsbench::cli
