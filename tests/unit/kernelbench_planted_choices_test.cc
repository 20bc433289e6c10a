// Damaged choices of experts and entries, and rows that go to them, each of which must be noticed
// (kernelbench_planted_bugs.h).

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>
#include <vector>

#include "tests/unit/kernelbench_planted_bugs.h"

namespace dsbench::kernelbench {
namespace {

using testing::check;
using testing::expect_caught;
using testing::kFull;
using testing::problem;
using testing::right;
using testing::sigmoid;
using testing::zero_row;

constexpr std::string_view kGate = R"({"op": "moe_gate", "params": {"tokens": 200, "experts": 256, "top_k": 8,
    "groups": 8, "kept_groups": 4, "scale_milli": 2500}})";

TEST(PlantedBugs, TheBiasUsedAsWeight) {
  expect_caught(kGate, [](const Problem& p, Operands& o) {
    for (std::int64_t t = 0; t < p["tokens"]; ++t) {
      double sum = 0;
      for (std::int64_t pass = 0; pass < 2; ++pass) {
        for (std::int64_t i = t * 8; i < (t + 1) * 8; ++i) {
          const auto e = static_cast<std::int64_t>(o.out[0].get(i));
          const double biased = sigmoid(o.in[0].get(t * 256 + e)) + o.in[1].get(e);
          if (pass == 0) {
            sum += biased;
          } else {
            o.out[1].set(i, biased / sum * 2.5);
          }
        }
      }
    }
  });
}

// The gate as it should be but for what refused groups are masked with.
void choose_with_mask(const Problem& p, Operands& o, double mask) {
  const std::int64_t size = p["experts"] / p["groups"];
  for (std::int64_t t = 0; t < p["tokens"]; ++t) {
    std::vector<double> scores;
    std::vector<double> biased;
    for (std::int64_t e = 0; e < p["experts"]; ++e) {
      scores.push_back(sigmoid(o.in[0].get(t * p["experts"] + e)));
      biased.push_back(scores.back() + o.in[1].get(e));
    }
    std::vector<std::pair<double, std::int64_t>> groups;
    for (std::int64_t g = 0; g < p["groups"]; ++g) {
      std::vector<double> members(biased.begin() + g * size, biased.begin() + (g + 1) * size);
      std::ranges::sort(members, std::greater<>());
      groups.emplace_back(-(members[0] + members[1]), g);
    }
    std::ranges::sort(groups);
    for (std::int64_t i = p["kept_groups"]; i < p["groups"]; ++i) {
      std::fill_n(biased.begin() + groups[static_cast<std::size_t>(i)].second * size, size, mask);
    }
    double sum = 0;
    std::vector<std::int64_t> chosen;
    for (std::int64_t j = 0; j < p["top_k"]; ++j) {
      const auto best = std::ranges::max_element(biased) - biased.begin();
      biased[static_cast<std::size_t>(best)] = -std::numeric_limits<double>::infinity();
      chosen.push_back(best);
      sum += scores[static_cast<std::size_t>(best)];
    }
    for (std::int64_t j = 0; j < p["top_k"]; ++j) {
      const std::int64_t e = chosen[static_cast<std::size_t>(j)];
      o.out[0].set(t * p["top_k"] + j, static_cast<double>(e));
      o.out[1].set(t * p["top_k"] + j, scores[static_cast<std::size_t>(e)] / sum * 2.5);
    }
  }
}

TEST(PlantedBugs, RefusedGroupsMaskedWithZero) {
  Operands operands = right(problem(kGate));
  choose_with_mask(problem(kGate), operands, -std::numeric_limits<double>::infinity());
  EXPECT_TRUE(check(problem(kGate), operands, kFull).passed);  // the stand-in is right but for the mask
  expect_caught(kGate, [](const Problem& p, Operands& o) { choose_with_mask(p, o, 0); });
}

TEST(PlantedBugs, ChoicesThatAreNotOnes) {
  // The last best replaced by one that is twice, by one that does not exist, and by the worst of its group.
  expect_caught(kGate, [](const Problem& p, Operands& o) {
    for (std::int64_t t = 0; t < p["tokens"]; ++t) o.out[0].set(t * 8 + 7, o.out[0].get(t * 8));
  });
  expect_caught(kGate, [](const Problem& p, Operands& o) {
    for (std::int64_t t = 0; t < p["tokens"]; ++t) o.out[0].set(t * 8 + 7, 256);
  });
  expect_caught(R"({"op": "dsa_topk", "params": {"rows": 200, "context": 400, "top_k": 50}})",
                [](const Problem& p, Operands& o) {
                  for (std::int64_t row = 0; row < p["rows"]; ++row)
                    o.out[0].set(row * 50 + 4, o.out[0].get(row * 50 + 5));
                });
  expect_caught(R"({"op": "dsa_topk", "params": {"rows": 200, "context": 400, "top_k": 50}})",
                [](const Problem& p, Operands& o) {
                  for (std::int64_t row = 0; row < p["rows"]; ++row) o.out[0].set(row * 50 + 4, -1);
                });
  expect_caught(R"({"op": "dsa_topk", "params": {"rows": 200, "context": 400, "top_k": 50}})",
                [](const Problem& p, Operands& o) {
                  for (std::int64_t row = 0; row < p["rows"]; ++row) {
                    for (std::int64_t i = 0; i < 50; ++i) o.out[0].set(row * 50 + i, static_cast<double>(i));
                  }
                });
}

TEST(PlantedBugs, RowsThatGoAstray) {
  constexpr std::string_view kAlign =
      R"({"op": "moe_align", "params": {"tokens": 200, "experts": 16, "top_k": 4}})";
  expect_caught(kAlign, [](const Problem&, Operands& o) { o.out[0].set(7, o.out[0].get(8)); });
  expect_caught(kAlign, [](const Problem&, Operands& o) { o.out[1].set(3, o.out[1].get(3) + 1); });
  for (
      const std::string_view json :
      {R"({"op": "moe_permute", "dtype": "f32", "params": {"tokens": 200, "hidden": 128, "top_k": 4, "experts": 16}})",
       R"({"op": "moe_permute", "dtype": "fp8", "params": {"tokens": 200, "hidden": 128, "top_k": 4, "experts": 16}})"}) {
    expect_caught(json, [](const Problem&, Operands& o) { zero_row(o.out[0], 401); });
  }
  for (
      const std::string_view json :
      {R"({"op": "moe_unpermute", "dtype": "f32", "params": {"tokens": 200, "hidden": 128, "top_k": 4, "experts": 16}})",
       R"({"op": "moe_unpermute", "dtype": "bf16", "params": {"tokens": 200, "hidden": 128, "top_k": 4, "experts": 16}})"}) {
    // The last expert's part left out, everywhere.
    expect_caught(json, [](const Problem& p, Operands& o) {
      for (std::int64_t t = 0; t < p["tokens"]; ++t) {
        const auto row = static_cast<std::int64_t>(o.in[1].get(t * 4 + 3));
        for (std::int64_t i = 0; i < p["hidden"]; ++i) {
          const std::int64_t at = t * p["hidden"] + i;
          o.out[0].set(at, o.out[0].get(at) - o.in[2].get(t * 4 + 3) * o.in[0].get(row * p["hidden"] + i));
        }
      }
    });
  }
}

}  // namespace
}  // namespace dsbench::kernelbench
