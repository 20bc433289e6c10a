// Bugs planted into DeepSeek-V4's operations: its attention and its compressor.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "engine/kernels/ref/csa.h"
#include "tests/unit/kernelbench_planted_bugs.h"

namespace dsbench::kernelbench {
namespace {

using testing::check;
using testing::expect_caught;
using testing::kFull;
using testing::kSampled;
using testing::problem;
using testing::right;

// What the kernel computes from operands that were tampered with, checked against those that were not.

constexpr std::string_view kCsas[] = {
    R"({"op": "csa_decode", "dtype": "f32", "params": {"batch": 3, "context": 3000, "heads": 16, "top_k": 512}})",
    R"({"op": "csa_decode", "dtype": "bf16", "params": {"batch": 3, "context": 3000, "heads": 16, "top_k": 512}})",
    R"({"op": "csa_decode", "dtype": "fp8", "params": {"batch": 3, "context": 3000, "heads": 16, "top_k": 512},
        "words": {"turn_back": "yes"}})",
    R"({"op": "csa_decode", "dtype": "fp8", "params": {"batch": 2, "context": 9000, "heads": 64, "top_k": 0,
        "ratio": 128}})"};

void expect_csa_caught(std::string_view json, const std::function<void(const Problem&, Operands&)>& tamper,
                       const std::function<void(const Problem&, Operands&)>& prepare = {}) {
  const Problem p = problem(json);
  Operands good = find_op(p.op)->make(p);
  if (prepare) prepare(p, good);
  const auto run = [&](const Operands& given) {
    auto [f32, same] = p.dtype == "f32" ? std::pair{p, given} : testing::in_f32(p, given);
    EXPECT_EQ(testing::run_kernel(*testing::cpu_kernel_for(f32), f32, same, 2), "");
    Operands operands = good;
    for (std::size_t i = 0; i < 2; ++i) {
      for (std::int64_t at = 0; at < operands.out[i].elements(); ++at)
        operands.out[i].set(at, same.out[i].get(at));
    }
    return operands;
  };
  EXPECT_TRUE(check(p, run(good), kFull).passed) << name_of(p) << check(p, run(good), kFull).what;
  EXPECT_TRUE(check(p, run(good), kSampled).passed) << name_of(p) << check(p, run(good), kSampled).what;
  Operands wrong = good;
  tamper(p, wrong);
  EXPECT_FALSE(check(p, run(wrong), kFull).passed) << name_of(p);
  EXPECT_FALSE(check(p, run(wrong), kSampled).passed) << name_of(p);
}

TEST(PlantedBugs, ASinkThatIsForgottenOrAnothersHead) {
  for (const std::string_view json : kCsas) {
    expect_csa_caught(json, [](const Problem&, Operands& o) {
      for (std::int64_t h = 0; h < o.in[5].elements(); ++h) o.in[5].set(h, -100);
    });
    expect_csa_caught(json, [](const Problem&, Operands& o) {
      float* const sinks = o.in[5].as<float>();
      std::rotate(sinks, sinks + 1, sinks + o.in[5].elements());
    });
    // In lse as well, where it does not belong.
    expect_caught(json, [](const Problem& p, Operands& o) {
      for (std::int64_t row = 0; row < o.out[1].elements(); ++row)
        o.out[1].set(row, std::log(std::exp(o.out[1].get(row)) + std::exp(o.in[5].get(row % p["heads"]))));
    });
  }
}

TEST(PlantedBugs, AWindowThatLacksAnEntry) {
  for (const std::string_view json : kCsas) {
    // The last slot holds what the first one does.
    expect_csa_caught(json, [](const Problem& p, Operands& o) {
      if (p.dtype == "fp8") {
        const std::int64_t last = p["window"] - 1;
        for (std::int64_t b = 0; b < p["batch"]; ++b) {
          std::byte* const page = o.in[1].data() + b * o.in[1].dim(1);
          std::byte* const scales = page + p["window"] * 576;
          std::copy_n(page, 576, page + last * 576);
          std::copy_n(scales, 8, scales + last * 8);
        }
      } else {
        const std::int64_t bytes = o.in[1].bytes() / (p["batch"] * p["window"]);
        for (std::int64_t b = 0; b < p["batch"]; ++b) {
          std::byte* const page = o.in[1].data() + b * p["window"] * bytes;
          std::copy_n(page, bytes, page + (p["window"] - 1) * bytes);
        }
      }
    });
  }
}

