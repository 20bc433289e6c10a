#include "engine/server/token_bridge.h"

#include <utility>

namespace dsbench::engine::server {

void TokenStream::started() {
  bridge_->push(*this, TokenBridge::Kind::started, {});
}

void TokenStream::generated(std::span<const TokenId> tokens) {
  if (!tokens.empty()) bridge_->push(*this, TokenBridge::Kind::token, tokens);
}

void TokenStream::finished(const Finish& finish) {
  finish_ = finish;
  bridge_->push(*this, TokenBridge::Kind::finished, {}, shared_from_this());
}

void TokenBridge::push(TokenStream& stream, Kind kind, std::span<const TokenId> tokens,
                       std::shared_ptr<TokenStream> owner) {
  const Nanos at = clock_.now();
  const std::lock_guard lock{mutex_};
  if (!wake_) return;
  if (kind == Kind::token) {
    for (const TokenId token : tokens) events_.push_back({&stream, at, token, kind});
  } else {
    events_.push_back({&stream, at, 0, kind});
  }
  if (owner) owners_.push_back(std::move(owner));
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
    drained_owners_.swap(owners_);
  }
  for (const Event& event : draining_) {
    TokenStream& stream = *event.stream;
    StreamConsumer* const consumer = stream.consumer_;
    if (consumer == nullptr) continue;
    if (!std::exchange(stream.touched_, true)) touched_.push_back(&stream);
    switch (event.kind) {
      case Kind::started:
        consumer->on_started(event.at);
        break;
      case Kind::token:
        consumer->on_token(event.token, event.at);
        break;
      case Kind::finished:
        consumer->on_finished(stream.finish_, event.at);
        break;
    }
  }
  for (TokenStream* const stream : touched_) {
    stream->touched_ = false;
    if (stream->consumer_ != nullptr) stream->consumer_->on_drained();
  }
  touched_.clear();
  draining_.clear();
  drained_owners_.clear();
}

void TokenBridge::hold() {
  const std::lock_guard lock{mutex_};
  woken_ = true;
}

void TokenBridge::close() {
  std::vector<std::shared_ptr<TokenStream>>
      dropped;  // destroyed outside the lock: may be the last references
  const std::lock_guard lock{mutex_};
  wake_ = nullptr;
  events_.clear();
  dropped.swap(owners_);
}

}  // namespace dsbench::engine::server
