#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/units.h"
#include "results/record.h"

// The one small interface at which load generation meets what is being loaded. The wire (libcurl) and a
// simulated fleet both turn Attempts into TargetEvents; everything that decides sits above it and cannot tell
// them apart.
namespace dsbench::loadgen {

// How closely a model is asked to look at an image.
enum class ImageDetail : std::uint8_t { automatic, low, high };

// A stretch of a prompt. Its text is a function of (seed, tokens): the same pair is the same text, which a
// prefix cache can find again. An image is a function of (seed, image_bytes); its tokens are what the
// workload says that it costs.
struct PromptPart {
  enum class Role : std::uint8_t { system, user, assistant };
  std::uint64_t seed = 0;
  std::int32_t tokens = 0;
  Role role = Role::user;
  ImageDetail detail = ImageDetail::automatic;
  std::int32_t image_bytes = 0;  // above 0: an image of so many bytes, and no text
  friend bool operator==(const PromptPart&, const PromptPart&) = default;
};
using PromptParts = std::vector<PromptPart>;

// What a source of requests remembers of one session, carried by the session's attempts. Only the source
// looks into it, and only from the thread that runs the session.
struct SessionState {
  virtual ~SessionState() = default;
};

// What to send, and to whom.
struct Attempt {
  std::uint64_t request = 0;
  std::uint32_t attempt = 0;
  std::int32_t prompt_tokens = 0;
  std::int32_t output_tokens = 0;  // max_tokens, with ignore_eos: exactly as many
  std::uint64_t prompt_seed = 0;   // the text of the prompt is a function of this, when there are no parts
  std::shared_ptr<const PromptParts> parts = nullptr;  // prompt_tokens is their sum; null: one of the user's
  std::uint64_t content =
      0;                   // number of the content within its stage: what a session's next turn is drawn from
  std::uint32_t turn = 0;  // of its session, from 0
  std::uint16_t tenant = 0;            // class of the workload
  std::uint16_t provider = 0;          // index of the target that this attempt goes to
  std::int32_t images = 0;             // among the parts
  std::int64_t image_bytes = 0;        // of all of them, before they are written as text
  std::int32_t stop_after_tokens = 0;  // the client has seen enough then and hangs up; 0: reads to the end
  std::shared_ptr<SessionState> session = nullptr;
  friend bool operator==(const Attempt&, const Attempt&) = default;
};

enum class EventKind : std::uint8_t {
  sent,        // the request's first byte left us
  first_byte,  // of the response
  alive,       // bytes that are no answer (headers, a keep-alive comment): told where the policy asks for it
  tokens,      // a chunk with `tokens` tokens of content arrived (text or reasoning; the empty role chunk is
               // none)
  done,        // whole: the end marker came after a finish reason
  failed,      // anything else, with its reason; no event follows
};

struct TargetEvent {
  std::uint64_t request = 0;
  std::uint32_t attempt = 0;
  EventKind kind = EventKind::sent;
  Nanos at{0};  // since the start of the run
  // How long the bytes that tell of it had been with our kernel when we read them; never: that is not known.
  Nanos read_lag = results::never;
  std::int32_t tokens = 0;
  results::Reason reason = results::Reason::ok;
  std::int32_t http_status = 0;
  // Of `done`: what the server's usage says was generated and read, when it said it.
  std::optional<std::int32_t> usage_output_tokens;
  std::optional<std::int32_t> usage_prompt_tokens;
  std::optional<std::int32_t> usage_cached_prompt_tokens, usage_reasoning_tokens;
  bool reasoning = false;  // of `tokens`: not the answer yet
  // Of `sent` that opened a connection, told with the first event after it: how long it took to have one.
  std::optional<Nanos> dns_time, connect_time, tls_time;
  bool reused = false;  // of `first_byte`: the connection was open before the attempt
  // Of `failed` with a response: how the server wants us to behave.
  std::optional<Nanos> retry_after;
  std::optional<bool> should_retry;  // x-should-retry
};

// A target in virtual time. Deterministic: the same calls give the same events.
class VirtualTarget {
 public:
  virtual ~VirtualTarget() = default;
  // Events that an action causes at once (a refusal) come from the next advance(now).
  virtual void submit(const Attempt& attempt, Nanos now) = 0;
  // The client went away. No further event of this attempt follows. An unknown attempt is ignored.
  virtual void cancel(std::uint64_t request, std::uint32_t attempt, Nanos now) = 0;
  // When something will happen next if nothing is submitted; nothing when idle.
  [[nodiscard]] virtual std::optional<Nanos> next_event() const = 0;
  // Moves to `now` (not beyond next_event()) and appends what happened, in order of time.
  virtual void advance(Nanos now, std::vector<TargetEvent>& events) = 0;
};

}  // namespace dsbench::loadgen
