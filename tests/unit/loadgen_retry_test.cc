#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "loadgen/client_policy.h"

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
