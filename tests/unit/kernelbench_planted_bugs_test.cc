// A check that passes everything is worth nothing: results are damaged as real kernels damage them, and each
// must be noticed, by the check of all rows and by the one that samples.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "kernelbench/suite.h"
#include "tests/unit/kernelbench_planted_bugs.h"

namespace dsbench::kernelbench {
namespace {

using testing::check;
using testing::expect_caught;
using testing::kFull;
using testing::kSampled;
using testing::problem;
using testing::right;

void zero_row(HostTensor& tensor, std::int64_t row) {
  const std::int64_t width = tensor.dim(tensor.shape().size() - 1);
  for (std::int64_t i = 0; i < width; ++i) tensor.set(row * width + i, 0);
}

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

// ---- attention

constexpr std::string_view kDecodes[] = {
    R"({"op": "mla_decode", "dtype": "f32", "params": {"batch": 3, "context": 1024, "heads": 16, "queries": 2}})",
    R"({"op": "mla_decode", "dtype": "bf16", "params": {"batch": 3, "context": 1024, "heads": 16, "queries": 2}})",
    R"({"op": "mla_decode", "dtype": "bf16", "params": {"batch": 2, "context": 4096, "heads": 32, "queries": 1}})"};

// The kernel gets lengths that are wrong by so much.
void expect_wrong_lengths_caught(std::string_view json, int by) {
  const Problem p = problem(json);
  const Operands good = right(p);
  Operands wrong = good;
  for (std::int64_t b = 0; b < p["batch"]; ++b) {
    const double length = wrong.in[3].get(b);
    wrong.in[3].set(b, length + by);
  }
  if (by > 0) {
    // There is a block for one entry more: any.
    HostTensor table("block_table", Dtype::i32, {p["batch"], wrong.in[2].dim(1) + 1});
    for (std::int64_t b = 0; b < p["batch"]; ++b) {
      for (std::int64_t i = 0; i < table.dim(1); ++i) {
        const bool known = i < wrong.in[2].dim(1);
        table.set(b * table.dim(1) + i, known ? wrong.in[2].get(b * wrong.in[2].dim(1) + i) : 0);
      }
    }
    wrong.in[2] = table;
  }
  auto damaged = p.dtype == "f32" ? std::pair{p, wrong} : testing::in_f32(p, wrong);
  ASSERT_EQ(testing::run_kernel(*testing::cpu_kernel_for(damaged.first), damaged.first, damaged.second, 2),
            "");
  Operands operands = good;
  EXPECT_TRUE(check(p, operands, kFull).passed) << check(p, operands, kFull).what;
  for (std::size_t i = 0; i < 2; ++i) {
    for (std::int64_t at = 0; at < operands.out[i].elements(); ++at)
      operands.out[i].set(at, damaged.second.out[i].get(at));
  }
  EXPECT_FALSE(check(p, operands, kFull).passed) << name_of(p);
  EXPECT_FALSE(check(p, operands, kSampled).passed) << name_of(p);
}

TEST(PlantedBugs, AttentionThatReadsOneEntryTooFew) {
  for (const std::string_view json : kDecodes) expect_wrong_lengths_caught(json, -1);
}

TEST(PlantedBugs, AttentionThatReadsOneEntryTooMany) {
  for (const std::string_view json : kDecodes) expect_wrong_lengths_caught(json, 1);
}

TEST(PlantedBugs, LseInBaseTwo) {
  for (const std::string_view json : kDecodes) {
    expect_caught(json, [](const Problem&, Operands& o) {
      for (std::int64_t i = 0; i < o.out[1].elements(); ++i) o.out[1].set(i, o.out[1].get(i) / std::log(2.0));
    });
  }
}

TEST(PlantedBugs, ARequestWithTheResultOfAnother) {
  for (const std::string_view json : kDecodes) {
    expect_caught(json, [](const Problem& p, Operands& o) {
      const std::int64_t size = o.out[0].bytes() / p["batch"];
      std::copy_n(o.out[0].data(), size, o.out[0].data() + size);
    });
  }
}

TEST(PlantedBugs, AnFp8CacheReadWithTheNextGroupsScale) {
  for (
      const std::string_view json :
      {R"({"op": "mla_decode", "dtype": "fp8", "params": {"batch": 2, "context": 100, "heads": 16, "queries": 1}})",
       R"({"op": "sparse_mla", "dtype": "fp8", "params": {"batch": 2, "context": 200, "heads": 16, "top_k": 100}})"}) {
    const Problem p = problem(json);
    Operands operands = right(p);
    EXPECT_TRUE(check(p, operands, kFull).passed) << check(p, operands, kFull).what;
    Operands wrong = operands;
    HostTensor& cache = wrong.in[1];
    for (std::int64_t slot = 0; slot < cache.elements() / 656; ++slot) {
      std::byte* const scales = cache.data() + slot * 656 + 512;
      std::copy_n(scales + 4, 4, scales);
    }
    auto [f32, same] = testing::in_f32(p, wrong);
    ASSERT_EQ(testing::run_kernel(*testing::cpu_kernel_for(f32), f32, same, 2), "");
    for (std::int64_t at = 0; at < operands.out[0].elements(); ++at)
      operands.out[0].set(at, same.out[0].get(at));
    EXPECT_FALSE(check(p, operands, kFull).passed);
    EXPECT_FALSE(check(p, operands, kSampled).passed);
  }
}

TEST(PlantedBugs, AnEmptyRequestThatIsNotZero) {
  const std::string_view json =
      R"({"op": "mla_decode", "dtype": "bf16", "words": {"lengths": "list"}, "list": [64, 0],
      "params": {"batch": 2, "context": 64, "heads": 16, "queries": 1}})";
  expect_caught(json,
                [](const Problem& p, Operands& o) { o.out[0].set(p["heads"] * p["kv_lora"] + 5, 0.01); });
  expect_caught(json, [](const Problem& p, Operands& o) { o.out[1].set(p["heads"], 0); });
}

