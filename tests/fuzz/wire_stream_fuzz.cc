// Fuzz target of what reads a server's bytes: the SSE parser, the chunk scanner, the stream's judge, the
// metrics page and the retry headers. Whatever the bytes, nothing may crash, and a stream gives the same
// however it is cut. With libFuzzer: -DDSBENCH_LIBFUZZER=1 -fsanitize=fuzzer,address; without it, main()
// below replays the files and folders that it is given.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "loadgen/codec/chunk_scanner.h"
#include "loadgen/codec/openai_codec.h"
#include "loadgen/codec/sse_parser.h"
#include "loadgen/wire/prometheus_text.h"
#include "loadgen/wire/retry_advice.h"

namespace {

using namespace dsbench;
using namespace dsbench::loadgen;

struct Told {
  std::vector<std::pair<std::string, std::string>> events;
  std::vector<std::pair<int, int>> steps;
  std::string end;
  friend bool operator==(const Told&, const Told&) = default;
};

Told read(std::string_view bytes, std::size_t piece) {
  Told told;
  SseParser parser{4096};
  OpenAiReader reader;
  reader.begin(200);
  bool ended = false;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    const std::string part{bytes.substr(at, piece)};
    parser.feed(part);
    while (const auto e = parser.next()) told.events.emplace_back(e->event, e->data);
    reader.feed(part);
    while (const auto s = reader.next()) {
      told.steps.emplace_back(static_cast<int>(s->kind), static_cast<int>(s->reason));
      ended = ended || s->kind != ReplyReader::Step::Kind::tokens;
    }
  }
  told.end = results::to_word(ended ? results::Reason::ok : reader.end_of_body().reason);
  told.end += parser.overflowed() ? "!" : ".";
  return told;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes{reinterpret_cast<const char*>(data), size};
  const Told whole = read(bytes, size == 0 ? 1 : size);
  for (const std::size_t piece : {std::size_t{1}, std::size_t{3}, std::size_t{64}}) {
    if (read(bytes, piece) != whole) std::abort();
  }
  (void)scan_chunk(bytes);
  (void)parse_prometheus_text(bytes);
  RetryHeaders headers;
  headers.read(bytes, Nanos{0});
  return 0;
}

#ifndef DSBENCH_LIBFUZZER
int main(int argc, char** argv) {
  int files = 0;
  const auto replay = [&](const std::filesystem::path& path) {
    std::ifstream in{path, std::ios::binary};
    const std::string bytes{std::istreambuf_iterator<char>{in}, {}};
    (void)LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    ++files;
  };
  for (int i = 1; i < argc; ++i) {
    if (std::filesystem::is_directory(argv[i])) {
      for (const auto& entry : std::filesystem::directory_iterator{argv[i]}) replay(entry.path());
    } else {
      replay(argv[i]);
    }
  }
  std::printf("replayed %d files\n", files);
  return files > 0 ? 0 : 1;  // an empty corpus tests nothing
}
#endif
