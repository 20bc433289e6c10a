// Fuzz target of every API's reader. The first byte says which; whatever the others, nothing may crash, and
// an answer comes to the same however it is cut. With libFuzzer: -DDSBENCH_LIBFUZZER=1
// -fsanitize=fuzzer,address; without it, main() below replays the files and folders that it is given through
// every reader.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "loadgen/codec/codec.h"
#include "loadgen/codec/http_codec.h"

namespace {

using namespace dsbench;
using namespace dsbench::loadgen;

std::vector<std::shared_ptr<const Codec>> all_codecs() {
  std::vector<std::shared_ptr<const Codec>> codecs;
  for (const ApiName& api : apis()) {
    for (const bool stream : {true, false}) {
      CodecConfig config;
      config.api = api.name;
      config.model = "m";
      config.stream = stream;
      if (auto codec = make_codec(config)) codecs.push_back(*codec);
    }
  }
  HttpTemplate made;
  made.contains = "data";
  made.matches = "a.*b";
  codecs.push_back(std::make_shared<HttpCodec>(made));
  return codecs;
}

using Step = std::tuple<int, int, int, bool>;
struct Told {
  std::vector<Step> steps;
  ReplyReader::Usage usage;
  std::uint64_t comments = 0;
  friend bool operator==(const Told&, const Told&) = default;
};

Told read(ReplyReader& reader, std::string_view bytes, std::size_t piece) {
  Told told;
  bool ended = false;
  const auto add = [&](const ReplyReader::Step& s) {
    if (ended || s.tokens < 0) std::abort();
    told.steps.emplace_back(static_cast<int>(s.kind), s.tokens, static_cast<int>(s.reason), s.reasoning);
    ended = s.kind != ReplyReader::Step::Kind::tokens;
  };
  reader.begin(200);
  while (const auto s = reader.next()) add(*s);
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    const std::string part{bytes.substr(at, piece)};
    reader.feed(part);
    while (const auto s = reader.next()) add(*s);
  }
  if (!ended) add(reader.end_of_body());
  told.usage = reader.usage();
  told.comments = reader.comments();
  return told;
}

void check(const Codec& codec, std::string_view bytes) {
  const auto reader = codec.make_reader();
  const Told whole = read(*reader, bytes, bytes.empty() ? 1 : bytes.size());
  for (const std::size_t piece : {std::size_t{1}, std::size_t{3}, std::size_t{64}}) {
    if (read(*reader, bytes, piece) != whole) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto codecs = all_codecs();
  if (size == 0) return 0;
  check(*codecs[data[0] % codecs.size()], {reinterpret_cast<const char*>(data) + 1, size - 1});
  return 0;
}

#ifndef DSBENCH_LIBFUZZER
int main(int argc, char** argv) {
  const auto codecs = all_codecs();
  int files = 0;
  const auto replay = [&](const std::filesystem::path& path) {
    std::ifstream in{path, std::ios::binary};
    const std::string bytes{std::istreambuf_iterator<char>{in}, {}};
    for (const auto& codec : codecs) check(*codec, bytes);
    ++files;
  };
  for (int i = 1; i < argc; ++i) {
    if (std::filesystem::is_directory(argv[i])) {
      for (const auto& entry : std::filesystem::directory_iterator{argv[i]}) replay(entry.path());
    } else {
      replay(argv[i]);
    }
  }
  std::printf("replayed %d files through %zu readers\n", files, codecs.size());
  return files > 0 ? 0 : 1;  // an empty corpus tests nothing
}
#endif