TEST(PlantedBugs, ACausalMaskThatIsOffByOne) {
  for (const std::string_view dtype : {"f32", "bf16"}) {
    Problem p = problem(
        R"({"op": "mla_prefill", "dtype": "f32", "params": {"queries": 150, "context": 400, "heads": 2}})");
    p.dtype = dtype;
    Operands operands = right(p);
    EXPECT_TRUE(check(p, operands, kSampled).passed) << check(p, operands, kSampled).what;
    // Query i with the result of query i − 1's place: as if it did not see itself.
    Problem shifted = p;
    shifted.dtype = "f32";
    auto [f32, same] = dtype == "f32" ? std::pair{p, operands} : testing::in_f32(p, operands);
    const std::int64_t width = f32["heads"] * f32["qk"];
    const std::int64_t v_width = f32["heads"] * f32["v"];
    // One key less, at the front: every query sees one key fewer than it should.
    f32.params["context"] -= 1;
    HostTensor k("k", Dtype::f32, {f32["context"], f32["heads"], f32["qk"]});
    HostTensor v("v", Dtype::f32, {f32["context"], f32["heads"], f32["v"]});
    std::copy_n(same.in[1].data(), k.bytes(), k.data());
    std::copy_n(same.in[2].data(), v.bytes(), v.data());
    EXPECT_EQ(k.elements(), f32["context"] * width);
    EXPECT_EQ(v.elements(), f32["context"] * v_width);
    same.in[1] = k;
    same.in[2] = v;
    ASSERT_EQ(testing::run_kernel(*testing::cpu_kernel_for(f32), f32, same, 2), "");
    for (std::int64_t at = 0; at < operands.out[0].elements(); ++at)
      operands.out[0].set(at, same.out[0].get(at));
    EXPECT_FALSE(check(p, operands, kFull).passed);
    EXPECT_FALSE(check(p, operands, kSampled).passed);
  }
}

