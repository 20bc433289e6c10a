#include "engine/server/token_bridge.h"

#include <utility>

namespace dsbench::engine::server {

void TokenStream::started() {
  bridge_->push(shared_from_this(), TokenBridge::Kind::started, {});
}

void TokenStream::generated(std::span<const TokenId> tokens) {
  if (!tokens.empty()) bridge_->push(shared_from_this(), TokenBridge::Kind::token, tokens);
}

void TokenStream::finished(const Finish& finish) {
  finish_ = finish;
  bridge_->push(shared_from_this(), TokenBridge::Kind::finished, {});
}

void TokenBridge::push(const std::shared_ptr<TokenStream>& stream, Kind kind,
                       std::span<const TokenId> tokens) {
  const Nanos at = clock_.now();
  const std::lock_guard lock{mutex_};
  if (!wake_) return;
  if (kind == Kind::token) {
    for (const TokenId token : tokens) events_.push_back({stream, at, token, kind});
  } else {
    events_.push_back({stream, at, 0, kind});
  }
  if (!woken_) {
    woken_ = true;
    wake_();
  }
}

void TokenBridge::drain() {
  {
    const std::lock_guard lock{mutex_};
    woken_ = false;
    draining_.swap(events_);
  }
  for (const Event& event : draining_) {
    StreamConsumer* const consumer = event.stream->consumer_;
    if (consumer == nullptr) continue;
    event.stream->touched_ = true;
    switch (event.kind) {
      case Kind::started:
        consumer->on_started(event.at);
        break;
      case Kind::token:
        consumer->on_token(event.token, event.at);
        break;
      case Kind::finished:
        consumer->on_finished(event.stream->finish_, event.at);
        break;
    }
  }
  for (const Event& event : draining_) {
    if (!std::exchange(event.stream->touched_, false)) continue;
    if (event.stream->consumer_ != nullptr) event.stream->consumer_->on_drained();
  }
  draining_.clear();
}

void TokenBridge::hold() {
  const std::lock_guard lock{mutex_};
  woken_ = true;
}

void TokenBridge::close() {
  std::vector<Event> dropped;  // destroyed outside the lock: the last reference to a stream may be among them
  const std::lock_guard lock{mutex_};
  wake_ = nullptr;
  dropped.swap(events_);
}

}  // namespace dsbench::engine::server