TEST(PlantedBugs, AScaleWhosePowerOfTwoIsOffByOne) {
  for (const std::string_view json : {kCsas[2], kCsas[3]}) {
    // Of one tile of every entry in the window; the neighbour's scale everywhere.
    expect_csa_caught(json, [](const Problem& p, Operands& o) {
      for (std::int64_t b = 0; b < p["batch"]; ++b) {
        std::byte* const scales = o.in[1].data() + b * o.in[1].dim(1) + p["window"] * 576;
        for (std::int64_t slot = 0; slot < p["window"]; ++slot)
          scales[slot * 8 + 3] = static_cast<std::byte>(static_cast<int>(scales[slot * 8 + 3]) + 1);
      }
    });
    expect_csa_caught(json, [](const Problem& p, Operands& o) {
      for (std::int64_t page = 0; page < o.in[2].dim(0); ++page) {
        std::byte* const scales = o.in[2].data() + page * o.in[2].dim(1) + p["page"] * 576;
        for (std::int64_t slot = 0; slot < p["page"]; ++slot)
          std::rotate(scales + slot * 8, scales + slot * 8 + 1, scales + slot * 8 + 7);
      }
    });
  }
}

TEST(PlantedBugs, AHoleAmongCompressedEntriesTakenForEntryZero) {
  for (const std::string_view json : kCsas) {
    expect_csa_caught(
        json,
        [](const Problem&, Operands& o) {
          for (std::int64_t i = 0; i < o.in[3].elements(); ++i) o.in[3].set(i, std::max(0.0, o.in[3].get(i)));
        },
        [](const Problem&, Operands& o) {
          for (std::int64_t i = 3; i < o.in[3].elements(); i += 10) o.in[3].set(i, -1);
        });
  }
}

TEST(PlantedBugs, ACompressedEntryThatIsNotThereYet) {
  // One entry more than whole groups of positions give.
  for (const std::string_view dtype : {"f32", "bf16", "fp8"}) {
    const std::string json = R"({"op": "csa_decode", "dtype": ")" + std::string{dtype} +
                             R"(", "words": {"lengths": "list"}, "list": [131, 400, 277],
                             "params": {"batch": 3, "context": 400, "heads": 16, "top_k": 0, "ratio": 4}})";
    expect_csa_caught(json, [](const Problem& p, Operands& o) {
      for (std::int64_t b = 0; b < p["batch"]; ++b) {
        const auto length = static_cast<std::int64_t>(o.in[4].get(b));
        if (length == p["context"]) continue;
        o.in[4].set(b, static_cast<double>(length + 4));
        o.in[3].set(b * o.in[3].dim(1) + length / 4, 0);
      }
    });
  }
}

TEST(PlantedBugs, RotaryNumbersTurnedTheWrongWay) {
  expect_csa_caught(kCsas[2], [](const Problem& p, Operands& o) {
    for (std::int64_t b = 0; b < p["batch"]; ++b) {
      for (std::int64_t i = 32; i < 64; ++i) o.in[6].set(b * 64 + i, -o.in[6].get(b * 64 + i));
    }
  });
}

TEST(PlantedBugs, ACompressorThatForgetsSomething) {
  for (const std::string_view dtype : {"f32", "bf16"}) {
    const std::string json =
        R"({"op": "kv_compress", "dtype": ")" + std::string{dtype} + R"(", "params": {"tokens": 800}})";
    const Problem p = problem(json);
    // What the kernel makes of operands that were tampered with.
    const auto from = [&](const std::function<void(Operands&)>& tamper) {
      Operands wrong = find_op(p.op)->make(p);
      tamper(wrong);
      auto [f32, same] = p.dtype == "f32" ? std::pair{p, wrong} : testing::in_f32(p, wrong);
      EXPECT_EQ(testing::run_kernel(*testing::cpu_kernel_for(f32), f32, same, 2), "");
      return same.out[0];
    };
    const auto caught = [&](const std::function<void(Operands&)>& tamper) {
      const HostTensor out = from(tamper);
      expect_caught(json, [&](const Problem&, Operands& o) {
        for (std::int64_t i = 0; i < out.elements(); ++i) o.out[0].set(i, out.get(i));
      });
    };
    caught([](Operands& o) {  // the position's bias
      for (std::int64_t i = 0; i < o.in[2].elements(); ++i) o.in[2].set(i, 0);
    });
    caught([](Operands& o) {  // of one position
      for (std::int64_t i = 0; i < 1024; ++i) o.in[2].set(3 * 1024 + i, o.in[2].get(2 * 1024 + i));
    });
    caught([](Operands& o) {  // the two halves in each other's place
      for (const std::size_t tensor : {0U, 1U}) {
        float* const row = o.in[tensor].as<float>();
        for (std::int64_t t = 0; t < 800; ++t)
          std::swap_ranges(row + t * 1024, row + t * 1024 + 512, row + t * 1024 + 512);
      }
    });
    caught([](Operands& o) {  // the group before
      float* const gate = o.in[1].as<float>();
      for (std::int64_t t = 0; t < 800; ++t) std::fill_n(gate + t * 1024, 512, -1000.0F);
    });
    caught([](Operands& o) {  // the turn
      for (std::int64_t i = 0; i < o.in[4].elements(); ++i) o.in[4].set(i, i % 64 < 32 ? 1 : 0);
    });
    caught([](Operands& o) {  // the norm's weight
      for (std::int64_t i = 0; i < 512; ++i) o.in[3].set(i, 1);
    });
  }
}