TEST(PlantedBugs, AHoleInSparseAttentionTakenForEntryZero) {
  for (const std::string_view dtype : {"f32", "bf16", "fp8"}) {
    Problem p =
        problem(R"({"op": "sparse_mla", "params": {"batch": 4, "context": 200, "heads": 16, "top_k": 150}})");
    p.dtype = dtype;
    Operands good = find_op(p.op)->make(p);
    for (std::int64_t i = 3; i < good.in[2].elements(); i += 10) good.in[2].set(i, -1);
    Operands wrong = good;
    for (std::int64_t i = 0; i < wrong.in[2].elements(); ++i)
      wrong.in[2].set(i, std::max(0.0, wrong.in[2].get(i)));
    const auto run = [&](const Operands& given) {
      auto [f32, same] = dtype == "f32" ? std::pair{p, given} : testing::in_f32(p, given);
      EXPECT_EQ(testing::run_kernel(*testing::cpu_kernel_for(f32), f32, same, 2), "");
      Operands operands = good;
      for (std::size_t i = 0; i < 2; ++i) {
        for (std::int64_t at = 0; at < operands.out[i].elements(); ++at)
          operands.out[i].set(at, same.out[i].get(at));
      }
      return operands;
    };
    EXPECT_TRUE(check(p, run(good), kFull).passed) << check(p, run(good), kFull).what;
    EXPECT_FALSE(check(p, run(wrong), kFull).passed);
    EXPECT_FALSE(check(p, run(wrong), kSampled).passed);
  }
}

TEST(PlantedBugs, AnIndexerWithoutItsScaleOrWithoutRelu) {
  for (const std::string_view json :
       {R"({"op": "dsa_indexer", "dtype": "f32", "params": {"batch": 3, "context": 700}})",
        R"({"op": "dsa_indexer", "dtype": "fp8", "params": {"batch": 3, "context": 700}})"}) {
    expect_caught(json, [](const Problem&, Operands& o) {
      for (std::int64_t i = 0; i < o.out[0].elements(); ++i)
        o.out[0].set(i, o.out[0].get(i) / o.in[3].get(i));
    });
    expect_caught(json, [](const Problem& p, Operands& o) {
      for (std::int64_t i = 0; i < o.out[0].elements(); ++i) {
        double sum = 0;
        const std::int64_t request = i / p["context"];
        for (std::int64_t h = 0; h < p["heads"]; h += 8) {
          double dot = 0;
          for (std::int64_t d = 0; d < p["dim"]; ++d) {
            dot += o.in[0].get((request * p["heads"] + h) * p["dim"] + d) * o.in[2].get(i * p["dim"] + d);
          }
          sum += o.in[1].get(request * p["heads"] + h) * std::min(0.0, dot) * o.in[3].get(i);
        }
        o.out[0].set(i, o.out[0].get(i) + sum);
      }
    });
  }
}

// ---- choices

constexpr std::string_view kGate = R"({"op": "moe_gate", "params": {"tokens": 200, "experts": 256, "top_k": 8,
    "groups": 8, "kept_groups": 4, "scale_milli": 2500}})";

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

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

// ---- rows

