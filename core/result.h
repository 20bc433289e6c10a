#pragma once

#include <fmt/format.h>

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace dsbench {

// What the world did to us. What only we can do wrong is an assertion, never one of these.
enum class ErrorKind {
  usage,        // a flag, a profile or a file that cannot be accepted as it stands
  io,           // the file system or a pipe refused
  unreachable,  // the target did not answer, or refused us
  memory,       // what was asked does not fit
  interrupted,  // the user asked us to stop
  internal,     // a dependency failed in a way we have no better word for
};

// The message says what was asked, what was found and what would be accepted.
struct Error {
  ErrorKind kind = ErrorKind::internal;
  std::string message;
};

template <class T>
using Result = tl::expected<T, Error>;

template <class... Args>
[[nodiscard]] tl::unexpected<Error> fail(ErrorKind kind, fmt::format_string<Args...> format, Args&&... args) {
  return tl::unexpected<Error>(Error{kind, fmt::format(format, std::forward<Args>(args)...)});
}

}  // namespace dsbench

// `DSBENCH_TRY(auto x, f());` yields the value, or returns the error from the enclosing function.
#define DSBENCH_TRY_CONCAT2(a, b) a##b
#define DSBENCH_TRY_CONCAT(a, b) DSBENCH_TRY_CONCAT2(a, b)
#define DSBENCH_TRY_IMPL(tmp, decl, expr)                  \
  auto tmp = (expr);                                       \
  if (!tmp) return tl::unexpected(std::move(tmp).error()); \
  decl = std::move(*tmp)
#define DSBENCH_TRY(decl, expr) DSBENCH_TRY_IMPL(DSBENCH_TRY_CONCAT(dsbench_try_, __LINE__), decl, expr)
// The same for a Result<void>.
#define DSBENCH_CHECK_IMPL(tmp, expr) \
  if (auto tmp = (expr); !tmp) return tl::unexpected(std::move(tmp).error())
#define DSBENCH_CHECK(expr) DSBENCH_CHECK_IMPL(DSBENCH_TRY_CONCAT(dsbench_check_, __LINE__), expr)
