// Latent attention: absorbed against spelt out, and the fast one over a paged cache against both.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "engine/kernels/ref/attention.h"
#include "engine/kernels/rope_config.h"
#include "tests/unit/engine_kernels_draws.h"

namespace dsbench::engine::kernels {
namespace {

using testing::draw;
using testing::kEps;
using testing::tables;
using testing::wide;

struct MlaCase {
  std::size_t s, h, kv_lora, nope, rope, v;
};

struct MlaData {
  explicit MlaData(const MlaCase& c)
      : shape{c},
        q(draw("q", c.s * c.h * (c.nope + c.rope), -3, 3)),
        latent(draw("latent", c.s * c.kv_lora, -2, 2)),
        k_pe(draw("k_pe", c.s * c.rope, -2, 2)),
        w_kvb(draw("w_kvb", c.h * (c.nope + c.v) * c.kv_lora, -0.3, 0.3)),
        q64(wide(q)),
        latent64(wide(latent)),
        k_pe64(wide(k_pe)),
        w64(wide(w_kvb)) {}
  [[nodiscard]] ref::MlaProblem<double> problem() const {
    return {.s = shape.s,
            .h = shape.h,
            .kv_lora = shape.kv_lora,
            .nope = shape.nope,
            .rope = shape.rope,
            .v = shape.v,
            .scale = 0.2,
            .q = q64,
            .latent = latent64,
            .k_pe = k_pe64,
            .w_kvb = w64};
  }
  MlaCase shape;
  std::vector<float> q, latent, k_pe, w_kvb;
  std::vector<double> q64, latent64, k_pe64, w64;
};

TEST(Attention, AbsorbedIsPlain) {
  for (const MlaCase& c :
       {MlaCase{1, 1, 4, 2, 2, 3}, MlaCase{33, 3, 21, 7, 6, 5}, MlaCase{50, 8, 64, 32, 16, 32}}) {
    const MlaData data(c);
    const auto plain = ref::mla_plain(data.problem());
    const auto absorbed = ref::mla_absorbed(data.problem());
    for (std::size_t i = 0; i < plain.size(); ++i) ASSERT_NEAR(plain[i], absorbed[i], 1e-12);
  }
}

// The fast kernel on a paged cache with scrambled blocks and NaN wherever nobody has written, against plain
// attention in double.
TEST(Attention, FastPagedIsPlain) {
  for (const MlaCase& c : {MlaCase{1, 1, 4, 2, 2, 3}, MlaCase{33, 3, 21, 7, 6, 5},
                           MlaCase{300, 8, 32, 16, 8, 16}, MlaCase{40, 17, 48, 8, 8, 16}}) {
    const MlaData data(c);
    const auto plain = ref::mla_plain(data.problem());
    const std::size_t width = c.kv_lora + c.rope;
    for (const int block_size : {1, 7, 16}) {
      const std::size_t used =
          (c.s + static_cast<std::size_t>(block_size) - 1) / static_cast<std::size_t>(block_size);
      const std::size_t pool = 2 * used + 3;
      std::vector<float> cache(pool * static_cast<std::size_t>(block_size) * width + cpu::kPanel,
                               std::numeric_limits<float>::quiet_NaN());
      std::vector<std::int32_t> blocks;
      for (std::size_t b = 0; b < used; ++b) blocks.push_back(static_cast<std::int32_t>((used - b) * 2));
      for (std::size_t t = 0; t < c.s; ++t) {
        const auto slot = static_cast<std::size_t>(blocks[t / static_cast<std::size_t>(block_size)]) *
                              static_cast<std::size_t>(block_size) +
                          t % static_cast<std::size_t>(block_size);
        std::memcpy(cache.data() + slot * width, data.latent.data() + t * c.kv_lora,
                    c.kv_lora * sizeof(float));
        std::memcpy(cache.data() + slot * width + c.kv_lora, data.k_pe.data() + t * c.rope,
                    c.rope * sizeof(float));
      }
      // Absorbed queries, rounded to float from double: the kernel's input.
      std::vector<float> q(c.s * c.h * width);
      for (std::size_t i = 0; i < c.s * c.h; ++i) {
        const double* w = data.w64.data() + i % c.h * (c.nope + c.v) * c.kv_lora;
        const double* from = data.q64.data() + i * (c.nope + c.rope);
        for (std::size_t l = 0; l < c.kv_lora; ++l) {
          double sum = 0;
          for (std::size_t d = 0; d < c.nope; ++d) sum += from[d] * w[d * c.kv_lora + l];
          q[i * width + l] = static_cast<float>(sum);
        }
        for (std::size_t d = 0; d < c.rope; ++d)
          q[i * width + c.kv_lora + d] = data.q[i * (c.nope + c.rope) + c.nope + d];
      }
      std::vector<float> first;
      for (const cpu::KernelTable* table : tables()) {
        for (const std::size_t tile : {std::size_t{1}, std::size_t{5}, std::size_t{8}}) {
          std::vector<float> mixed(c.s * c.h * c.kv_lora);
          for (std::size_t at = 0; at < c.s; at += tile) {
            const auto queries = static_cast<std::int32_t>(std::min(tile, c.s - at));
            std::vector<float> scratch(static_cast<std::size_t>(cpu::attention_scratch(
                queries, static_cast<std::int32_t>(c.h), static_cast<std::int32_t>(width))));
            table->attention({.q = q.data() + at * c.h * width,
                              .out = mixed.data() + at * c.h * c.kv_lora,
                              .queries = queries,
                              .heads = static_cast<std::int32_t>(c.h),
                              .kv_lora = static_cast<std::int32_t>(c.kv_lora),
                              .width = static_cast<std::int32_t>(width),
                              .first_position = static_cast<std::int32_t>(at),
                              .scale = 0.2F,
                              .cache = cache.data(),
                              .blocks = blocks.data(),
                              .block_size = block_size,
                              .scratch = scratch.data()});
          }
          if (first.empty() || (table != tables().front() && tile == 1)) first = mixed;
          EXPECT_EQ(std::memcmp(first.data(), mixed.data(), mixed.size() * sizeof(float)), 0)
              << table->name << ": " << tile << " queries at once give other bits than one";
          // Scores up to ~100 carry an error of width·eps·|score|, which the exponential turns into a
          // relative error of the weights.
          for (std::size_t i = 0; i < c.s * c.h; ++i) {
            const double* w = data.w64.data() + (i % c.h * (c.nope + c.v) + c.nope) * c.kv_lora;
            for (std::size_t d = 0; d < c.v; ++d) {
              double sum = 0;
              double magnitude = 0;
              for (std::size_t l = 0; l < c.kv_lora; ++l) {
                sum += w[d * c.kv_lora + l] * static_cast<double>(mixed[i * c.kv_lora + l]);
                magnitude += std::abs(w[d * c.kv_lora + l]) * 2;
              }
              ASSERT_NEAR(sum, plain[i * c.v + d], 64 * static_cast<double>(width) * kEps * magnitude)
                  << table->name;
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace dsbench::engine::kernels
