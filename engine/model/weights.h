#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dsbench::engine {

// Where a decoder's weights come from, tensor by tensor, in fp32 and row-major; the decoder and the reference
// ask for them in whatever order suits them, once each, and keep them in the form that suits them.
//
// Names: "embedding", "head", "final_norm"; per layer "layers.<i>." with attention_norm, ffn_norm, q_a,
// q_norm, q_b (or q), kv_a, kv_norm, kv_b, o; gate, up, down (dense); router, router_bias,
// experts.<e>.{gate,up,down}, shared.{gate,up,down} (MoE).
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  // A projection [n, k]. `gain` is for those who draw.
  [[nodiscard]] virtual std::vector<float> matrix(std::string_view name, std::int64_t n, std::int64_t k,
                                                  double gain) const = 0;
  [[nodiscard]] virtual std::vector<float> norm(std::string_view name, std::int64_t n) const = 0;
  // A gate's correction bias.
  [[nodiscard]] virtual std::vector<float> correction_bias(std::string_view name, std::int64_t n) const = 0;
  // For descriptions: "seed 1".
  [[nodiscard]] virtual std::string describe() const = 0;
};

// Weights that are drawn, not loaded: every tensor from a stream of its own, named after the tensor, so that
// its numbers depend on (seed, name, shape) alone.
class DrawnWeights final : public WeightSource {
 public:
  explicit DrawnWeights(std::uint64_t seed) : seed_{seed} {}

  // Uniform with standard deviation gain/√k, so that what goes in with unit variance comes out so.
  [[nodiscard]] std::vector<float> matrix(std::string_view name, std::int64_t n, std::int64_t k,
                                          double gain) const override;
  // Norm weights around 1: uniform on [0.8, 1.2), so that a forgotten one shows.
  [[nodiscard]] std::vector<float> norm(std::string_view name, std::int64_t n) const override;
  // Uniform on [-0.6, -0.4). Sigmoid scores lie around 0.5, so about half of the biased scores are negative,
  // and the spread is too small to choose the same experts for everybody.
  [[nodiscard]] std::vector<float> correction_bias(std::string_view name, std::int64_t n) const override;
  [[nodiscard]] std::string describe() const override;

 private:
  [[nodiscard]] std::vector<float> uniform(std::string_view name, std::int64_t n, double low,
                                           double high) const;
  std::uint64_t seed_;
};

// Gains that make a random decoder behave: queries sharp enough to single out positions, so that what comes
// next depends on the context and greedy output does not settle into a short loop; logits spread enough for
// temperatures to mean something.
inline constexpr double kQueryGain = 2.0;
inline constexpr double kHeadGain = 3.0;

}  // namespace dsbench::engine
