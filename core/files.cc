#include "core/files.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace dsbench {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_{fd} {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }
  // Closing can report a write that failed late.
  [[nodiscard]] bool close() {
    const int fd = fd_;
    fd_ = -1;
    return ::close(fd) == 0;
  }

 private:
  int fd_;
};

bool write_all(int fd, std::string_view content) {
  while (!content.empty()) {
    const ssize_t n = ::write(fd, content.data(), content.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return false;
    }
    content.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

}  // namespace

Result<std::string> read_file(const std::filesystem::path& path) {
  std::error_code ec;
  if (std::filesystem::is_directory(path, ec)) {
    return fail(ErrorKind::io, "cannot read '{}': it is a directory, a file was expected", path.string());
  }
  const auto cannot = [&] {
    return fail(ErrorKind::io, "cannot read '{}': {}", path.string(), std::strerror(errno));
  };
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.get() < 0) return cannot();
  std::string content;
  std::array<char, std::size_t{1} << 16> piece;
  for (;;) {
    const ssize_t n = ::read(file.get(), piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return cannot();
    if (n == 0) return content;
    content.append(piece.data(), static_cast<std::size_t>(n));
  }
}

Result<void> write_file_atomically(const std::filesystem::path& path, std::string_view content) {
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  const std::filesystem::path temporary = path.string() + ".tmp." + std::to_string(::getpid());
  const auto give_up = [&](const char* what) {
    const int code = errno;
    ::unlink(temporary.c_str());
    return fail(ErrorKind::io, "cannot write '{}': {} failed: {}", path.string(), what, std::strerror(code));
  };
  Descriptor file{::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
  if (file.get() < 0)
    return fail(ErrorKind::io, "cannot write '{}': {}", path.string(), std::strerror(errno));
  if (!write_all(file.get(), content)) return give_up("write");
  if (::fsync(file.get()) != 0) return give_up("sync");
  if (!file.close()) return give_up("close");
  if (::rename(temporary.c_str(), path.c_str()) != 0) return give_up("rename");
  const Descriptor dir{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (dir.get() >= 0)
    ::fsync(dir.get());  // some file systems refuse to sync a directory; the rename stands anyway
  return {};
}

}  // namespace dsbench
