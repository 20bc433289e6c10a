// What reading costs: nanoseconds for each event of each API, from bytes as a socket gives them to steps. A
// measurement, not a test. Usage: codec_speed [SECONDS a line, default 0.5] [bytes of a piece, default 4096]
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "loadgen/codec/codec.h"
#include "tests/fakes/codec_streams.h"

namespace {

using namespace dsbench;
using namespace dsbench::loadgen;

// Time that this thread had a core: on a busy machine the wall clock says nothing.
double thread_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

void read(ReplyReader& reader, const std::string& stream, std::size_t piece) {
  reader.begin(200);
  bool done = false;
  for (std::size_t at = 0; at < stream.size(); at += piece) {
    reader.feed(std::string_view{stream}.substr(at, piece));
    while (const auto step = reader.next()) done = step->kind == ReplyReader::Step::Kind::done;
  }
  if (!done) done = reader.end_of_body().kind == ReplyReader::Step::Kind::done;
  if (!done) std::abort();
}

// The best of many short rounds: whatever else runs only ever makes it slower.
double ns_per_pass(ReplyReader& reader, const std::string& stream, std::size_t piece, double seconds) {
  const double end = thread_ns() + seconds * 1e9;
  double best = 1e300;
  while (thread_ns() < end) {
    const double from = thread_ns();
    int passes = 0;
    double now = from;
    for (; now < from + 300'000; now = thread_ns(), ++passes) read(reader, stream, piece);
    best = std::min(best, (now - from) / passes);
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 0.5;
  const std::size_t piece = argc > 2 ? static_cast<std::size_t>(std::atol(argv[2])) : 4096;
  struct Line {
    const char* api;
    std::string (*stream)(int);
  };
  const std::vector<Line> lines{{"chat", testing::chat_stream},
                                {"responses", testing::responses_stream},
                                {"anthropic", testing::anthropic_stream},
                                {"sglang", testing::sglang_stream},
                                {"tgi", testing::tgi_stream},
                                {"triton", testing::triton_stream}};
  fmt::print("{:<12}{:>12}{:>12}{:>12}{:>10}\n", "API", "events", "bytes/event", "ns/event", "GB/s");
  for (const Line& line : lines) {
    for (const int tokens : {32, 512}) {
      const std::string stream = line.stream(tokens);
      const auto reader = testing::codec_of(line.api)->make_reader();
      // The frames around the tokens are part of what an answer costs; each token's event bears its share.
      const double ns = ns_per_pass(*reader, stream, piece, seconds);
      fmt::print("{:<12}{:>12}{:>12.0f}{:>12.0f}{:>10.2f}\n", line.api, tokens,
                 static_cast<double>(stream.size()) / tokens, ns / tokens,
                 static_cast<double>(stream.size()) / ns);
    }
  }
  return 0;
}
