#include "cli/metrics_observer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

namespace dsbench::cli {
namespace {

;

std::string page(int computed, int generated) {
  return fmt::format("dsbench_computed_tokens_total {}\nvllm:generation_tokens_total {}\n", computed,
                     generated);
}

TEST(MetricsObserver, ATargetThatBeginsAnewGoesOnWhereItsPredecessorWasLastSeen) {
  std::string now = page(100, 40);
  ManualClock clock;
  MetricsObserver observer{[&]() -> Result<std::string> { return now; }, clock};
  EXPECT_EQ(observer.observe()->ledger->computed_tokens, 100);
  now = page(250, 90);
  EXPECT_EQ(observer.observe()->ledger->computed_tokens, 250);
  EXPECT_EQ(observer.restarts(), 0);
  now = page(30, 10);
  EXPECT_EQ(observer.observe()->ledger->computed_tokens, 280);
  EXPECT_EQ(observer.restarts(), 1);
  now = page(70, 20);
  const auto seen = observer.observe();
  EXPECT_EQ(seen->ledger->computed_tokens, 320);
  EXPECT_EQ(seen->ledger->generated_tokens, 110);
}

TEST(MetricsObserver, APageThatWasThereIsLookedForAgainAndOneThatNeverWasIsNot) {
  ManualClock clock;
  int asked = 0;
  bool answers = true;
  Nanos takes{1'000'000};
  const auto fetch = [&]() -> Result<std::string> {
    ++asked;
    clock.advance(takes);
    if (answers) return page(5, 5);
    return fail(ErrorKind::unreachable, "no");
  };
  MetricsObserver gone{fetch, clock};
  EXPECT_TRUE(gone.observe());
  answers = false;
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(gone.observe());
  EXPECT_EQ(asked, 21) << "a refusal costs nothing";
  takes = Nanos{900'000'000};
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(gone.observe());
  EXPECT_EQ(asked, 24);
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(gone.observe());
  EXPECT_EQ(asked, 26) << "it hangs: every tenth time";
  answers = true;
  for (int i = 0; i < 9; ++i) EXPECT_FALSE(gone.observe());
  EXPECT_TRUE(gone.observe());
  EXPECT_TRUE(gone.observe()) << "and again with every second";

  asked = 0;
  answers = false;
  takes = Nanos{1'000'000};
  MetricsObserver never{fetch, clock};
  for (int i = 0; i < 40; ++i) EXPECT_FALSE(never.observe());
  EXPECT_EQ(asked, 3);
}

}  // namespace
}  // namespace dsbench::cli
