#include "loadgen/codec/chunk_scanner.h"

#include "loadgen/codec/json_scanner.h"

namespace dsbench::loadgen {
namespace {

class ChunkScan {
 public:
  // `holder` is the key of a choice that has the content: "delta" or "message".
  ChunkScan(std::string_view json, std::string_view holder, AnswerText* keep)
      : scan_{json}, holder_{holder}, answer_text_{answer_of(keep)}, reasoning_text_{reasoning_of(keep)} {}

  std::optional<ChunkFacts> run() {
    if (!scan_.document([this](const JsonString& key) { return root_member(key); })) return std::nullopt;
    return facts_;
  }

 private:
  bool root_member(const JsonString& key) {
    if (key.is("choices")) {
      return scan_.array([this] {
        answer_ = reasoning_ = false;
        if (!scan_.object([this](const JsonString& k) { return choice_member(k); })) return false;
        if (answer_) {
          ++facts_.answers;
        } else if (reasoning_) {
          ++facts_.reasonings;
        }
        return true;
      });
    }
    if (key.is("usage")) return scan_.object([this](const JsonString& k) { return usage_member(k); });
    if (key.is("error")) return scan_.present(facts_.is_error);
    if (key.is("object")) {
      std::optional<JsonString> word;
      if (!scan_.string(word)) return false;
      if (word && word->is("error")) facts_.is_error = true;
      return true;
    }
    return scan_.skip();
  }

  bool usage_member(const JsonString& key) {
    ReplyReader::Usage& u = facts_.usage;
    if (key.is("prompt_tokens")) return scan_.count(u.prompt_tokens);
    if (key.is("completion_tokens")) return scan_.count(u.output_tokens);
    if (key.is("prompt_cache_hit_tokens")) return scan_.count(u.cached_prompt_tokens);  // DeepSeek
    if (key.is("prompt_tokens_details")) {
      return scan_.object([this, &u](const JsonString& k) {
        return k.is("cached_tokens") ? scan_.count(u.cached_prompt_tokens) : scan_.skip();
      });
    }
    if (key.is("completion_tokens_details")) {
      return scan_.object([this, &u](const JsonString& k) {
        return k.is("reasoning_tokens") ? scan_.count(u.reasoning_tokens) : scan_.skip();
      });
    }
    return scan_.skip();
  }

  bool choice_member(const JsonString& key) {
    if (key.is(holder_)) return scan_.object([this](const JsonString& k) { return content_member(k); });
    if (key.is("text")) return scan_.text(answer_, answer_text_);
    if (key.is("finish_reason")) {
      std::optional<JsonString> word;
      if (!scan_.string(word)) return false;
      if (!word) return true;
      facts_.has_finish_reason = true;
      if (word->is("insufficient_system_resource")) facts_.insufficient_resource = true;
      if (word->is("abort") || word->is("error")) facts_.is_error = true;
      return true;
    }
    return scan_.skip();
  }

  bool content_member(const JsonString& key) {
    if (key.is("content") || key.is("refusal")) return scan_.text(answer_, answer_text_);
    // "reasoning" is what vLLM calls "reasoning_content" of late.
    if (key.is("reasoning_content") || key.is("reasoning")) return scan_.text(reasoning_, reasoning_text_);
    if (key.is("tool_calls")) {
      return scan_.array([this] {
        return scan_.object(
            [this](const JsonString& k) { return k.is("function") ? function() : scan_.skip(); });
      });
    }
    if (key.is("function_call")) return function();
    return scan_.skip();
  }

  // The name and the arguments of a call are generated tokens like any others.
  bool function() {
    return scan_.object([this](const JsonString& key) {
      return key.is("name") || key.is("arguments") ? scan_.text(answer_, answer_text_) : scan_.skip();
    });
  }

  JsonScanner scan_;
  std::string_view holder_;
  std::string *answer_text_, *reasoning_text_;
  bool answer_ = false, reasoning_ = false;  // of the choice that is being read
  ChunkFacts facts_;
};

}  // namespace

std::optional<ChunkFacts> scan_chunk(std::string_view json, AnswerText* keep) {
  return ChunkScan{json, "delta", keep}.run();
}

std::optional<ChunkFacts> scan_answer(std::string_view json, AnswerText* keep) {
  return ChunkScan{json, "message", keep}.run();
}

}  // namespace dsbench::loadgen
