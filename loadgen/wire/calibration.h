#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "core/result.h"
#include "core/units.h"
#include "loadgen/codec/token_scale.h"
#include "loadgen/target.h"
#include "loadgen/wire/wire_config.h"
#include "results/run_summary.h"

namespace dsbench::loadgen {

// Prompts are synthetic text, and only the server knows how many tokens its tokeniser makes of it. Its
// `usage` tells: this measures it with a few requests, so that prompts have as many tokens as they should.
struct Calibrated {
  TokenScale scale;
  results::TokenCalibration told;
};

// Asks one request whose texts are measured by `scale`, and returns the prompt tokens of its usage.
using AskTokens = std::function<Result<std::int64_t>(const Attempt&, const TokenScale& scale)>;

// Twelve requests: four whose texts are known alone and joined tell what every request costs beside its text,
// what a further message costs, and how many bytes a token has; eight of 1/64 to 1 times `longest` tell how
// far off prompts are that are made so. No text has more than `longest` bytes while nothing is known of the
// tokeniser (at least 64). Errors: those of `ask`; unreachable, when the counts make no sense.
[[nodiscard]] Result<Calibrated> calibrate_tokens(const AskTokens& ask, std::int64_t longest);

// The same at one provider of `config`, whose model is known. Errors: unreachable, also when its answers
// carry no usage.
[[nodiscard]] Result<Calibrated> calibrate_provider(const WireConfig& config, std::size_t provider,
                                                    std::int64_t longest,
                                                    Nanos timeout = Nanos{60'000'000'000});

// The same by a tokenizer of ours, for a server that counts nothing: what the text is, and nothing of a chat
// template's frame. Errors: unreachable, when the counts make no sense; those of the tokenizer.
[[nodiscard]] Result<Calibrated> calibrate_by(const profiles::Tokenizer& tokenizer, std::int64_t longest);

}  // namespace dsbench::loadgen
