#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace dsbench::engine {

// What happens when the KV blocks run out.
enum class KvPolicy : std::uint8_t {
  // vLLM V1: the last admitted gives all its blocks back and is computed again later.
  recompute_lifo,
  // vLLM PR 53723's proposal: the one that loses the least does.
  recompute_least_computed,
  // SGLang: admission expects running requests to use a share of what they may still generate, and learns
  // that
  // share; when it was wrong, those with the fewest generated tokens go, until 20 more steps fit.
  retract,
  // mini-sglang, TensorRT-LLM's guaranteed-no-evict: a request is admitted when it fits to its very end.
  reserve,
};
inline constexpr std::array kv_policies{KvPolicy::recompute_lifo, KvPolicy::recompute_least_computed,
                                        KvPolicy::retract, KvPolicy::reserve};
[[nodiscard]] std::string_view to_string(KvPolicy policy);
[[nodiscard]] std::optional<KvPolicy> kv_policy_named(std::string_view name);

// What a policy sees of a sequence.
struct KvShare {
  std::int32_t prompt = 0;
  std::int32_t known = 0;     // prompt and generated
  std::int32_t computed = 0;  // of these
  std::int32_t max_tokens = 0;
  std::int32_t blocks = 0;  // held

  [[nodiscard]] std::int32_t generated() const { return known - prompt; }
  // Positions that have a KV slot at the very end: the last token is generated and never computed.
  [[nodiscard]] std::int32_t at_the_end() const { return prompt + max_tokens - 1; }
};

// The one place where the policies differ. Knows no block and no queue: it is told what sequences look like,
// and says how many tokens to leave room for and who has to go.
class KvPressure {
 public:
  explicit KvPressure(KvPolicy policy) : policy_{policy} {}

  [[nodiscard]] bool preempts() const { return policy_ != KvPolicy::reserve; }
  // Whether admission leaves room for what running sequences will still take.
  [[nodiscard]] bool looks_ahead() const {
    return policy_ == KvPolicy::retract || policy_ == KvPolicy::reserve;
  }
  // Tokens that admission counts a running sequence as, now or later.
  [[nodiscard]] std::int32_t expected(const KvShare& running) const;
  // The same of one that asks to be admitted and would compute `first` tokens at once.
  [[nodiscard]] std::int32_t asked(const KvShare& waiting, std::int32_t first) const;
  // Tokens that a sequence needs room for before it is of use to start it.
  [[nodiscard]] std::int32_t least(const KvShare& waiting) const {
    return policy_ == KvPolicy::reserve ? waiting.at_the_end() : waiting.known;
  }
  // Further decode steps that must fit once somebody has to go.
  [[nodiscard]] std::int32_t steps_ahead() const { return policy_ == KvPolicy::retract ? 20 : 0; }
  // Who has to go, of those that run in order of admission; never empty.
  [[nodiscard]] std::size_t victim(std::span<const KvShare> running) const;

  // After a step was scheduled: who runs on, and whether anybody had to go.
  void scheduled(std::span<const KvShare> running, bool preempted);
  void idle() { new_token_ratio_ = initial_ratio; }
  [[nodiscard]] double new_token_ratio() const { return new_token_ratio_; }

  // SGLang's constants (environ.py): the ratio starts at 0.7, falls over 600 calm steps to 0.14 of that.
  static constexpr double initial_ratio = 0.7;
  static constexpr double least_ratio = 0.7 * 0.14;
  static constexpr double decay = (initial_ratio - least_ratio) / 600;
  // Of what a request may still generate, at most so much is expected.
  static constexpr std::int32_t most_expected = 4096;

 private:
  KvPolicy policy_;
  double new_token_ratio_ = initial_ratio;
};

}  // namespace dsbench::engine
