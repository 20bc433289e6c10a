#pragma once

#include <string>
#include <string_view>

#include "core/result.h"

namespace dsbench::loadgen {

// A value that must appear nowhere: not in logs, messages, run files, reports or `ps`. It cannot be printed
// or formatted by accident, only revealed by name; its memory is overwritten when it goes.
class Secret {
 public:
  explicit Secret(std::string value) : value_{std::move(value)} {}
  ~Secret();
  Secret(const Secret&) = default;
  Secret(Secret&&) = default;
  Secret& operator=(const Secret&) = default;
  Secret& operator=(Secret&&) = default;

  [[nodiscard]] const std::string& reveal() const { return value_; }

 private:
  std::string value_;
};

// The text with every occurrence of the secret replaced by "[redacted]": for what a server says, which may
// say it back.
[[nodiscard]] std::string redacted(std::string text, const Secret& secret);

// Where a secret comes from, as a user writes it: "file:PATH" (which must be readable by its owner only),
// "fd:N", "command:SHELL COMMAND" (its standard output) or "env:NAME". White space at the end is dropped;
// what is left must be one line of printable ASCII. No message ever contains the value, or the source when it
// might be the value itself.
[[nodiscard]] Result<Secret> read_secret(std::string_view source);

}  // namespace dsbench::loadgen
