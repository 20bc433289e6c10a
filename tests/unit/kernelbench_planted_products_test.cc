// Damaged products, each of which must be noticed (kernelbench_planted_bugs.h).

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>

#include "tests/unit/kernelbench_planted_bugs.h"

namespace dsbench::kernelbench {
namespace {

using testing::check;
using testing::expect_caught;
using testing::kFull;
using testing::kSampled;
using testing::problem;
using testing::right;
using testing::zero_row;

// Rows that no sample has by chance of being a boundary of a tile: the sampled check has to see them by
// Freivalds.
constexpr std::int64_t kInnerRow = 1 + 128 + 70;

constexpr std::string_view kProducts[] = {
    R"({"op": "gemm", "dtype": "f32", "params": {"m": 400, "n": 384, "k": 256}})",
    R"({"op": "gemm", "dtype": "f32.bf16", "params": {"m": 400, "n": 384, "k": 256}})",
    R"({"op": "gemm", "dtype": "bf16", "params": {"m": 400, "n": 384, "k": 256}})",
    R"({"op": "fp8_gemm", "params": {"m": 400, "n": 384, "k": 256}})",
    R"({"op": "int8_gemm", "params": {"m": 400, "n": 384, "k": 256}})"};

TEST(PlantedBugs, AZeroedRowOfAProduct) {
  for (const std::string_view json : kProducts) {
    const std::string what =
        expect_caught(json, [](const Problem&, Operands& o) { zero_row(o.out[0], kInnerRow); });
    EXPECT_NE(what.find(std::to_string(kInnerRow)), std::string::npos) << what;
  }
}

TEST(PlantedBugs, AWrongTileOf128Columns) {
  for (const std::string_view json : kProducts) {
    expect_caught(json, [](const Problem& p, Operands& o) {
      HostTensor& c = o.out[0];
      for (std::int64_t row = 130; row < 250; ++row) {
        for (std::int64_t j = 128; j < 256; ++j) c.set(row * p["n"] + j, c.get(row * p["n"] + j - 128));
      }
    });
  }
}

TEST(PlantedBugs, OneWrongElementOfAProduct) {
  for (const std::string_view json : kProducts) {
    expect_caught(json, [](const Problem& p, Operands& o) {
      const std::int64_t at = kInnerRow * p["n"] + 77;
      // By twice the size that elements have: √(k/9) of products of numbers of variance 1/3.
      o.out[0].set(at, o.out[0].get(at) + 2 * std::sqrt(static_cast<double>(p["k"]) / 9));
    });
  }
}

TEST(PlantedBugs, OutputThatWasNeverWritten) {
  for (const std::string_view json : kProducts) {
    const std::string what = expect_caught(json, [](const Problem& p, Operands& o) {
      o.out[0].poison_range(kInnerRow * p["n"] + 128, kInnerRow * p["n"] + 129);
    });
    EXPECT_NE(what.find("not written"), std::string::npos) << what;
  }
}

TEST(PlantedBugs, TheLastStepOfKLeftOut) {
  for (const std::string_view json : kProducts) {
    const Problem p = problem(json);
    const Operands good = right(p);
    Operands bad = find_op(p.op)->make(p);
    HostTensor& a = bad.in[0];
    for (std::int64_t row = 0; row < p["m"]; ++row) a.set((row + 1) * p["k"] - 1, 0);
    auto damaged = p.dtype == "int8" || p.dtype.starts_with("f32") ? std::pair{p, std::move(bad)}
                                                                   : testing::in_f32(p, bad);
    const dsb_kernel* kernel = testing::cpu_kernel_for(damaged.first);
    ASSERT_NE(kernel, nullptr);
    ASSERT_EQ(testing::run_kernel(*kernel, damaged.first, damaged.second, 2), "");
    Operands operands = good;
    for (std::int64_t i = 0; i < operands.out[0].elements(); ++i)
      operands.out[0].set(i, damaged.second.out[0].get(i));
    EXPECT_FALSE(check(p, operands, kFull).passed) << name_of(p);
    EXPECT_FALSE(check(p, operands, kSampled).passed) << name_of(p);
  }
}

TEST(PlantedBugs, ActivationsRoundedToBf16InAnF32Product) {
  const Problem p = problem(kProducts[0]);
  Operands operands = find_op(p.op)->make(p);
  Operands rounded = operands;
  for (std::int64_t i = 0; i < rounded.in[0].elements(); ++i) {
    std::uint16_t bits = 0;
    encode(Dtype::bf16, rounded.in[0].get(i), &bits);
    rounded.in[0].set(i, decode(Dtype::bf16, &bits));
  }
  ASSERT_EQ(testing::run_kernel(*testing::cpu_kernel_for(p), p, rounded, 2), "");
  operands.out = rounded.out;
  EXPECT_FALSE(check(p, operands, kFull).passed);
  EXPECT_FALSE(check(p, operands, kSampled).passed);
}

TEST(PlantedBugs, AnExpertThatUsesTheNextOnesWeights) {
  for (const std::string_view dtype : {"f32", "f32.bf16", "bf16", "fp8"}) {
    for (const std::string_view layout : {"contiguous", "masked"}) {
      Problem p = problem(R"({"op": "moe_grouped_gemm", "dtype": "f32",
          "params": {"experts": 8, "tokens": 300, "top_k": 2, "n": 256, "k": 128}, "words": {"routing": "zipf"}})");
      p.dtype = dtype;
      p.words["layout"] = layout;
      Operands operands = right(p);
      EXPECT_TRUE(check(p, operands, kFull).passed) << check(p, operands, kFull).what;
      EXPECT_TRUE(check(p, operands, kSampled).passed) << check(p, operands, kSampled).what;
      // Experts 3 and 4 change places in the check's operands: rows of both are then wrong.
      const std::size_t w = dtype == "fp8" ? 2 : 1;
      for (std::size_t i = w; i < (dtype == "fp8" ? 4U : 2U); ++i) {
        HostTensor& tensor = operands.in[i];
        const std::int64_t size = tensor.bytes() / p["experts"];
        std::swap_ranges(tensor.data() + 3 * size, tensor.data() + 4 * size, tensor.data() + 4 * size);
      }
      EXPECT_FALSE(check(p, operands, kFull).passed);
      const std::string what = check(p, operands, kSampled).what;
      EXPECT_NE(what.find("expert 3"), std::string::npos) << what;
    }
  }
}

TEST(PlantedBugs, AZeroedRowWithinAnExpert) {
  const std::string_view json =
      R"({"op": "moe_grouped_gemm", "dtype": "fp8", "words": {"routing": "balanced"},
      "params": {"experts": 4, "tokens": 600, "top_k": 2, "n": 256, "k": 128}})";
  expect_caught(json, [](const Problem&, Operands& o) { zero_row(o.out[0], 450); });
}

}  // namespace
}  // namespace dsbench::kernelbench