TEST(PlantedBugs, HyperConnectionsMixedWrong) {
  for (const std::string_view dtype : {"f32", "bf16"}) {
    const auto problem = [&](const char* op) {
      return R"({"op": ")" + std::string{op} + R"(", "dtype": ")" + std::string{dtype} +
             R"(", "params": {"tokens": 300, "hidden": 256}})";
    };
    expect_caught(problem("mhc_post"), [](const Problem& p, Operands& o) {  // comb the other way round
      const std::int64_t hidden = p["hidden"];
      for (std::int64_t t = 0; t < p["tokens"]; ++t) {
        for (std::int64_t n = 0; n < 4; ++n) {
          for (std::int64_t i = 0; i < hidden; ++i) {
            double sum = o.in[2].get(t * 4 + n) * o.in[1].get(t * hidden + i);
            for (std::int64_t m = 0; m < 4; ++m)
              sum += o.in[3].get((t * 4 + n) * 4 + m) * o.in[0].get((t * 4 + m) * hidden + i);
            o.out[0].set((t * 4 + n) * hidden + i, sum);
          }
        }
      }
    });
    expect_caught(problem("mhc_pre"), [](const Problem&, Operands& o) {  // post without its factor of two
      for (std::int64_t i = 0; i < o.out[1].elements(); ++i) o.out[1].set(i, o.out[1].get(i) / 2);
    });
    expect_caught(problem("mhc_pre"), [](const Problem&, Operands& o) {  // one Sinkhorn round, columns, less
      for (std::int64_t i = 0; i < o.out[2].elements(); i += 4) {
        double sum = 0;
        for (std::int64_t c = 0; c < 4; ++c) sum += o.out[2].get(i + c);
        for (std::int64_t c = 0; c < 4; ++c)
          o.out[2].set(i + c, o.out[2].get(i + c) * (1 + 1e-3 * (static_cast<double>(c) - 1.5)) / sum);
      }
    });
    expect_caught(problem("mhc_pre"), [](const Problem& p, Operands& o) {  // the streams' plain mean
      const std::int64_t hidden = p["hidden"];
      for (std::int64_t t = 0; t < p["tokens"]; ++t) {
        for (std::int64_t i = 0; i < hidden; ++i) {
          double sum = 0;
          for (std::int64_t s = 0; s < 4; ++s) sum += o.in[0].get((t * 4 + s) * hidden + i) / 4;
          o.out[0].set(t * hidden + i, sum);
        }
      }
    });
  }
}

TEST(PlantedBugs, NormsThatForgetSomething) {
  for (const std::string_view dtype : {"f32", "bf16"}) {
    const std::string norm = R"({"op": "rmsnorm", "dtype": ")" + std::string{dtype} +
                             R"(", "params": {"tokens": 300, "hidden": 512}})";
    expect_caught(norm, [](const Problem& p, Operands& o) {  // the weight
      for (std::int64_t i = 0; i < o.out[0].elements(); ++i) {
        o.out[0].set(i, o.out[0].get(i) / o.in[1].get(i % p["hidden"]) * o.in[1].get((i + 1) % p["hidden"]));
      }
    });
    expect_caught(norm, [](const Problem&, Operands& o) {  // an ulp and a half of every mean
      for (std::int64_t i = 0; i < o.out[0].elements(); ++i) o.out[0].set(i, o.out[0].get(i) * 1.02);
    });
    const std::string add = R"({"op": "add_rmsnorm", "dtype": ")" + std::string{dtype} +
                            R"(", "params": {"tokens": 300, "hidden": 512}})";
    expect_caught(add, [](const Problem&, Operands& o) {  // the sum
      for (std::int64_t i = 0; i < o.out[1].elements(); ++i) o.out[1].set(i, o.in[1].get(i));
    });
    const std::string swiglu = R"({"op": "swiglu", "dtype": ")" + std::string{dtype} +
                               R"(", "params": {"rows": 300, "inter": 256}})";
    expect_caught(swiglu, [](const Problem& p, Operands& o) {  // gate and up in each other's place
      for (std::int64_t i = 0; i < o.out[0].elements(); ++i) {
        const std::int64_t at = i / p["inter"] * 2 * p["inter"] + i % p["inter"];
        const double up = o.in[0].get(at + p["inter"]);
        o.out[0].set(i, up * sigmoid(up) * o.in[0].get(at));
      }
    });
  }
}

