#include "loadgen/class_source.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string_view>
#include <utility>

#include "core/rng.h"

namespace dsbench::loadgen {
namespace {

using profiles::OnFailure;
using profiles::RequestShape;
using results::RequestRecord;

// The number under which turn `turn` of session `content` draws. Beyond the 23 bits that a request number has
// for turns (a positive 64-bit integer of SQLite) a session is over.
constexpr std::uint32_t most_turns = 1U << 23;
std::uint64_t draw_number(std::uint64_t content, std::uint32_t turn) {
  return content | (std::uint64_t{turn} << results::turn_shift);
}

struct Lengths {
  std::int32_t prompt = 0, output = 0;
};

Lengths joint_lengths(const profiles::JointLengths& joint, double u_prompt, double u_output) {
  double total = 0;
  for (const auto& bin : joint.bins) total += bin.weight;
  double left = u_prompt * total;
  std::size_t i = 0;
  while (i + 1 < joint.bins.size() && left > joint.bins[i].weight) left -= joint.bins[i++].weight;
  const auto& bin = joint.bins[i];
  // What is left of the uniform number is uniform within the bin.
  const double place = std::clamp(left / bin.weight, 0.0, 1.0);
  const double prompt = bin.prompt_from + std::floor(place * (bin.prompt_to - bin.prompt_from + 1.0));
  return {static_cast<std::int32_t>(std::min<double>(prompt, bin.prompt_to)),
          std::max(1, static_cast<std::int32_t>(
                          std::lround(profiles::quantile_at(bin.output_quantiles, u_output))))};
}

// What all classes have in common: lengths, prefixes, seeds.
class Texts {
 public:
  Texts(const RequestShape& shape, std::uint64_t seed, std::uint16_t tenant)
      : shape_{shape},
        seed_{seed},
        class_seed_{derive_seed(seed, "class_texts", tenant)},
        // Spearman's rank correlation of two normal variables, turned into Pearson's.
        correlation_{2 * std::sin(std::numbers::pi / 6 * shape.rank_correlation)} {}

  [[nodiscard]] double uniform(std::string_view stream, std::uint64_t number) const {
    return Rng{seed_, stream, number}.open_uniform();
  }
  [[nodiscard]] std::uint64_t text(std::string_view stream, std::uint64_t number) const {
    return derive_seed(seed_, stream, number);
  }

  [[nodiscard]] Lengths lengths(std::uint64_t number) const {
    const double u_prompt = uniform("prompt_tokens", number);
    double u_output = uniform("output_tokens", number);
    if (shape_.lengths) return joint_lengths(*shape_.lengths, u_prompt, u_output);
    if (correlation_ != 0) {
      const double z =
          correlation_ * inverse_normal_cdf(u_prompt) +
          std::sqrt(std::max(0.0, 1 - correlation_ * correlation_)) * inverse_normal_cdf(u_output);
      u_output = std::clamp(0.5 * std::erfc(-z / std::numbers::sqrt2), 1e-16, 1 - 1e-16);
    }
    return {profiles::length_at(shape_.prompt_tokens, u_prompt),
            profiles::length_at(shape_.output_tokens, u_output)};
  }

  [[nodiscard]] bool has_prefix() const {
    return shape_.system_prompt_tokens > 0 || !shape_.prefix_pools.empty();
  }
  // What a prompt begins with, that others begin with too.
  void append_prefix(std::uint64_t number, PromptParts& parts) const {
    using Role = PromptPart::Role;
    if (shape_.system_prompt_tokens > 0)
      parts.push_back({derive_seed(class_seed_, "system_prompt"), shape_.system_prompt_tokens, Role::system});
    for (std::size_t i = 0; i < shape_.prefix_pools.size(); ++i) {
      const profiles::PrefixPool& pool = shape_.prefix_pools[i];
      Rng choice{derive_seed(seed_, "prefixes", number), "prefixes", i};
      const double has_one = choice.open_uniform();
      const double which = choice.open_uniform();
      if (has_one > pool.share) continue;
      const auto k = static_cast<std::uint64_t>(profiles::zipf_at(pool.count, pool.zipf, which));
      const std::uint64_t pool_seed = derive_seed(class_seed_, "prefix_pool", i);
      const std::int32_t tokens =
          profiles::length_at(pool.tokens, Rng{pool_seed, "prefix_tokens", k}.open_uniform());
      parts.push_back({derive_seed(pool_seed, "prefix_texts", k), tokens, Role::system});
    }
  }

