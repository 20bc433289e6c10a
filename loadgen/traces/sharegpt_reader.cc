#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "core/rng.h"
#include "loadgen/traces/field_parsers.h"
#include "loadgen/traces/trace_reader.h"

// ShareGPT: conversations as text, without times. Every answer is a request whose prompt is all that was said
// before it. Tokens are estimated from bytes. Blocks of the text are hashed, each with all before it, so that
// a conversation's turns share their prefix here as they did there.
namespace dsbench::loadgen {
namespace {

using Json = nlohmann::json;

constexpr std::size_t block_bytes = std::size_t{sharegpt_block_tokens} * estimated_bytes_per_token;

enum class Speaker { user, model, system, other };

Speaker speaker_of(const std::string& word) {
  for (const std::string_view w : {"human", "user"})
    if (word == w) return Speaker::user;
  for (const std::string_view w : {"gpt", "assistant", "chatgpt", "bing", "bard", "claude", "model"})
    if (word == w) return Speaker::model;
  return word == "system" ? Speaker::system : Speaker::other;
}

std::int32_t estimate(std::size_t bytes) {
  const std::size_t tokens = (bytes + estimated_bytes_per_token - 1) / estimated_bytes_per_token;
  return static_cast<std::int32_t>(std::min<std::size_t>(tokens, most_trace_tokens));
}

const Json* first_of(const Json& object, std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    const auto it = object.find(key);
    if (it != object.end() && !it->is_null()) return &*it;
  }
  return nullptr;
}

// What has been said, as the hashes of its blocks.
class Transcript {
 public:
  void add(std::string_view text) {
    bytes_ += text.size();
    while (!text.empty()) {
      const std::size_t n = std::min(text.size(), block_bytes - pending_.size());
      pending_.append(text.substr(0, n));
      text.remove_prefix(n);
      if (pending_.size() == block_bytes) {
        chain_ = derive_seed(chain_, pending_);
        hashes_.push_back(chain_);
        pending_.clear();
      }
    }
  }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] std::vector<std::uint64_t> hashes() const {
    std::vector<std::uint64_t> all = hashes_;
    if (!pending_.empty()) all.push_back(derive_seed(chain_, pending_));
    return all;
  }

 private:
  std::size_t bytes_ = 0;
  std::string pending_;
  std::uint64_t chain_ = 0;
  std::vector<std::uint64_t> hashes_;
};

// A string; the texts of OpenAI's parts; nothing at all (a turn that only calls tools).
Result<std::string> text_of(const Json* what) {
  if (what == nullptr || what->is_null()) return std::string{};
  if (what->is_string()) return what->get<std::string>();
  std::string text;
  if (what->is_array()) {
    for (const Json& part : *what) {
      const Json* words = part.is_object() ? first_of(part, {"text"}) : nullptr;
      if (words != nullptr && words->is_string()) text += words->get_ref<const std::string&>();
    }
    return text;
  }
  return fail(ErrorKind::usage, "a turn's 'value' (or 'content') is {}; accepted: a string",
              what->dump().substr(0, 40));
}

class ShareGptReader final : public TraceReader {
 public:
  Result<void> read(std::string_view record, const TraceSink& sink) override {
    const Json object = Json::parse(record, nullptr, false);
    if (object.is_discarded()) return fail(ErrorKind::usage, "no JSON: '{}'", record.substr(0, 60));
    if (!object.is_object()) return fail(ErrorKind::usage, "no JSON object: '{}'", record.substr(0, 60));
    const Json* turns = first_of(object, {"conversations", "conversation", "messages", "items"});
    if (turns == nullptr || !turns->is_array())
      return fail(ErrorKind::usage, "no array 'conversations' (or 'conversation', 'messages', 'items')");
    ++conversations_;
    std::string session = fmt::format("#{}", conversations_);
    if (const Json* id = first_of(object, {"id", "conversation_id"}); id != nullptr)
      session = id->is_string() ? id->get<std::string>() : id->dump();
    Transcript said;
    std::vector<TraceRequest> requests;
    bool asked = false;
    for (const Json& turn : *turns) {
      const Json* who = turn.is_object() ? first_of(turn, {"from", "role"}) : nullptr;
      const Json* what = turn.is_object() ? first_of(turn, {"value", "content", "text"}) : nullptr;
      if (who == nullptr || !who->is_string())
        return fail(ErrorKind::usage, "a turn without 'from' (or 'role') as a string");
      const Speaker speaker = speaker_of(who->get_ref<const std::string&>());
      DSBENCH_TRY(const std::string text, text_of(what));
      if (speaker == Speaker::model && asked && !text.empty()) {
        TraceRequest request;
        request.session = session;
        request.input_tokens = std::max(estimate(said.bytes()), 1);
        request.output_tokens = std::max(estimate(text.size()), 1);
        request.prefix_hashes = said.hashes();
        requests.push_back(std::move(request));
      }
      asked = asked || speaker == Speaker::user;
      said.add(text);
    }
    if (requests.empty()) ++skipped_;
    for (const TraceRequest& request : requests) sink(request);
    return {};
  }
  [[nodiscard]] std::uint64_t skipped() const override { return skipped_; }

 private:
  std::uint64_t conversations_ = 0, skipped_ = 0;
};

}  // namespace

std::unique_ptr<TraceReader> make_sharegpt_reader() {
  return std::make_unique<ShareGptReader>();
}

}  // namespace dsbench::loadgen
