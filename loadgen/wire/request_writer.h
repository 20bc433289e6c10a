#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include "loadgen/codec/prompt_text.h"
#include "loadgen/target.h"
#include "loadgen/wire/caller_lines.h"
#include "loadgen/wire/lean_provider.h"
#include "loadgen/wire/outgoing_request.h"

namespace dsbench::loadgen {

// Writes requests, several before the first of them is sent: what writes and the kernel's code each stay in
// the caches that way, where by turns they drive each other out.
class RequestWriter {
 public:
  // After so many bytes no further one is written.
  static constexpr std::size_t enough = 65'536;
  // A request that its owner still needs is moved out; else its memory serves the next one.
  using Written = std::span<std::unique_ptr<OutgoingRequest>>;

  void set_caller(CallerLines caller) { caller_ = std::move(caller); }

  // The first of `attempts`, at least one: up to 16, until they have enough bytes. Valid until the next
  // call. `provider_of(attempt)`: its LeanProvider.
  template <class ProviderOf>
  [[nodiscard]] Written write(std::span<const Attempt> attempts, ProviderOf&& provider_of) {
    std::size_t count = 0, bytes = 0;
    for (; count < std::min(attempts.size(), kept_.size()) && bytes < enough; ++count)
      bytes += write_one(attempts[count], provider_of(attempts[count]), kept_[count]);
    return std::span{kept_}.first(count);
  }

 private:
  // Says how many bytes it has.
  std::size_t write_one(const Attempt& attempt, const LeanProvider& provider,
                        std::unique_ptr<OutgoingRequest>& out);

  PromptCache prompts_;
  CallerLines caller_;
  std::array<std::unique_ptr<OutgoingRequest>, 16> kept_;
};

}  // namespace dsbench::loadgen
