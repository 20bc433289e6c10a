#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "loadgen/from_profiles.h"
#include "loadgen/retry_delay.h"

namespace dsbench::loadgen {
namespace {

using namespace std::chrono_literals;
using results::Reason;

RetryLaw sdk() {
  RetryLaw law;
  law.max_retries = 2;
  return law;
}

Failure failure(Reason reason, std::int32_t status = 0) {
  Failure f;
  f.reason = reason;
  f.http_status = status;
  return f;
}

std::optional<Nanos> delay(const RetryLaw& law, std::int32_t retry, const Failure& f,
                           std::uint64_t seed = 1) {
  Rng rng{seed, "test"};
  return retry_delay(law, retry, f, rng);
}

TEST(RetryDelay, WhatIsTriedAgain) {
  struct Row {
    Reason reason;
    std::int32_t status;
    bool again;
  };
  const std::vector<Row> rows{
      {Reason::connect_failed, 0, true},
      {Reason::connect_timeout, 0, true},
      {Reason::tls_failed, 0, true},
      {Reason::send_failed, 0, true},
      {Reason::first_token_timeout, 0, true},
      {Reason::total_timeout, 0, true},
      {Reason::http_429, 429, true},
      {Reason::http_503, 503, true},
      {Reason::http_5xx, 500, true},
      {Reason::http_5xx, 504, true},
      {Reason::http_4xx, 408, true},
      {Reason::http_4xx, 409, true},
      {Reason::http_4xx, 400, false},
      {Reason::http_4xx, 401, false},
      {Reason::http_4xx, 422, false},
      {Reason::http_other, 302, false},
      {Reason::closed_early, 200, false},
      {Reason::error_frame, 200, false},
      {Reason::insufficient_resource, 200, false},
      {Reason::malformed, 200, false},
      {Reason::empty, 200, false},
      {Reason::unsent, 0, false},
      {Reason::interrupted, 0, false},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(delay(sdk(), 0, failure(row.reason, row.status)).has_value(), row.again)
        << to_word(row.reason) << " " << row.status;
  }
}

TEST(RetryDelay, DoublesUpToTheCapTimesAJitterJustBelowOne) {
  RetryLaw law = sdk();
  law.max_retries = 100;
  const std::vector<std::pair<std::int32_t, Nanos>> rows{{0, 500ms}, {1, 1s}, {2, 2s},  {3, 4s},
                                                         {4, 8s},    {5, 8s}, {40, 8s}, {99, 8s}};
  for (const auto& [retry, base] : rows) {
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
      const auto d = delay(law, retry, failure(Reason::http_429, 429), seed);
      ASSERT_TRUE(d.has_value());
      EXPECT_GT(*d, base * 3 / 4) << retry;
      EXPECT_LE(*d, base) << retry;
    }
  }
}

TEST(RetryDelay, NoJitterIsExact) {
  RetryLaw law = sdk();
  law.jitter = 0;
  EXPECT_EQ(delay(law, 0, failure(Reason::http_503, 503)), 500ms);
  EXPECT_EQ(delay(law, 1, failure(Reason::http_503, 503)), 1s);
}

TEST(RetryDelay, EndsAfterMaxRetries) {
  EXPECT_TRUE(delay(sdk(), 1, failure(Reason::http_429, 429)));
  EXPECT_FALSE(delay(sdk(), 2, failure(Reason::http_429, 429)));
  EXPECT_FALSE(delay(RetryLaw{}, 0, failure(Reason::http_429, 429))) << "off by default";
}

TEST(RetryDelay, NothingOnceTheStreamBegan) {
  Failure f = failure(Reason::total_timeout);
  f.stream_began = true;
  EXPECT_FALSE(delay(sdk(), 0, f));
  f.should_retry = true;
  EXPECT_FALSE(delay(sdk(), 0, f));
}

TEST(RetryDelay, RetryAfterIsObeyedUpToTheLimit) {
  Failure f = failure(Reason::http_429, 429);
  f.retry_after = 7s;
  EXPECT_EQ(delay(sdk(), 0, f), 7s);
  f.retry_after = 120s;
  EXPECT_EQ(delay(sdk(), 0, f), 120s);
  f.retry_after = 120s + 1ns;
  EXPECT_FALSE(delay(sdk(), 0, f));
  f.retry_after = 0s;  // says nothing: the law's own delay
  const auto d = delay(sdk(), 0, f);
  ASSERT_TRUE(d);
  EXPECT_GT(*d, 375ms);
  EXPECT_LE(*d, 500ms);
}

RetryLaw law_of(const char* profile) {
  const auto client = profiles::load_client(profile);
  EXPECT_TRUE(client) << (client ? "" : client.error().message);
  return policy_of(*client).retry;
}

// What the two SDKs compute, written down once more from their sources: min(0.5 · 2^n, 8) s times 1 − U/4.
TEST(RetryDelay, TheSdksLawToTheNanosecond) {
  for (const char* sdk_profile : {"openai-sdk", "anthropic-sdk"}) {
    RetryLaw law = law_of(sdk_profile);
    EXPECT_EQ(law.max_retries, 2) << sdk_profile;
    law.max_retries = 10;
    for (std::int32_t retry = 0; retry < 10; ++retry) {
      for (std::uint64_t seed = 0; seed < 50; ++seed) {
        Rng same{seed, "test"};
        const double expected = std::min(0.5 * std::pow(2.0, retry), 8.0) * (1 - 0.25 * same.uniform());
        const auto d = delay(law, retry, failure(Reason::http_503, 503), seed);
        ASSERT_TRUE(d);
        EXPECT_NEAR(to_seconds(*d), expected, 1e-9) << sdk_profile << " " << retry;
      }
    }
  }
}

TEST(RetryDelay, TheTwoSdksDifferInLongRetryAfters) {
  Failure f = failure(Reason::http_429, 429);
  f.retry_after = 121s;
  EXPECT_FALSE(delay(law_of("openai-sdk"), 0, f)) << "longer than two minutes: no retry";
  EXPECT_EQ(delay(law_of("anthropic-sdk"), 0, f), 121s) << "as long as the server says";
  f.should_retry = true;
  EXPECT_FALSE(delay(law_of("openai-sdk"), 0, f)) << "asked before x-should-retry";
}

TEST(RetryDelay, OwnDelayBeyondTheLimit) {
  RetryLaw law = sdk();
  law.jitter_law = Jitter::none;
  law.retry_after_limit = 60s;
  law.own_delay_beyond_limit = true;
  Failure f = failure(Reason::http_429, 429);
  f.retry_after = 61s;
  EXPECT_EQ(delay(law, 0, f), 500ms);
  f.retry_after = 60s;
  EXPECT_EQ(delay(law, 0, f), 60s);
  law.obey_server = false;
  EXPECT_EQ(delay(law, 0, f), 500ms);
}

TEST(RetryDelay, GrowthLaws) {
  RetryLaw law = sdk();
  law.max_retries = 100;
  law.jitter_law = Jitter::none;
  const Failure f = failure(Reason::http_503, 503);
  law.growth = Growth::constant;
  EXPECT_EQ(delay(law, 7, f), 500ms);
  law.growth = Growth::linear;
  EXPECT_EQ(delay(law, 0, f), 500ms);
  EXPECT_EQ(delay(law, 3, f), 2s);
  EXPECT_EQ(delay(law, 99, f), 8s) << "the cap";
  law.growth = Growth::exponential;
  EXPECT_EQ(delay(law, 3, f), 4s);
}

TEST(RetryDelay, JitterLawsHaveTheirRangesAndMeans) {
  RetryLaw law = sdk();
  law.max_retries = 100;
  const Failure f = failure(Reason::http_503, 503);
  struct Row {
    Jitter jitter;
    double low, high, mean;  // of the delay before retry 2, which without jitter is 2 s
  };
  // decorrelated: uniform from 0.5 s to three times the delay before, 3 · 1.5 s.
  for (const Row& row : {Row{Jitter::full, 0, 2, 1}, Row{Jitter::equal, 1, 2, 1.5},
                         Row{Jitter::decorrelated, 0.5, 4.5, 2.5}, Row{Jitter::downwards, 1.5, 2, 1.75}}) {
    law.jitter_law = row.jitter;
    double sum = 0;
    constexpr int n = 4000;
    for (int i = 0; i < n; ++i) {
      Rng rng{static_cast<std::uint64_t>(i), "test"};
      const auto d = retry_delay(law, 2, f, rng, 1500ms);
      ASSERT_TRUE(d);
      const double s = to_seconds(*d);
      EXPECT_GE(s, row.low - 1e-9);
      EXPECT_LE(s, row.high + 1e-9);
      sum += s;
    }
    // Five standard errors of a uniform mean.
    EXPECT_NEAR(sum / n, row.mean, 5 * (row.high - row.low) / std::sqrt(12.0 * n));
  }
}

TEST(RetryDelay, StatusesAndKindsAreTheLawsOwn) {
  RetryLaw law = sdk();
  law.statuses = *profiles::parse_statuses("429, 520-527, 5xx");
  EXPECT_EQ(profiles::print_statuses(law.statuses), "429, 520-527, 5xx");
  EXPECT_TRUE(delay(law, 0, failure(Reason::http_429, 429)));
  EXPECT_FALSE(delay(law, 0, failure(Reason::http_4xx, 408)));
  law.statuses = *profiles::parse_statuses("529");
  EXPECT_TRUE(delay(law, 0, failure(Reason::http_5xx, 529)));
  EXPECT_FALSE(delay(law, 0, failure(Reason::http_503, 503)));
  law.after_timeouts = false;
  EXPECT_FALSE(delay(law, 0, failure(Reason::first_token_timeout)));
  EXPECT_TRUE(delay(law, 0, failure(Reason::connect_failed)));
  law.after_connection_errors = false;
  EXPECT_FALSE(delay(law, 0, failure(Reason::connect_failed)));
  EXPECT_FALSE(delay(law, 0, failure(Reason::closed_early, 200)));
  law.after_broken_streams = true;
  EXPECT_TRUE(delay(law, 0, failure(Reason::closed_early, 200)));
  for (const Reason own :
       {Reason::unsent, Reason::interrupted, Reason::abandoned, Reason::superseded, Reason::breaker_open}) {
    EXPECT_FALSE(delay(law, 0, failure(own)));
  }
  const auto wrong = profiles::parse_statuses("429, 12");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().message,
            "'12' in '429, 12' is no HTTP status; accepted is a list such as '408, 429, 5xx, 520-527'");
}

TEST(RetryDelay, ShouldRetryOverridesTheStatus) {
  Failure f = failure(Reason::http_4xx, 400);
  f.should_retry = true;
  EXPECT_TRUE(delay(sdk(), 0, f));
  f = failure(Reason::http_503, 503);
  f.should_retry = false;
  EXPECT_FALSE(delay(sdk(), 0, f));
}

}  // namespace
}  // namespace dsbench::loadgen