  [[nodiscard]] bool has_images() const { return shape_.images.has_value(); }
  // The pictures that go with what is said under this number; they stand before the words.
  void append_images(std::uint64_t number, PromptParts& parts) const {
    if (!shape_.images) return;
    const profiles::ImageShape& images = *shape_.images;
    const std::int32_t count = profiles::length_at(images.count, uniform("image_count", number));
    const std::uint64_t pool_seed = derive_seed(class_seed_, "images");
    for (std::int32_t i = 0; i < count; ++i) {
      Rng choice{derive_seed(seed_, "images", number), "images", static_cast<std::uint64_t>(i)};
      const auto k = static_cast<std::uint64_t>(choice.open_uniform() * static_cast<double>(images.pool));
      PromptPart part{derive_seed(pool_seed, "pictures", k), images.tokens};
      part.image_bytes = profiles::length_at(images.bytes, Rng{pool_seed, "image_bytes", k}.open_uniform());
      part.detail = static_cast<ImageDetail>(images.detail);
      parts.push_back(part);
    }
  }

 private:
  const RequestShape shape_;
  std::uint64_t seed_, class_seed_;
  double correlation_;
};

std::int32_t sum_of(const PromptParts& parts) {
  std::int64_t sum = 0;
  for (const PromptPart& part : parts) sum += part.tokens;
  return static_cast<std::int32_t>(std::min(sum, profiles::most_tokens));
}

void count_images(Attempt& attempt) {
  for (const PromptPart& part : *attempt.parts) {
    if (part.image_bytes <= 0) continue;
    ++attempt.images;
    attempt.image_bytes += part.image_bytes;
  }
}

// ---- single requests

class SingleSource final : public RequestSource {
 public:
  SingleSource(const RequestShape& shape, std::uint64_t seed, std::uint16_t tenant)
      : texts_{shape, seed, tenant}, tenant_{tenant} {}

  [[nodiscard]] Attempt first(std::uint64_t request) const override {
    Attempt attempt;
    attempt.request = attempt.content = request;
    attempt.tenant = tenant_;
    const Lengths lengths = texts_.lengths(request);
    attempt.prompt_tokens = lengths.prompt;
    attempt.output_tokens = lengths.output;
    attempt.prompt_seed = texts_.text("prompts", request);
    if (texts_.has_prefix() || texts_.has_images()) {
      PromptParts parts;
      texts_.append_prefix(request, parts);
      texts_.append_images(request, parts);
      parts.push_back({attempt.prompt_seed, lengths.prompt, PromptPart::Role::user});
      attempt.prompt_tokens = sum_of(parts);
      attempt.parts = std::make_shared<const PromptParts>(std::move(parts));
      count_images(attempt);
    }
    return attempt;
  }

 private:
  Texts texts_;
  std::uint16_t tenant_;
};

// ---- sessions and agents. Both keep the conversation as it stands: what the next request sends.

struct Conversation : SessionState {
  PromptParts context;
  std::size_t prefix_parts = 0;  // its first, that others have too
  std::uint32_t next_turn = 1;
  void say(std::uint64_t seed, std::int32_t tokens, PromptPart::Role role = PromptPart::Role::user) {
    if (tokens > 0) context.push_back({seed, tokens, role});
  }
};

// A request that sends the conversation as it stands.
Attempt attempt_of(const std::shared_ptr<SessionState>& state, const PromptParts& context,
                   std::uint64_t content, std::uint32_t turn, std::uint16_t tenant,
                   std::int32_t output_tokens, std::uint64_t seed) {
  Attempt attempt;
  attempt.request = content;
  attempt.content = content;
  attempt.turn = turn;
  attempt.tenant = tenant;
  attempt.prompt_tokens = sum_of(context);
  attempt.output_tokens = output_tokens;
  attempt.prompt_seed = seed;
  attempt.parts = std::make_shared<const PromptParts>(context);
  attempt.session = state;
  count_images(attempt);
  return attempt;
}

class ChatSource final : public RequestSource {
 public:
  ChatSource(const RequestShape& shape, std::uint64_t seed, std::uint16_t tenant)
      : session_{*shape.session}, texts_{shape, seed, tenant}, tenant_{tenant} {}

  [[nodiscard]] Attempt first(std::uint64_t content) const override {
    auto chat = std::make_shared<Chat>();
    texts_.append_prefix(content, chat->context);
    chat->prefix_parts = chat->context.size();
    const Lengths lengths = texts_.lengths(content);
    const std::uint64_t seed = texts_.text("prompts", content);
    texts_.append_images(content, chat->context);
    chat->say(seed, lengths.prompt);
    chat->turns = profiles::length_at(session_.turns, texts_.uniform("turns", content));
    chat->output_tokens = lengths.output;
    return attempt_of(chat, chat->context, content, 0, tenant_, lengths.output, seed);
  }

