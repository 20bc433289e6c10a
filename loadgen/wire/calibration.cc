#include "loadgen/wire/calibration.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <utility>

#include "core/rng.h"
#include "loadgen/codec/prompt_text.h"
#include "loadgen/codec/request_text.h"
#include "loadgen/wire/preflight.h"
#include "profiles/tokenizer/tokenizer.h"

namespace dsbench::loadgen {
namespace {

using Role = PromptPart::Role;

Attempt attempt_of(PromptParts parts) {
  Attempt attempt{.output_tokens = 1, .prompt_seed = 1};
  for (const PromptPart& part : parts) attempt.prompt_tokens += part.tokens;
  attempt.parts = std::make_shared<const PromptParts>(std::move(parts));
  return attempt;
}

std::uint64_t text(std::uint64_t n) {
  return derive_seed(0, "calibration", n);
}

}  // namespace

Result<Calibrated> calibrate_tokens(const AskTokens& ask, std::int64_t longest) {
  longest = std::clamp<std::int64_t>(longest, 64, 8'192);
  const auto half = static_cast<std::int32_t>(longest / 2);
  const PromptPart a{text(0), half, Role::user};
  const PromptPart b{text(1), half, Role::user};
  PromptPart b_as_answer = b;
  b_as_answer.role = Role::assistant;
  Calibrated out;
  std::int64_t probes = 0;
  const auto tokens = [&](PromptParts parts, const TokenScale& scale) {
    ++probes;
    return ask(attempt_of(std::move(parts)), scale);
  };
  // The same texts alone, joined, and joined with an end in another role: what differs is the frame alone,
  // but for the token that may bridge a seam.
  const PromptPart end{text(2), 8, Role::user};
  DSBENCH_TRY(const std::int64_t of_a, tokens({a}, {}));
  DSBENCH_TRY(const std::int64_t of_b, tokens({b}, {}));
  DSBENCH_TRY(const std::int64_t joined, tokens({a, b, end}, {}));
  DSBENCH_TRY(const std::int64_t apart, tokens({a, b_as_answer, end}, {}));
  // usage = request + message · (messages − 1) + bytes ÷ bytes per token
  const double bytes_of_joined = 2.0 * half + end.tokens;
  const double message = std::max(0.0, static_cast<double>(apart - joined) / 2);
  const double pair = static_cast<double>(of_a + of_b);  // two requests' frames, one text less its end
  const double slope_bytes = bytes_of_joined;
  // Two equations, pair = 2·request + 2·half/bpt and joined = request + (2·half + end)/bpt.
  const double per_byte = (2 * static_cast<double>(joined) - pair) / (2 * slope_bytes - 2.0 * half);
  const double request = static_cast<double>(joined) - bytes_of_joined * per_byte;
  if (!(per_byte > 0) || !std::isfinite(request)) {
    return fail(
        ErrorKind::unreachable,
        "the token counts of the target make no sense: texts of {} and {} bytes are {} and {} tokens, "
        "both in one {}; prompts cannot be calibrated by them",
        half, half, of_a, of_b, joined);
  }
  out.scale.bytes_per_token = 1 / per_byte;
  out.scale.request_overhead = std::max(0.0, request);
  out.scale.message_overhead = message;

  // Not texts that it was fitted to.
  constexpr std::array<std::int64_t, 4> parts_of_longest{64, 16, 4, 1};
  double sum = 0;
  int checked = 0;
  const auto longest_tokens = static_cast<std::int64_t>(static_cast<double>(longest) * per_byte);
  for (const std::int64_t part : parts_of_longest) {
    for (int i = 0; i < 2; ++i) {
      const auto asked = static_cast<std::int32_t>(std::max<std::int64_t>(longest_tokens / part, 16));
      const std::uint64_t seed = text(static_cast<std::uint64_t>(100 + 10 * part + i));
      DSBENCH_TRY(const std::int64_t told, tokens({{seed, asked, Role::user}}, out.scale));
      const double error = std::abs(static_cast<double>(told - asked)) / asked;
      sum += error;
      ++checked;
      out.told.largest_error = std::max(out.told.largest_error, error);
    }
  }
  out.told.bytes_per_token = out.scale.bytes_per_token;
  out.told.request_overhead = out.scale.request_overhead;
  out.told.message_overhead = out.scale.message_overhead;
  out.told.probes = probes;
  out.told.checks = checked;
  out.told.mean_error = sum / checked;
  return out;
}

Result<Calibrated> calibrate_provider(const WireConfig& config, std::size_t provider, std::int64_t longest,
                                      Nanos timeout) {
  return calibrate_tokens(
      [&](const Attempt& attempt, const TokenScale& scale) -> Result<std::int64_t> {
        WireConfig asked = config;
        asked.providers.at(provider).scale = scale;
        DSBENCH_TRY(const auto usage, ask_usage(asked, provider, attempt, timeout));
        if (!usage.prompt_tokens) {
          return fail(ErrorKind::unreachable,
                      "{} answers without a usage, and prompts cannot be calibrated without one; leave "
                      "--calibrate-tokens away",
                      config.providers[provider].base_url);
        }
        return *usage.prompt_tokens;
      },
      longest);
}

Result<Calibrated> calibrate_by(const profiles::Tokenizer& tokenizer, std::int64_t longest) {
  PromptCache cache;
  Body body;
  DSBENCH_TRY(Calibrated made,
              calibrate_tokens(
                  [&](const Attempt& attempt, const TokenScale& scale) -> Result<std::int64_t> {
                    cache.set_scale(scale);
                    body.clear();
                    Prompt{attempt}.append_text(cache, body);
                    std::string text;
                    for (std::string_view piece; !(piece = body.at(text.size(), body.size())).empty();)
                      text += piece;
                    DSBENCH_TRY(const auto ids, tokenizer.encode(text));
                    return static_cast<std::int64_t>(ids.size());
                  },
                  longest));
  made.told.source = "tokenizer";
  return made;
}

}  // namespace dsbench::loadgen
