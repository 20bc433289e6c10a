// Damaged results of what goes row by row, each of which must be noticed (kernelbench_planted_bugs.h).

#include <gtest/gtest.h>

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
using testing::sigmoid;

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

}  // namespace
}  // namespace dsbench::kernelbench