  void next(const Attempt& ended, const RequestRecord& outcome,
            std::vector<FollowUp>& follow_ups) const override {
    const auto chat = std::static_pointer_cast<Chat>(ended.session);
    const bool well = results::ended_well(outcome.reason);
    if (!well && session_.on_failure == OnFailure::stop) return;
    const std::shared_ptr<Chat> fork = well ? fork_after(*chat, ended) : nullptr;
    const std::size_t before = follow_ups.size();
    go_on(chat, ended, outcome, follow_ups);
    if (fork == nullptr || follow_ups.size() == before) return;
    // The history is what both have; from here each says its own.
    fork->turns = profiles::length_at(session_.forks->turns,
                                      texts_.uniform("fork_turns", draw_number(ended.content, ended.turn)));
    fork->said = -1;
    go_on(fork, ended, outcome, follow_ups);
  }

 private:
  struct Chat final : Conversation {
    std::int32_t turns = 1, said = 0;
    std::int32_t output_tokens = 0;                                               // asked of the present turn
    std::shared_ptr<std::uint32_t> numbers = std::make_shared<std::uint32_t>(1);  // turns had, of all forks
  };

  [[nodiscard]] std::shared_ptr<Chat> fork_after(const Chat& chat, const Attempt& ended) const {
    if (!session_.forks) return nullptr;
    const double lot = texts_.uniform("forks", draw_number(ended.content, ended.turn));
    return lot < session_.forks->share ? std::make_shared<Chat>(chat) : nullptr;
  }

  [[nodiscard]] Nanos pause_after(const RequestRecord& outcome, std::uint64_t number) const {
    const double u = texts_.uniform("think_time", number);
    if (!session_.turn_gap) return profiles::time_at(session_.think_time, u);
    return std::max(Nanos{0}, outcome.due + profiles::time_at(*session_.turn_gap, u) - outcome.done);
  }

  // The next turn of this conversation, if it has one.
  void go_on(const std::shared_ptr<Chat>& chat, const Attempt& ended, const RequestRecord& outcome,
             std::vector<FollowUp>& follow_ups) const {
    const std::uint32_t turn = *chat->numbers;
    if (turn >= most_turns) return;
    const std::uint64_t number = draw_number(ended.content, turn);
    const bool well = results::ended_well(outcome.reason);
    const std::uint64_t seed = texts_.text("prompts", number);
    if (well || session_.on_failure == OnFailure::continue_) {
      if (++chat->said >= chat->turns) return;
      if (!session_.keeps_history) {
        chat->context.resize(chat->prefix_parts);
      } else if (well && session_.keeps_answers) {
        chat->say(texts_.text("answers", draw_number(ended.content, ended.turn)), outcome.output_tokens,
                  PromptPart::Role::assistant);
      }
      texts_.append_images(number, chat->context);
      chat->say(seed, profiles::length_at(session_.user_tokens, texts_.uniform("user_tokens", number)));
      chat->output_tokens =
          session_.output_tokens
              ? profiles::length_at(*session_.output_tokens, texts_.uniform("output_tokens", number))
              : texts_.lengths(number).output;
    }  // else the same again
    const std::int64_t context = std::int64_t{sum_of(chat->context)} + chat->output_tokens;
    if (session_.max_context_tokens > 0 && context > session_.max_context_tokens) return;
    ++*chat->numbers;
    follow_ups.push_back({pause_after(outcome, number), attempt_of(chat, chat->context, ended.content, turn,
                                                                   tenant_, chat->output_tokens, seed)});
  }

  profiles::SessionShape session_;
  Texts texts_;
  std::uint16_t tenant_;
};

class AgentSource final : public RequestSource {
 public:
  AgentSource(const RequestShape& shape, std::uint64_t seed, std::uint16_t tenant)
      : agent_{*shape.agent}, texts_{shape, seed, tenant}, tenant_{tenant} {}

  [[nodiscard]] Attempt first(std::uint64_t content) const override {
    auto state = std::make_shared<Agent>();
    start_afresh(*state, content, 0);
    begin_task(*state, content, 0);
    return main_request(state, content, 0);
  }

  void next(const Attempt& ended, const RequestRecord& outcome,
            std::vector<FollowUp>& follow_ups) const override {
    const auto state = std::static_pointer_cast<Agent>(ended.session);
    const bool well = results::ended_well(outcome.reason);
    const std::uint64_t content = ended.content;
    if (ended.turn != state->main_turn) {  // a branch
      if (well) state->brought_back += outcome.output_tokens;
      if (--state->branches > 0) return;
      state->say(texts_.text("answers_of_branches", draw_number(content, state->main_turn)),
                 state->brought_back);
      go_on(state, content, false, follow_ups);
      return;
    }
    if (!well) {
      if (agent_.on_failure == OnFailure::stop) return;
      go_on(state, content, agent_.on_failure == OnFailure::retry_turn, follow_ups);
      return;
    }
    const std::uint64_t number = draw_number(content, ended.turn);
    state->say(texts_.text("answers", number), outcome.output_tokens, PromptPart::Role::assistant);
    const std::int32_t branches = profiles::length_at(agent_.fan_out, texts_.uniform("fan_out", number));
    if (branches == 0 || state->next_turn + static_cast<std::uint32_t>(branches) >= most_turns) {
      go_on(state, content, false, follow_ups);
      return;
    }
    state->branches = branches;
    state->brought_back = 0;
    for (std::int32_t i = 0; i < branches; ++i)
      follow_ups.push_back({Nanos{0}, branch_request(state, content, state->next_turn++)});
  }