TEST(RightResults, OfV4sAttentionAreThoseOfThePlainReference) {
  for (
      const std::string_view json :
      {R"({"op": "csa_decode", "dtype": "f32", "params": {"batch": 3, "context": 300, "heads": 4, "top_k": 30}})",
       R"({"op": "csa_decode", "dtype": "bf16", "params": {"batch": 4, "context": 300, "heads": 4, "top_k": 0},
           "words": {"turn_back": "yes", "lengths": "list"}, "list": [0, 1, 130, 300]})",
       R"({"op": "csa_decode", "dtype": "fp8", "params": {"batch": 4, "context": 300, "heads": 4, "top_k": 50},
           "words": {"turn_back": "yes"}, "adversarial": true})"}) {
    const Problem p = problem(json);
    Operands operands = find_op(p.op)->make(p);
    const Operands numbers = p.dtype == "f32" ? operands : testing::in_f32(p, operands).second;
    const auto at = [&](std::size_t tensor, std::int64_t row, std::vector<double>& to) {
      for (std::int64_t i = 0; i < 512; ++i) to.push_back(numbers.in[tensor].get(row * 512 + i));
    };
    const std::int64_t heads = p["heads"];
    for (std::int64_t b = 0; b < p["batch"]; ++b) {
      std::vector<double> q;
      for (std::int64_t h = 0; h < heads; ++h) at(0, b * heads + h, q);
      std::vector<double> entries;
      const auto length = static_cast<std::int64_t>(numbers.in[4].get(b));
      for (std::int64_t slot = 0; slot < std::min(length, p["window"]); ++slot)
        at(1, b * p["window"] + slot, entries);
      const std::int64_t listed = numbers.in[3].dim(1);
      for (std::int64_t i = 0; i < std::min(listed, length / p["ratio"]); ++i) {
        const auto id = static_cast<std::int64_t>(numbers.in[3].get(b * listed + i));
        if (id >= 0) at(2, id, entries);
      }
      std::vector<double> sink;
      for (std::int64_t h = 0; h < heads; ++h) sink.push_back(numbers.in[5].get(h));
      std::vector<double> angles;
      for (std::int64_t i = b * 64; i < b * 64 + 32 && p.word("turn_back") == "yes"; ++i)
        angles.push_back(std::atan2(numbers.in[6].get(i + 32), numbers.in[6].get(i)));
      const std::vector<double> o =
          engine::kernels::ref::csa_plain<double>({.h = static_cast<std::size_t>(heads),
                                                   .n = entries.size() / 512,
                                                   .width = 512,
                                                   .scale = 1 / std::sqrt(512.0),
                                                   .q = q,
                                                   .entries = entries,
                                                   .sink = sink,
                                                   .angles = angles});
      for (std::size_t i = 0; i < o.size(); ++i)
        operands.out[0].set(b * heads * 512 + static_cast<std::int64_t>(i), o[i]);
    }
    const Operands kernels = right(p);
    operands.out[1] = kernels.out[1];
    const CheckResult result = check(p, operands, kFull);
    EXPECT_TRUE(result.passed) << name_of(p) << ": " << result.what;
    // In f64 and rounded once: far inside what a kernel is allowed.
    EXPECT_LE(result.global_diff, p.dtype == "f32" ? 1e-14 : 2e-6) << name_of(p);
  }
}

}  // namespace
}  // namespace dsbench::kernelbench