TEST(PlantedBugs, TheOtherPairingOfRope) {
  for (const std::string_view dtype : {"f32", "bf16"}) {
    Problem p = problem(R"({"op": "rope_kv_write", "params": {"tokens": 200, "heads": 4, "slots": 300}})");
    p.dtype = dtype;
    Operands operands = right(p);
    EXPECT_TRUE(check(p, operands, kSampled).passed) << check(p, operands, kSampled).what;
    Problem half = p;
    half.words["pairing"] = "half";
    const Operands other = right(half);  // seeds do not depend on words: the same inputs
    Operands queries = operands;
    queries.out[0] = other.out[0];
    EXPECT_FALSE(check(p, queries, kFull).passed);
    EXPECT_FALSE(check(p, queries, kSampled).passed);
    Operands cache = operands;
    cache.out[1] = other.out[1];
    EXPECT_FALSE(check(p, cache, kFull).passed);
    EXPECT_FALSE(check(p, cache, kSampled).passed);
    // A latent copied to the wrong slot.
    const auto a = static_cast<std::int64_t>(p["kv_lora"] + p["rope"]) * operands.in[4].as<std::int32_t>()[0];
    operands.out[1].set(a, operands.out[1].get(a) + 0.25);
    EXPECT_FALSE(check(p, operands, kSampled).passed);
  }
}

TEST(PlantedBugs, CodesAndScalesThatAreOff) {
  for (const std::string_view json : {R"({"op": "group_quant", "params": {"tokens": 200, "hidden": 256}})",
                                      R"({"op": "swiglu_quant", "params": {"rows": 200, "inter": 256}})",
                                      R"({"op": "row_quant", "params": {"tokens": 200, "hidden": 256}})"}) {
    expect_caught(json, [](const Problem&, Operands& o) {  // truncated, not rounded
      for (std::int64_t i = 0; i < o.out[0].elements(); ++i) o.out[0].set(i, o.out[0].get(i) * 0.9);
    });
    expect_caught(json, [](const Problem&, Operands& o) {  // scales by the wrong largest code
      for (std::int64_t i = 0; i < o.out[1].elements(); ++i) o.out[1].set(i, o.out[1].get(i) * 448.0 / 447.0);
    });
    expect_caught(json, [](const Problem&, Operands& o) { o.out[0].poison_range(0, 1); });
  }
}

TEST(PlantedBugs, AHeadThatUsesAnothersMatrix) {
  for (const std::string_view dtype : {"f32", "bf16"}) {
    const std::string json = R"({"op": "mla_absorb", "dtype": ")" + std::string{dtype} +
                             R"(", "params": {"tokens": 150, "heads": 8, "in": 64, "out": 128}})";
    expect_caught(json, [](const Problem& p, Operands& o) {
      for (std::int64_t t = 0; t < p["tokens"]; ++t) {
        for (std::int64_t i = 0; i < p["out"]; ++i) {
          const std::int64_t at = (t * p["heads"] + 5) * p["out"] + i;
          o.out[0].set(at, o.out[0].get(at + p["out"]));
        }
      }
    });
  }
}

// ---- and what is right passes, in the types of the GPU too

void expect_right_passes(Suite suite) {
  const Result<std::vector<Problem>> list = suite_problems(suite, Backend::cuda);
  ASSERT_TRUE(list);
  for (const Problem& p : *list) {
    const Operands operands = right(p);
    for (const double budget : {kFull, kSampled}) {
      const CheckResult result = check(p, operands, budget);
      EXPECT_TRUE(result.passed) << name_of(p) << ": " << result.what;
      EXPECT_LE(result.worst_element, 1.0) << name_of(p);
    }
  }
}

TEST(RightResults, PassTheCorrectnessListOfTheGpu) {
  expect_right_passes(Suite::correctness);
}

TEST(RightResults, PassTheCornerListOfTheGpu) {
  expect_right_passes(Suite::corner);
}

}  // namespace
}  // namespace dsbench::kernelbench
