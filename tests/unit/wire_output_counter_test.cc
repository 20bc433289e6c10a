#include "loadgen/wire/output_counter.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "loadgen/wire/calibration.h"

namespace dsbench::loadgen {
namespace {

using results::AttemptRecord;
using results::Reason;
using results::RequestRecord;
using results::TokenSource;

// Keeps all, in order; an attempt is "a12", a request "r12".
struct KeepingSink final : results::RecordSink {
  std::vector<std::string> order;
  std::vector<AttemptRecord> attempts;
  std::vector<RequestRecord> requests;
  void attempt(const AttemptRecord& r) override {
    order.push_back("a" + std::to_string(r.request));
    attempts.push_back(r);
  }
  void request(const RequestRecord& r) override {
    order.push_back("r" + std::to_string(r.request));
    requests.push_back(r);
  }
};

std::shared_ptr<const profiles::Tokenizer> tokenizer() {
  auto made = profiles::Tokenizer::load(std::string{DSBENCH_SOURCE_DIR} +
                                        "/tests/fixtures/parity/tokenizer-v2/tokenizer.json");
  EXPECT_TRUE(made.has_value()) << made.error().message;
  return std::make_shared<const profiles::Tokenizer>(std::move(*made));
}

AttemptRecord answered(std::uint64_t request, std::int32_t chunks) {
  AttemptRecord r;
  r.request = request;
  r.done = Nanos{5};
  r.output_tokens = chunks;
  return r;
}
RequestRecord ended(std::uint64_t request, std::int32_t tokens) {
  RequestRecord r;
  r.request = request;
  r.output_tokens = tokens;
  return r;
}

TEST(OutputCounter, CountsWhatTheServerDoesNot) {
  KeepingSink kept;
  {
    OutputCounter counter{kept, tokenizer()};
    // 25 and 1 tokens by Hugging Face's tokenizers (tests/fixtures/parity/tokenizer-v2/samples.json).
    counter.answered(1, 0, {.answer = "The quick brown fox jumps over the lazy dog.", .reasoning = "a"});
    counter.attempt(answered(1, 3));
    counter.request(ended(1, 3));
  }
  ASSERT_EQ(kept.order, (std::vector<std::string>{"a1", "r1"}));
  EXPECT_EQ(kept.attempts[0].token_source, TokenSource::retokenised);
  EXPECT_EQ(kept.attempts[0].output_tokens, 26);
  EXPECT_EQ(kept.attempts[0].reasoning_tokens, 1);
  EXPECT_EQ(kept.requests[0].output_tokens, 26);
}

TEST(OutputCounter, PassesOnWhatItHasNothingToSayOf) {
  KeepingSink kept;
  OutputCounter counter{kept, tokenizer()};
  AttemptRecord by_usage = answered(1, 7);
  by_usage.token_source = TokenSource::usage;
  counter.attempt(by_usage);
  counter.request(ended(1, 7));
  // Failed, without a text; then a text of an attempt that lost against its hedge.
  AttemptRecord failed = answered(2, 2);
  failed.reason = Reason::closed_early;
  counter.attempt(failed);
  counter.answered(2, 1, {.answer = "late", .reasoning = {}});
  AttemptRecord other = answered(2, 4);
  other.attempt = 2;
  counter.attempt(other);
  counter.request(ended(2, 4));
  // At once: no thread has anything to do with them.
  EXPECT_EQ(kept.order, (std::vector<std::string>{"a1", "r1", "a2", "a2", "r2"}));
  EXPECT_EQ(kept.attempts[0].token_source, TokenSource::usage);
  EXPECT_EQ(kept.attempts[2].token_source, TokenSource::chunks);
  EXPECT_EQ(counter.pending(), 0U);
}

TEST(OutputCounter, LeavesToTheirChunksWhatIsBeyondItsMemory) {
  KeepingSink kept;
  {
    OutputCounter counter{kept, tokenizer(), 100};
    counter.answered(1, 0, {.answer = std::string(101, 'a'), .reasoning = {}});
    counter.attempt(answered(1, 9));
    counter.request(ended(1, 9));
    counter.answered(2, 0, {.answer = std::string(100, ' '), .reasoning = {}});
    counter.attempt(answered(2, 9));
    counter.request(ended(2, 9));
  }
  ASSERT_EQ(kept.attempts.size(), 2U);
  EXPECT_EQ(kept.attempts[0].token_source, TokenSource::chunks);
  EXPECT_EQ(kept.attempts[0].output_tokens, 9);
  EXPECT_EQ(kept.attempts[1].token_source, TokenSource::retokenised);
}

TEST(OutputCounter, LosesNothingOfMany) {
  KeepingSink kept;
  {
    OutputCounter counter{kept, tokenizer()};
    for (std::uint64_t i = 0; i < 2'000; ++i) {
      if (i % 3 != 0) counter.answered(i, 0, {.answer = "Hello, world!", .reasoning = {}});
      counter.attempt(answered(i, 2));
      counter.request(ended(i, 2));
    }
  }
  ASSERT_EQ(kept.attempts.size(), 2'000U);
  ASSERT_EQ(kept.requests.size(), 2'000U);
  for (const AttemptRecord& a : kept.attempts) EXPECT_EQ(a.output_tokens, a.request % 3 == 0 ? 2 : 6);
}

// What a text of so many tokens by calibration really has, by the tokenizer itself.
TEST(Calibration, ByATokenizer) {
  const auto t = tokenizer();
  const auto made = calibrate_by(*t, 8'192);
  ASSERT_TRUE(made.has_value()) << made.error().message;
  EXPECT_EQ(made->told.source, "tokenizer");
  EXPECT_GT(made->scale.bytes_per_token, 1.0);
  EXPECT_LT(made->told.mean_error, 0.1);
  EXPECT_EQ(made->scale.message_overhead, 0);
}

}  // namespace
}  // namespace dsbench::loadgen
