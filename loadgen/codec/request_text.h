#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "loadgen/codec/body.h"
#include "loadgen/target.h"

// How request bodies are written: without a JSON library, because nothing in them but names from the command
// line could need an escape.
namespace dsbench::loadgen {

class PromptCache;

// As a JSON string, quotes and all; bytes that are not UTF-8 are replaced.
[[nodiscard]] std::string json_quoted(std::string_view text);
// As one segment of a URL's path.
[[nodiscard]] std::string url_segment(std::string_view text);

void append_number(std::string& out, std::int64_t n);

// How an API writes an image in a message's content.
enum class ImageForm : std::uint8_t {
  chat,       // {"type":"image_url","image_url":{"url":"data:…","detail":"auto"}}
  responses,  // {"type":"input_image","image_url":"data:…","detail":"auto"}
  anthropic,  // {"type":"image","source":{"type":"base64","media_type":"image/png","data":"…"}}: has no
              // detail
};

struct MessageForm {
  std::size_t first = 0;                    // part to begin with
  std::string_view system_role = "system";  // what a part of Role::system is called
  ImageForm images = ImageForm::chat;
};

// The parts of a prompt; without any, the whole prompt is the user's. Lives no longer than the attempt.
class Prompt {
 public:
  explicit Prompt(const Attempt& attempt);
  [[nodiscard]] std::span<const PromptPart> parts() const { return parts_; }
  // The text of the first `count` parts (all), one after another.
  void append_text(PromptCache& cache, Body& body, std::size_t count = std::size_t(-1)) const;
  // {"role":"user","content":"…"},… without brackets. Parts of one role one after another are one message;
  // one with an image has an array of parts for its content.
  void append_messages(PromptCache& cache, Body& body, const MessageForm& form = {}) const;

 private:
  PromptPart whole_;
  std::span<const PromptPart> parts_;
};

// 31 bits of the prompt's seed: every server's integer holds them.
[[nodiscard]] constexpr std::int64_t seed_of(const Attempt& attempt) {
  return static_cast<std::int64_t>(attempt.prompt_seed & 0x7FFF'FFFF);
}

}  // namespace dsbench::loadgen
