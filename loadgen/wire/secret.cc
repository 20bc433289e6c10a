#include "loadgen/wire/secret.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace dsbench::loadgen {
namespace {

constexpr std::size_t longest = 64 * 1024;
constexpr std::string_view accepted = "file:PATH, fd:N, command:SHELL COMMAND or env:NAME";

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_{fd} {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

Result<std::string> read_all(int fd, std::string_view what) {
  std::string text;
  std::array<char, 4096> piece{};
  for (;;) {
    const ssize_t n = ::read(fd, piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(ErrorKind::io, "cannot read the secret from {}: {}", what, std::strerror(errno));
    if (n == 0) return text;
    text.append(piece.data(), static_cast<std::size_t>(n));
    if (text.size() > longest) {
      return fail(ErrorKind::usage, "the secret from {} is longer than {} bytes; one short line is accepted",
                  what, longest);
    }
  }
}

Result<std::string> from_file(const std::string& path) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.get() < 0) {
    return fail(ErrorKind::usage, "cannot read the secret from the file {}: {}", path, std::strerror(errno));
  }
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) {
    return fail(ErrorKind::io, "cannot read the secret from the file {}: {}", path, std::strerror(errno));
  }
  if ((info.st_mode & 077) != 0) {
    return fail(ErrorKind::usage,
                "the secret file {} may be read by others (mode {:04o}); only its owner may: chmod 600 {}",
                path, info.st_mode & 07777, path);
  }
  return read_all(file.get(), "the file " + path);
}

Result<std::string> from_descriptor(std::string_view number) {
  int fd = -1;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), fd);
  if (error != std::errc{} || end != number.data() + number.size() || fd < 0) {
    return fail(ErrorKind::usage, "a secret was asked from a descriptor that is no number; as in fd:3");
  }
  return read_all(fd, fmt::format("descriptor {}", fd));
}

Result<std::string> from_command(const std::string& command) {
  struct Close {
    void operator()(std::FILE* f) const noexcept { ::pclose(f); }
  };
  std::unique_ptr<std::FILE, Close> pipe{::popen(command.c_str(), "re")};
  if (!pipe)
    return fail(ErrorKind::io, "cannot run the command that gives the secret: {}", std::strerror(errno));
  auto text = read_all(::fileno(pipe.get()), "the command");
  const int status = ::pclose(pipe.release());
  if (!text) return text;
  if (status != 0) {
    const std::string how = WIFEXITED(status) ? fmt::format("exit code {}", WEXITSTATUS(status)) : "a signal";
    return fail(ErrorKind::usage, "the command that should give the secret ended with {}; 0 is accepted",
                how);
  }
  return text;
}

Result<std::string> from_environment(const std::string& name) {
  const char* const value = std::getenv(name.c_str());
  if (value == nullptr) {
    return fail(ErrorKind::usage, "a secret was asked from the environment variable {}, which is not set",
                name);
  }
  return std::string{value};
}

}  // namespace

Secret::~Secret() {
  volatile char* const bytes = value_.data();
  for (std::size_t i = 0; i < value_.size(); ++i) bytes[i] = 0;
}

Result<Secret> read_secret(std::string_view source) {
  const auto after = [&](std::string_view prefix) -> std::string {
    return std::string{source.substr(prefix.size())};
  };
  Result<std::string> text =
      fail(ErrorKind::usage,
           "a secret's source is none that is known; accepted are {}; the secret itself is never "
           "taken from the command line",
           accepted);
  if (source.starts_with("file:")) text = from_file(after("file:"));
  if (source.starts_with("fd:")) text = from_descriptor(source.substr(3));
  if (source.starts_with("command:")) text = from_command(after("command:"));
  if (source.starts_with("env:")) text = from_environment(after("env:"));
  if (!text) return tl::unexpected(std::move(text).error());
  const std::size_t last = text->find_last_not_of(" \t\r\n");
  text->resize(last == std::string::npos ? 0 : last + 1);
  if (text->empty()) return fail(ErrorKind::usage, "the secret's source gave nothing; one line is accepted");
  // A line break would let it write headers of its own.
  if (!std::all_of(text->begin(), text->end(), [](char c) { return c > ' ' && c < 0x7F; })) {
    return fail(
        ErrorKind::usage,
        "the secret holds characters other than printable ASCII; one line without spaces is accepted");
  }
  return Secret{std::move(*text)};
}

std::string redacted(std::string text, const Secret& secret) {
  const std::string& value = secret.reveal();
  if (value.empty()) return text;
  constexpr std::string_view instead = "[redacted]";
  for (std::size_t at = text.find(value); at != std::string::npos; at = text.find(value, at + instead.size()))
    text.replace(at, value.size(), instead);
  return text;
}

}  // namespace dsbench::loadgen
