#include "tests/fakes/scripted_engine.h"

#include <chrono>
#include <utility>

namespace dsbench::fakes {

using engine::Finish;
using engine::FinishReason;
using engine::SequenceId;
using engine::TokenId;

ScriptedEngine::~ScriptedEngine() {
  {
    const std::lock_guard lock{mutex_};
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  const std::lock_guard lock{mutex_};
  while (!live_.empty()) end(live_.begin(), FinishReason::aborted, "");
}

engine::Submitted ScriptedEngine::submit(engine::GenerateRequest request,
                                         std::shared_ptr<engine::RequestListener> listener) {
  const std::lock_guard lock{mutex_};
  if (refusal_) return *std::exchange(refusal_, std::nullopt);
  submitted_.push_back(request);
  const SequenceId id = submitted_.size();
  live_.emplace(id, Sequence{.request = std::move(request), .listener = std::move(listener)});
  changed_.notify_all();
  return {.status = engine::SubmitStatus::accepted, .id = id, .message = ""};
}

void ScriptedEngine::cancel(SequenceId id) {
  const std::lock_guard lock{mutex_};
  if (const auto at = live_.find(id); at != live_.end()) {
    cancelled_.insert(id);
    end(at, FinishReason::aborted, "");
  }
  changed_.notify_all();
}

engine::EngineStats ScriptedEngine::stats() const {
  const std::lock_guard lock{mutex_};
  return stats_;
}

void ScriptedEngine::refuse_next(engine::SubmitStatus status, std::string message) {
  const std::lock_guard lock{mutex_};
  refusal_ = engine::Submitted{.status = status, .id = 0, .message = std::move(message)};
}

void ScriptedEngine::set_stats(const engine::EngineStats& stats) {
  const std::lock_guard lock{mutex_};
  stats_ = stats;
}

bool ScriptedEngine::start(SequenceId id) {
  const std::lock_guard lock{mutex_};
  const auto at = live_.find(id);
  if (at == live_.end()) return false;
  at->second.started = true;
  at->second.listener->started();
  return true;
}

bool ScriptedEngine::emit(SequenceId id, std::string_view bytes) {
  const std::lock_guard lock{mutex_};
  const auto at = live_.find(id);
  if (at == live_.end()) return false;
  std::vector<TokenId> tokens;
  for (const char c : bytes) tokens.push_back(static_cast<unsigned char>(c));
  at->second.generated += static_cast<std::int32_t>(tokens.size());
  at->second.listener->generated(tokens);
  return true;
}

bool ScriptedEngine::finish(SequenceId id, FinishReason reason, std::string message) {
  const std::lock_guard lock{mutex_};
  const auto at = live_.find(id);
  if (at == live_.end()) return false;
  end(at, reason, std::move(message));
  return true;
}

void ScriptedEngine::end(std::map<SequenceId, Sequence>::iterator at, FinishReason reason,
                         std::string message) {
  const Sequence sequence = std::move(at->second);
  live_.erase(at);
  sequence.listener->finished({.reason = reason,
                               .prompt_tokens = static_cast<std::int32_t>(sequence.request.prompt.size()),
                               .output_tokens = sequence.generated,
                               .message = std::move(message)});
}

void ScriptedEngine::step() {
  for (auto at = live_.begin(); at != live_.end();) {
    const auto here = at++;
    Sequence& sequence = here->second;
    if (!std::exchange(sequence.started, true)) sequence.listener->started();
    const TokenId token = 'a' + sequence.generated++ % 26;
    sequence.listener->generated({&token, 1});
    if (sequence.generated >= sequence.request.max_tokens) end(here, FinishReason::length, "");
  }
}

void ScriptedEngine::run() {
  thread_ = std::thread{[this] {
    std::unique_lock lock{mutex_};
    while (!stopping_) {
      step();
      changed_.wait_for(lock, std::chrono::microseconds{200}, [this] { return stopping_; });
    }
  }};
}

SequenceId ScriptedEngine::wait_for_submission(std::size_t nth) {
  std::unique_lock lock{mutex_};
  changed_.wait(lock, [&] { return submitted_.size() >= nth; });
  return nth;
}

void ScriptedEngine::wait_for_cancel(SequenceId id) {
  std::unique_lock lock{mutex_};
  changed_.wait(lock, [&] { return cancelled_.contains(id); });
}

engine::GenerateRequest ScriptedEngine::request(SequenceId id) const {
  const std::lock_guard lock{mutex_};
  return submitted_.at(id - 1);
}

std::size_t ScriptedEngine::live() const {
  const std::lock_guard lock{mutex_};
  return live_.size();
}

}  // namespace dsbench::fakes
