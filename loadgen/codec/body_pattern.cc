#include "loadgen/codec/body_pattern.h"

#include <boost/regex.hpp>
#include <stdexcept>

namespace dsbench::loadgen {

BodySearch::BodySearch(std::string_view wanted) : wanted_{wanted}, fallback_(wanted.size(), 0) {
  for (std::size_t i = 1, k = 0; i < wanted_.size(); ++i) {
    while (k > 0 && wanted_[i] != wanted_[k]) k = fallback_[k - 1];
    if (wanted_[i] == wanted_[k]) ++k;
    fallback_[i] = k;
  }
}

void BodySearch::feed(std::string_view bytes) {
  for (const char c : bytes) {
    if (found()) return;
    while (matched_ > 0 && c != wanted_[matched_]) matched_ = fallback_[matched_ - 1];
    if (c == wanted_[matched_]) ++matched_;
  }
}

struct BodyPattern::Impl {
  boost::regex regex;
};

Result<BodyPattern> BodyPattern::compile(const std::string& expression) {
  try {
    BodyPattern pattern;
    pattern.impl_ = std::make_shared<const Impl>(Impl{boost::regex{expression, boost::regex::perl}});
    return pattern;
  } catch (const boost::regex_error& e) {
    return fail(ErrorKind::usage, "'{}' is no regular expression: {}", expression, e.what());
  }
}

bool BodyPattern::matches(std::string_view text) const {
  try {
    return boost::regex_search(text.begin(), text.end(), impl_->regex);
  } catch (const std::runtime_error&) {  // Boost gives up on what would take exponential time
    return false;
  }
}

}  // namespace dsbench::loadgen
