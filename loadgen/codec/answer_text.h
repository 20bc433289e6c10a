#pragma once

#include <string>

namespace dsbench::loadgen {

// What an answer says, without its frame: kept where its tokens are to be counted by a tokenizer of ours.
// What is thought before the answer stands apart, because no token reaches from one into the other.
struct AnswerText {
  std::string answer, reasoning;

  [[nodiscard]] bool empty() const { return answer.empty() && reasoning.empty(); }
  void clear() {
    answer.clear();
    reasoning.clear();
  }
};

// Where a scanner is to keep what it finds; nowhere when nothing is to be kept.
[[nodiscard]] inline std::string* answer_of(AnswerText* text) {
  return text == nullptr ? nullptr : &text->answer;
}
[[nodiscard]] inline std::string* reasoning_of(AnswerText* text) {
  return text == nullptr ? nullptr : &text->reasoning;
}

}  // namespace dsbench::loadgen
