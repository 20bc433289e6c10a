#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/rng.h"
#include "profiles/step_law_fit.h"

namespace dsbench::profiles {
namespace {

using testing::HasSubstr;

std::vector<StepSample> steps_of(double base, double p, double d, double k, double noise,
                                 std::uint64_t seed = 1) {
  Rng rng{seed, "steps"};
  std::vector<StepSample> steps;
  for (int i = 0; i < 400; ++i) {
    StepSample s{.prefill_tokens = i % 3 == 0 ? static_cast<double>(rng.below(512)) : 0,
                 .decode_tokens = static_cast<double>(rng.below(64))};
    s.kv_tokens = s.decode_tokens * static_cast<double>(16 + rng.below(2000));
    s.seconds =
        (base + p * s.prefill_tokens + d * s.decode_tokens + k * s.kv_tokens) * (1 + noise * rng.normal());
    steps.push_back(s);
  }
  return steps;
}

TEST(StepLaw, FindsTheLawThatMadeTheSteps) {
  const auto fit = fit_step_law(steps_of(2e-3, 4e-4, 1e-3, 1e-6, 0));
  ASSERT_TRUE(fit) << fit.error().message;
  EXPECT_NEAR(fit->base_s, 2e-3, 1e-8);
  EXPECT_NEAR(fit->prefill_token_s, 4e-4, 1e-9);
  EXPECT_NEAR(fit->decode_token_s, 1e-3, 1e-9);
  EXPECT_NEAR(fit->kv_token_s, 1e-6, 1e-12);
  EXPECT_LT(fit->p90_error, 1e-6);
  EXPECT_EQ(fit->dropped, 0);
}

TEST(StepLaw, FindsItThroughNoiseAndOutliersAndSaysHowWell) {
  auto steps = steps_of(2e-3, 4e-4, 1e-3, 1e-6, 0.03);
  for (std::size_t i = 0; i < steps.size(); i += 20) steps[i].seconds *= 5;  // somebody else had the machine
  const auto fit = fit_step_law(steps);
  ASSERT_TRUE(fit);
  EXPECT_NEAR(fit->decode_token_s, 1e-3, 3e-5);
  EXPECT_NEAR(fit->prefill_token_s, 4e-4, 2e-5);
  EXPECT_GE(fit->dropped, 18);
  EXPECT_NEAR(fit->median_error, 0.02, 0.01);
  EXPECT_NEAR(fit->held_out_median_error, 0.02, 0.01);
}

TEST(StepLaw, HasNoNegativeCost) {
  // A cost that falls with the context cannot be: it comes out as nothing, not as a gift.
  const auto fit = fit_step_law(steps_of(2e-3, 4e-4, 1e-3, -1e-7, 0));
  ASSERT_TRUE(fit);
  EXPECT_EQ(fit->kv_token_s, 0);
  EXPECT_GE(fit->base_s, 0);
}

TEST(StepLaw, SaysWhichCostsItCannotTellApart) {
  auto steps = steps_of(2e-3, 4e-4, 1e-3, 1e-6, 0);
  for (StepSample& s : steps) s.kv_tokens = 100 * s.decode_tokens;
  const auto fit = fit_step_law(steps);
  ASSERT_FALSE(fit);
  EXPECT_THAT(fit.error().message, HasSubstr("decode tokens and KV tokens always move together"));
}

TEST(StepLaw, RefusesTooLittle) {
  auto steps = steps_of(2e-3, 4e-4, 1e-3, 1e-6, 0);
  EXPECT_THAT(fit_step_law(std::span{steps}.first(19)).error().message, HasSubstr("20 are the least"));
  for (StepSample& s : steps) s.prefill_tokens = 0;
  EXPECT_THAT(fit_step_law(steps).error().message, HasSubstr("no step has prompt tokens"));
}

}  // namespace
}  // namespace dsbench::profiles
