#include "cli/send_plan.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <memory>
#include <string_view>

namespace dsbench::cli {
namespace {

std::string_view role_word(loadgen::PromptPart::Role role) {
  switch (role) {
    case loadgen::PromptPart::Role::system:
      return "system";
    case loadgen::PromptPart::Role::assistant:
      return "assistant";
    case loadgen::PromptPart::Role::user:
      break;
  }
  return "user";
}

std::string line_of(const loadgen::DueRequest& due, const loadgen::Attempt& a) {
  std::string line = fmt::format(
      R"({{"request":{},"due_ns":{},"stage":{},"tenant":{},"prompt_tokens":{},"output_tokens":{},"prompt_seed":{})",
      due.number, due.due.count(), due.plan, a.tenant, a.prompt_tokens, a.output_tokens, a.prompt_seed);
  const auto out = std::back_inserter(line);
  if (a.images > 0) fmt::format_to(out, R"(,"images":{},"image_bytes":{})", a.images, a.image_bytes);
  if (a.stop_after_tokens > 0) fmt::format_to(out, R"(,"stop_after_tokens":{})", a.stop_after_tokens);
  if (a.parts) {
    line += R"(,"parts":[)";
    for (const loadgen::PromptPart& p : *a.parts) {
      if (line.back() != '[') line += ',';
      fmt::format_to(out, R"(["{}",{},{})", role_word(p.role), p.seed, p.tokens);
      if (p.image_bytes > 0) fmt::format_to(out, ",{},{}", p.image_bytes, static_cast<int>(p.detail));
      line += ']';
    }
    line += ']';
  }
  line += "}\n";
  return line;
}

struct CloseFile {
  void operator()(std::FILE* file) const noexcept {
    if (file != stdout) (void)std::fclose(file);
  }
};

}  // namespace

Result<std::int64_t> write_send_plan(OfferedTraffic& traffic, const loadgen::SharedSource& source,
                                     const std::string& file) {
  const std::unique_ptr<std::FILE, CloseFile> out{file == "-" ? stdout : std::fopen(file.c_str(), "we")};
  const auto refuse = [&] {
    return fail(ErrorKind::io, "cannot write the plan to '{}': {}", file, std::strerror(errno));
  };
  if (!out) return refuse();
  std::int64_t lines = 0;
  while (const auto due = traffic.next_before(Nanos::max())) {
    const std::string line = line_of(*due, source.first_of_mix(due->number, traffic.stages()[due->plan].mix));
    if (std::fwrite(line.data(), 1, line.size(), out.get()) != line.size()) return refuse();
    ++lines;
  }
  if (std::fflush(out.get()) != 0) return refuse();
  return lines;
}

}  // namespace dsbench::cli
