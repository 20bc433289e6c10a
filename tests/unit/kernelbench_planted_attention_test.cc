// Damaged results of attention and of the indexer before it, each of which must be noticed
// (kernelbench_planted_bugs.h).

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
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

}  // namespace
}  // namespace dsbench::kernelbench
