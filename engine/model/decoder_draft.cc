#include <algorithm>

#include "engine/model/decoder_state.h"

// Multi-token prediction. A row is a settled token at position i with the token behind it: the module reads
// the model's output at i (behind the final norm, as the head does) and the embedding of the token at i + 1,
// leaves its latent at position i of its own cache layer, and says what follows i + 1. For a second guess it
// goes on from its own output and its own guess at position i + 1; that latent is written anew, from what is
// true, by the next step.
// The last entry of a block that the prefix cache shares may have been written for another token behind it: a
// guess can be the worse for it, and nothing else, since every guess is verified.
namespace dsbench::engine {

using kernels::cpu::ThreadPool;

// x = join · [norm(embedding of next_), norm(carried_)], h = the layer's norm of it.
void Decoder::State::join(ThreadPool& pool) {
  const MtpModule& mtp = *weights.mtp;
  const auto eps = static_cast<float>(p.rms_eps);
  joined_.shape(rows(), 2 * p.hidden, weights.type);
  h_.shape(rows(), p.hidden, weights.type);
  for_rows(pool, 8, [&](std::int32_t r, int) {
    float* to = joined_.row(r);
    weights.embedding.copy_row(next_[static_cast<std::size_t>(r)], to);
    kernels.rms_norm(to, mtp.embedding_norm.data(), eps, p.hidden, to);
    kernels.rms_norm(carried_.data() + std::int64_t{r} * p.hidden, mtp.hidden_norm.data(), eps, p.hidden,
                     to + p.hidden);
    joined_.finish(kernels, r);
  });
  add_product(mtp.join.times(joined_.from(0), rows(), x_.data(), p.hidden), {}, pool);
  run_products(pool);
  for_rows(pool, 16, [&](std::int32_t r, int) {
    kernels.rms_norm(x_.data() + std::int64_t{r} * p.hidden, mtp.layer.attention_norm.data(), eps, p.hidden,
                     h_.row(r));
    h_.finish(kernels, r);
  });
}

// guesses_ of the rows, the likeliest of each: from h, behind the module's norm.
void Decoder::State::guess(ThreadPool& pool) {
  const auto vocab = static_cast<std::size_t>(p.vocab);
  draft_logits_.resize(static_cast<std::size_t>(rows()) * vocab);
  add_product(weights.head.times(h_.from(0), rows(), draft_logits_.data(), p.vocab), {}, pool);
  run_products(pool);
  guesses_.resize(rows_.size());
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    const auto begin = draft_logits_.begin() + static_cast<std::ptrdiff_t>(r * vocab);
    guesses_[r] =
        static_cast<TokenId>(std::max_element(begin, begin + static_cast<std::ptrdiff_t>(vocab)) - begin);
  }
}

void Decoder::State::draft(const StepBatch& batch, std::span<const SettledItem> settled, LatentCache& cache,
                           ThreadPool& pool, std::span<DraftOutcome> outcomes) {
  const MtpModule& mtp = *weights.mtp;
  notes_load_ = false;
  rows_.clear();
  marked_.clear();
  next_.clear();
  std::int32_t all = 0;
  for (const SettledItem& s : settled) all += s.right;
  carried_.grow(std::int64_t{all} * p.hidden);
  const auto carry = [&](const float* hidden) {
    std::copy_n(hidden, p.hidden, carried_.data() + (std::int64_t{rows()} - 1) * p.hidden);
  };
  for (std::size_t i = 0; i < settled.size(); ++i) {
    const StepItem& item = batch.items[i];
    const SettledItem& s = settled[i];
    for (std::int32_t j = 0; j < s.right; ++j) {
      const bool last = j + 1 == s.right;
      const TokenId next = last ? s.next : item.tokens[static_cast<std::size_t>(j) + 1];
      if (next < 0) continue;
      const std::int32_t of_step = item_row_[i] + j;
      add_row(item, static_cast<std::int32_t>(i), item.start + j, of_step);
      marked_.push_back(last && s.wanted > 0);
      next_.push_back(next);
      carry(hidden_.data() + std::int64_t{of_step} * p.hidden);
    }
  }
  bool cut = true;
  for (std::int32_t made = 1; rows() > 0; ++made, cut = false) {
    join(pool);
    if (!run_layer(mtp.layer, cache, p.layers, batch, pool, cut, mtp.norm)) return;
    guess(pool);
    const std::vector<DecoderRow> before = rows_;
    rows_.clear();
    next_.clear();
    for (std::size_t r = 0; r < before.size(); ++r) {
      const auto i = static_cast<std::size_t>(before[r].item);
      outcomes[i].tokens[static_cast<std::size_t>(outcomes[i].proposed++)] = guesses_[r];
      const std::int32_t position = before[r].position + 1;
      const std::int64_t slots = static_cast<std::int64_t>(batch.items[i].blocks.size()) * block_size_;
      if (made >= settled[i].wanted || position >= slots || position >= p.max_context) continue;
      add_row(batch.items[i], before[r].item, position, rows());
      turn_row(rows() - 1, position);
      next_.push_back(guesses_[r]);
      carry(h_.row(static_cast<std::int64_t>(r)));
    }
  }
}

}  // namespace dsbench::engine
