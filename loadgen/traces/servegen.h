#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"
#include "core/units.h"
#include "loadgen/traces/servegen_dataset.h"
#include "loadgen/traces/trace_request.h"

// ServeGen's traces are descriptions, not lists: for each client, window by window, a rate and the law of the
// gaps (chunk-N-trace.csv), and every few hours the distributions of lengths (chunk-N-dataset.json). We draw
// requests from them.
namespace dsbench::loadgen {

[[nodiscard]] bool is_servegen_folder(const std::filesystem::path& path);

struct ServeGenClient {
  struct Window {
    double start_s = 0, rate = 0, cv = 0;
    enum class Law : std::uint8_t { none, gamma, weibull } law = Law::none;
    double shape = 1;
  };
  int number = 0;  // N of its files
  std::vector<Window> windows;
  std::vector<ServeGenLengths> lengths;  // by start
};

struct ServeGen {
  std::vector<ServeGenClient> clients;  // by number
  double window_s = 600;
  double length_s = 0;
  std::uint64_t records = 0, bad = 0;
  std::vector<std::string> examples;

  [[nodiscard]] static Result<ServeGen> read(const std::filesystem::path& folder);

  // How many requests are expected in [from, to).
  [[nodiscard]] double expected(Nanos from, Nanos to) const;

  // Draws the requests of [from, to), client by client. Each window of a client is a stationary renewal
  // process with its law, drawn from streams of its own: a part of the day is the same part of the whole.
  // Within a window input and output lengths are independent, as the source gives no more than their
  // distributions.
  void draw(std::uint64_t seed, Nanos from, Nanos to, const TraceSink& sink) const;
};

}  // namespace dsbench::loadgen
