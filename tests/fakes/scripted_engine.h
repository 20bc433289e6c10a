#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "engine/engine.h"

namespace dsbench::fakes {

// An engine that does what a test says: either the test hands out every token by hand, or run() steps all
// requests on a thread, one token a step, token i of a request being 'a' + i mod 26, until max_tokens.
class ScriptedEngine final : public engine::Engine {
 public:
  explicit ScriptedEngine(engine::SchedulerConfig config = {}) : config_{config} {}
  ~ScriptedEngine() override;

  [[nodiscard]] engine::Submitted submit(engine::GenerateRequest request,
                                         std::shared_ptr<engine::RequestListener> listener) override;
  void cancel(engine::SequenceId id) override;
  [[nodiscard]] engine::EngineStats stats() const override;
  [[nodiscard]] const engine::SchedulerConfig& config() const override { return config_; }

  // The next submission is refused.
  void refuse_next(engine::SubmitStatus status, std::string message);
  void set_stats(const engine::EngineStats& stats);

  // By hand. An id that was cancelled is ignored; false then.
  bool start(engine::SequenceId id);
  bool emit(engine::SequenceId id, std::string_view bytes);  // one call of generated()
  bool finish(engine::SequenceId id, engine::FinishReason reason, std::string message = "");

  // On a thread of its own, until destruction.
  void run();

  // Block until it has happened; the test's own timeout is the bound.
  engine::SequenceId wait_for_submission(std::size_t nth);  // from 1; its id
  void wait_for_cancel(engine::SequenceId id);
  [[nodiscard]] engine::GenerateRequest request(engine::SequenceId id) const;
  [[nodiscard]] std::size_t live() const;

 private:
  struct Sequence {
    engine::GenerateRequest request;
    std::shared_ptr<engine::RequestListener> listener;
    std::int32_t generated = 0;
    bool started = false;
  };
  void end(std::map<engine::SequenceId, Sequence>::iterator at, engine::FinishReason reason,
           std::string message);
  void step();

  const engine::SchedulerConfig config_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<engine::SequenceId, Sequence> live_;
  std::vector<engine::GenerateRequest> submitted_;  // by id − 1
  std::set<engine::SequenceId> cancelled_;
  std::optional<engine::Submitted> refusal_;
  engine::EngineStats stats_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace dsbench::fakes
