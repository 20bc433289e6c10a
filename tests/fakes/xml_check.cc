#include "tests/fakes/xml_check.h"

#include <fmt/format.h>

#include <set>
#include <vector>

namespace dsbench::tests {
namespace {

bool name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == ':' ||
         c == '_';
}

class Checker {
 public:
  explicit Checker(std::string_view text) : text_{text} {}

  std::string run() {
    if (text_.starts_with("<!DOCTYPE html>")) at_ = 15;
    while (at_ < text_.size() && wrong_.empty()) {
      if (text_[at_] == '<') {
        text_[at_ + 1] == '/' ? close() : open();
      } else {
        character();
      }
    }
    if (wrong_.empty() && !stack_.empty()) complain(fmt::format("<{}> is never closed", stack_.back()));
    return wrong_;
  }

 private:
  void complain(const std::string& what) {
    if (wrong_.empty())
      wrong_ = fmt::format("{} at {}: {}", what, at_, text_.substr(at_ < 60 ? 0 : at_ - 60, 120));
  }

  void character() {
    if (text_[at_] == '>') complain("a bare >");
    if (text_[at_] == '&') {
      const std::string_view rest = text_.substr(at_, text_.substr(at_).find(';') + 1);
      static const std::set<std::string_view> known{"&amp;", "&lt;", "&gt;", "&quot;", "&#39;", "&#160;"};
      if (!known.contains(rest)) complain("an unknown entity");
    }
    if (static_cast<unsigned char>(text_[at_]) < 0x20 && text_[at_] != '\n' && text_[at_] != '\t')
      complain("a control character");
    ++at_;
  }

  std::string_view name() {
    const std::size_t from = at_;
    while (at_ < text_.size() && name_char(text_[at_])) ++at_;
    if (at_ == from) complain("a name was expected");
    return text_.substr(from, at_ - from);
  }

  void open() {
    ++at_;
    const std::string_view element = name();
    std::set<std::string_view> seen;
    while (wrong_.empty() && at_ < text_.size() && text_[at_] == ' ') {
      ++at_;
      const std::string_view attribute = name();
      if (!seen.insert(attribute).second) complain("an attribute twice");
      if (text_.substr(at_, 2) != "=\"") return complain("an attribute without quotes");
      at_ += 2;
      const std::size_t from = at_;
      while (at_ < text_.size() && text_[at_] != '"' && wrong_.empty()) {
        if (text_[at_] == '<') complain("< in an attribute");
        character();
      }
      if (attribute == "id" && !ids_.insert(text_.substr(from, at_ - from)).second) complain("an id twice");
      ++at_;
    }
    if (text_.substr(at_, 2) == "/>") {
      at_ += 2;
      return;
    }
    if (text_.substr(at_, 1) != ">") return complain("> was expected");
    ++at_;
    stack_.push_back(element);
    if (element == "script" || element == "style") {
      const std::size_t end = text_.find(fmt::format("</{}>", element), at_);
      if (end == std::string_view::npos) return complain("raw text without an end");
      at_ = end;
    }
  }

  void close() {
    at_ += 2;
    const std::string_view element = name();
    if (stack_.empty() || stack_.back() != element)
      return complain(fmt::format("</{}> closes nothing", element));
    stack_.pop_back();
    if (text_.substr(at_, 1) != ">") return complain("> was expected");
    ++at_;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::vector<std::string_view> stack_;
  std::set<std::string_view> ids_;
  std::string wrong_;
};

}  // namespace

std::string xml_complaint(std::string_view text) {
  return Checker(text).run();
}

}  // namespace dsbench::tests
