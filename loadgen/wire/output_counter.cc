#include "loadgen/wire/output_counter.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace dsbench::loadgen {

using results::TokenSource;

OutputCounter::OutputCounter(results::RecordSink& to, std::shared_ptr<const profiles::Tokenizer> tokenizer,
                             std::size_t most_bytes)
    : to_{to}, tokenizer_{std::move(tokenizer)}, most_bytes_{most_bytes} {
  thread_ = std::thread{[this] { count_jobs(); }};
}

OutputCounter::~OutputCounter() {
  {
    const std::lock_guard lock{mutex_};
    ends_ = true;
  }
  more_.notify_one();
  thread_.join();
}

void OutputCounter::answered(std::uint64_t request, std::uint32_t attempt, AnswerText&& text) {
  if (text.empty()) return;
  Job& job = unfinished_[request];
  job.text = std::move(text);
  job.attempt.request = request;
  job.attempt.attempt = attempt;
  job.attempt.done = results::never;  // its record has not come
}

void OutputCounter::offered(std::uint32_t stage, std::uint64_t request, Nanos due) {
  const std::lock_guard lock{mutex_};
  to_.offered(stage, request, due);
}

std::uint32_t OutputCounter::stage_at(Nanos due, std::uint32_t before) {
  const std::lock_guard lock{mutex_};
  return to_.stage_at(due, before);
}

void OutputCounter::decided(const results::ProviderDecision& decision) {
  const std::lock_guard lock{mutex_};
  to_.decided(decision);
}

void OutputCounter::attempt(const results::AttemptRecord& record) {
  if (const auto found = unfinished_.find(record.request); found != unfinished_.end()) {
    Job& job = found->second;
    if (job.attempt.attempt == record.attempt && job.attempt.done == results::never &&
        record.token_source == TokenSource::chunks) {
      job.attempt = record;
      return;
    }
  }
  const std::lock_guard lock{mutex_};
  to_.attempt(record);
}

void OutputCounter::request(const results::RequestRecord& record) {
  auto found = unfinished_.extract(record.request);
  const bool held = !found.empty() && found.mapped().attempt.done != results::never;
  const std::lock_guard lock{mutex_};
  if (!held) {
    to_.request(record);
    return;
  }
  Job& job = found.mapped();
  const std::size_t bytes = job.text.answer.size() + job.text.reasoning.size();
  if (bytes_ + bytes > most_bytes_) {
    to_.attempt(job.attempt);
    to_.request(record);
    return;
  }
  job.request = record;
  bytes_ += bytes;
  jobs_.push_back(std::move(job));
  pending_.fetch_add(1, std::memory_order_relaxed);
  more_.notify_one();
}

void OutputCounter::count(Job& job) const {
  const auto answer = tokenizer_->encode(job.text.answer);
  const auto reasoning = tokenizer_->encode(job.text.reasoning);
  if (!answer || !reasoning) return;  // a text that the tokenizer gives up on: the chunks stand
  job.attempt.output_tokens = static_cast<std::int32_t>(answer->size() + reasoning->size());
  job.attempt.reasoning_tokens = static_cast<std::int32_t>(reasoning->size());
  job.attempt.token_source = TokenSource::retokenised;
  job.request->output_tokens = job.attempt.output_tokens;
}

void OutputCounter::count_jobs() {
  // Whatever core is left: never the issuers'.
  (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), 10);
  std::unique_lock lock{mutex_};
  for (;;) {
    more_.wait(lock, [this] { return ends_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    const std::size_t bytes = job.text.answer.size() + job.text.reasoning.size();
    lock.unlock();
    count(job);
    lock.lock();
    bytes_ -= bytes;
    to_.attempt(job.attempt);
    to_.request(*job.request);
    pending_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace dsbench::loadgen