 private:
  struct Agent final : Conversation {
    std::uint32_t main_turn = 0;
    std::int32_t steps = 1, step = 0;
    std::int32_t branches = 0;      // under way
    std::int32_t brought_back = 0;  // tokens, by those that have ended
  };

  void start_afresh(Agent& state, std::uint64_t content, std::uint32_t turn) const {
    state.context.clear();
    texts_.append_prefix(draw_number(content, turn), state.context);
    state.prefix_parts = state.context.size();
  }
  void begin_task(Agent& state, std::uint64_t content, std::uint32_t turn) const {
    const std::uint64_t number = draw_number(content, turn);
    state.step = 0;
    state.steps = profiles::length_at(agent_.steps, texts_.uniform("steps", number));
    texts_.append_images(number, state.context);
    state.say(texts_.text("prompts", number), texts_.lengths(number).prompt);
  }

  Attempt main_request(const std::shared_ptr<Agent>& state, std::uint64_t content, std::uint32_t turn) const {
    state->main_turn = turn;
    return request(state, state->context, content, turn);
  }
  Attempt branch_request(const std::shared_ptr<Agent>& state, std::uint64_t content,
                         std::uint32_t turn) const {
    const std::uint64_t number = draw_number(content, turn);
    PromptParts context(state->context.begin(),
                        state->context.begin() + static_cast<std::ptrdiff_t>(state->prefix_parts));
    context.push_back({texts_.text("branches", number),
                       profiles::length_at(agent_.branch_tokens, texts_.uniform("branch_tokens", number)),
                       PromptPart::Role::user});
    return request(state, context, content, turn);
  }
  Attempt request(const std::shared_ptr<Agent>& state, const PromptParts& context, std::uint64_t content,
                  std::uint32_t turn) const {
    const std::uint64_t number = draw_number(content, turn);
    Attempt attempt = attempt_of(state, context, content, turn, tenant_, texts_.lengths(number).output,
                                 texts_.text("prompts", number));
    if (agent_.cancel_share > 0 && texts_.uniform("cancel", number) < agent_.cancel_share)
      attempt.stop_after_tokens = std::max(1, attempt.output_tokens / 2);
    return attempt;
  }

  // The next step, or the next task, or the same step again.
  void go_on(const std::shared_ptr<Agent>& state, std::uint64_t content, bool again,
             std::vector<FollowUp>& follow_ups) const {
    const std::uint32_t turn = state->next_turn;
    if (turn >= most_turns) return;
    const std::uint64_t number = draw_number(content, turn);
    Nanos pause = profiles::time_at(agent_.tool_pause, texts_.uniform("tool_pause", number));
    if (!again) {
      if (++state->step < state->steps) {
        texts_.append_images(number, state->context);
        state->say(texts_.text("tools", number),
                   profiles::length_at(agent_.tool_tokens, texts_.uniform("tool_tokens", number)));
      } else {
        if (!agent_.endless) return;
        pause = profiles::time_at(agent_.period, texts_.uniform("period", number));
        if (!agent_.keeps_context) start_afresh(*state, content, turn);
        begin_task(*state, content, turn);
      }
      const std::int64_t wanted = std::int64_t{sum_of(state->context)} + texts_.lengths(number).output;
      if (agent_.max_context_tokens > 0 && wanted > agent_.max_context_tokens) {
        const std::int32_t steps = state->steps, step = state->step;
        start_afresh(*state, content, turn);
        begin_task(*state, content, turn);
        state->steps = steps;
        state->step = step;
      }
    }
    ++state->next_turn;
    follow_ups.push_back({pause, main_request(state, content, turn)});
  }

  profiles::AgentShape agent_;
  Texts texts_;
  std::uint16_t tenant_;
};

}  // namespace

std::shared_ptr<const RequestSource> make_class_source(const RequestShape& shape, std::uint64_t seed,
                                                       std::uint16_t tenant) {
  if (shape.agent) return std::make_shared<AgentSource>(shape, seed, tenant);
  if (shape.session) return std::make_shared<ChatSource>(shape, seed, tenant);
  return std::make_shared<SingleSource>(shape, seed, tenant);
}

}  // namespace dsbench::loadgen
