#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>

#include "loadgen/wire/transport.h"
#include "profiles/tokenizer/tokenizer.h"
#include "results/record.h"

namespace dsbench::loadgen {

// Counts the output tokens that a server does not count, with a tokenizer of ours: stands between one issuer
// and its sink, and holds back the records of such an attempt until a thread of its own, of low priority, has
// counted its text. Everything else passes at once. Where texts come faster than they are counted, those
// beyond `most_bytes` keep the count of their chunks, and token_source says so.
class OutputCounter final : public results::RecordSink, public AnswerSink {
 public:
  // `to` must outlive the counter, and be used by nobody else meanwhile.
  OutputCounter(results::RecordSink& to, std::shared_ptr<const profiles::Tokenizer> tokenizer,
                std::size_t most_bytes = std::size_t{64} << 20);
  // Counts what is left first.
  ~OutputCounter() override;
  OutputCounter(const OutputCounter&) = delete;
  OutputCounter& operator=(const OutputCounter&) = delete;

  // By the issuer's thread.
  void answered(std::uint64_t request, std::uint32_t attempt, AnswerText&& text) override;
  void offered(std::uint32_t stage, std::uint64_t request, Nanos due) override;
  [[nodiscard]] std::uint32_t stage_at(Nanos due, std::uint32_t before) override;
  void decided(const results::ProviderDecision& decision) override;
  void attempt(const results::AttemptRecord& record) override;
  void request(const results::RequestRecord& record) override;

  // Records held back. By any thread.
  [[nodiscard]] std::size_t pending() const { return pending_.load(std::memory_order_acquire); }

 private:
  struct Job {
    AnswerText text;
    results::AttemptRecord attempt;
    std::optional<results::RequestRecord> request;
  };

  void count_jobs();
  void count(Job& job) const;

  results::RecordSink& to_;
  const std::shared_ptr<const profiles::Tokenizer> tokenizer_;
  const std::size_t most_bytes_;

  // Of the issuer's thread. A text until its attempt's record comes, and that until its request's does: all
  // within one turn of the issuer.
  std::unordered_map<std::uint64_t, Job> unfinished_;

  std::mutex mutex_;  // of to_ and of what follows
  std::condition_variable more_;
  std::deque<Job> jobs_;
  std::size_t bytes_ = 0;  // of texts in jobs_, and of the one being counted
  bool ends_ = false;
  std::atomic<std::size_t> pending_{0};
  std::thread thread_;
};

}  // namespace dsbench::loadgen
