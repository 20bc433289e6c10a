#include "engine/executors/cpu_executor.h"

#include <fmt/format.h>

#include <vector>

#include "core/clock.h"
#include "engine/kernels/cpu/thread_pool.h"
#include "engine/model/available_memory.h"
#include "engine/model/decoder.h"
#include "engine/model/latent_cache.h"
#include "engine/model/memory_bill.h"
#include "engine/model/sampling.h"

namespace dsbench::engine {
namespace {

class CpuExecutor final : public Executor {
 public:
  CpuExecutor(const profiles::ModelProfile& profile, const WeightSource& weights,
              const CpuExecutorConfig& config)
      : weights_{weights.describe()},
        decoder_(profile, weights),
        cache_(profile.layers, config.blocks, config.block_size, profile.latent_width()),
        pool_(config.threads) {}

  Result<Nanos> execute(const StepBatch& batch, std::span<TokenId> sampled) override {
    const Nanos start = clock_.now();
    DSBENCH_CHECK(check(batch, sampled.size()));
    decoder_.forward(batch, cache_, pool_, logits_);
    const auto vocab = static_cast<std::size_t>(decoder_.profile().vocab);
    std::size_t row = 0;
    for (std::size_t i = 0; i < batch.items.size(); ++i) {
      const StepItem& item = batch.items[i];
      if (!item.sample) continue;
      sampled[i] = sample_token(std::span(logits_).subspan(row++ * vocab, vocab), item.temperature, item.seed,
                                item.start + static_cast<std::int32_t>(item.tokens.size()) - 1);
    }
    return clock_.now() - start;
  }

  std::string describe() const override {
    return fmt::format("{} (cpu {}, fp32, {} thread{}, {})", decoder_.profile().name,
                       kernels::cpu::kernels().name, pool_.threads(), pool_.threads() == 1 ? "" : "s",
                       weights_);
  }

 private:
  // A wrong step would read or write outside the pool.
  Result<void> check(const StepBatch& batch, std::size_t sampled) const {
    const profiles::ModelProfile& p = decoder_.profile();
    if (sampled != batch.items.size()) {
      return fail(ErrorKind::internal, "a step of {} items has room for {} sampled tokens",
                  batch.items.size(), sampled);
    }
    for (const StepItem& item : batch.items) {
      const std::int64_t end = item.start + static_cast<std::int64_t>(item.tokens.size());
      if (item.tokens.empty() || item.start < 0 || end > p.max_context) {
        return fail(ErrorKind::internal, "sequence {}: positions {} to {}; model '{}' takes 0 to {}",
                    item.sequence, item.start, end - 1, p.name, p.max_context - 1);
      }
      if (static_cast<std::int64_t>(item.blocks.size()) * cache_.block_size() < end) {
        return fail(ErrorKind::internal, "sequence {}: {} blocks of {} tokens do not cover {} positions",
                    item.sequence, item.blocks.size(), cache_.block_size(), end);
      }
      for (const std::int32_t block : item.blocks) {
        if (block < 0 || block >= cache_.blocks()) {
          return fail(ErrorKind::internal, "sequence {}: block {} of a pool of {}", item.sequence, block,
                      cache_.blocks());
        }
      }
      for (const TokenId token : item.tokens) {
        if (token < 0 || token >= p.vocab) {
          return fail(ErrorKind::internal, "sequence {}: token {}; model '{}' has 0 to {}", item.sequence,
                      token, p.name, p.vocab - 1);
        }
      }
    }
    return {};
  }

  std::string weights_;
  Decoder decoder_;
  LatentCache cache_;
  kernels::cpu::ThreadPool pool_;
  SteadyClock clock_;
  std::vector<float> logits_;
};

}  // namespace

Result<std::unique_ptr<Executor>> make_cpu_executor(const profiles::ModelProfile& profile,
                                                    const WeightSource& weights,
                                                    const CpuExecutorConfig& config) {
  DSBENCH_CHECK(profiles::check_model_profile(profile));
  const auto [threads, blocks, block_size] = config;
  if (threads < 1 || threads > 256)
    return fail(ErrorKind::usage, "{} engine threads; accepted are 1 to 256", threads);
  if (blocks < 1 || block_size < 1) {
    return fail(ErrorKind::usage, "a KV pool of {} blocks of {} tokens; both need to be at least 1", blocks,
                block_size);
  }
  DSBENCH_TRY(const Bytes available, available_memory());
  DSBENCH_CHECK(check_fits(memory_bill(profile, sizeof(float), blocks, block_size), available));
  return std::make_unique<CpuExecutor>(profile, weights, config);
}

}  // namespace dsbench::engine
