#include "cli/control_socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

namespace dsbench::cli {
namespace {

constexpr std::size_t most_clients = 16;
constexpr std::size_t longest_line = 4096;

class UnixSocket final : public ControlSocket {
 public:
  UnixSocket(std::string path, std::function<std::string(std::string_view)> answer)
      : path_{std::move(path)}, answer_{std::move(answer)} {}

  ~UnixSocket() override {
    if (thread_.joinable()) {
      const std::uint64_t one = 1;
      (void)!::write(quit_, &one, sizeof one);
      thread_.join();
    }
    for (const Client& c : clients_) ::close(c.fd);
    if (listener_ >= 0) {
      ::close(listener_);
      if (bound_) ::unlink(path_.c_str());
    }
    if (quit_ >= 0) ::close(quit_);
  }

  Result<void> start() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path_.empty() || path_.size() >= sizeof address.sun_path) {
      return fail(ErrorKind::usage, "the control socket's path '{}' has {} characters; accepted are 1 to {}",
                  path_, path_.size(), sizeof address.sun_path - 1);
    }
    std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
    struct stat found {};
    if (::lstat(path_.c_str(), &found) == 0) {
      if (!S_ISSOCK(found.st_mode))
        return fail(ErrorKind::usage,
                    "the control socket's path '{}' exists and is no socket; give a new path", path_);
      const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      const bool alive = ::connect(probe, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
      ::close(probe);
      if (alive)
        return fail(ErrorKind::usage, "somebody listens at the control socket '{}' already; give a new path",
                    path_);
      ::unlink(path_.c_str());
    }
    listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    quit_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    const mode_t mask = ::umask(0177);
    bound_ = ::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    const int bind_error = errno;
    ::umask(mask);
    if (!bound_ || ::listen(listener_, 8) != 0 || quit_ < 0) {
      return fail(ErrorKind::io, "cannot listen at the control socket '{}': {}", path_,
                  std::strerror(bound_ ? errno : bind_error));
    }
    thread_ = std::thread{[this] { run(); }};
    return {};
  }

 private:
  struct Client {
    int fd = -1;
    std::string line;
  };

  void run() {
    std::vector<pollfd> waits;
    for (;;) {
      waits.assign({{quit_, POLLIN, 0}, {listener_, POLLIN, 0}});
      for (const Client& c : clients_) waits.push_back({c.fd, POLLIN, 0});
      if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) return;
      if (waits[0].revents != 0) return;
      const std::size_t known = clients_.size();
      if (waits[1].revents != 0) {
        const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0 && clients_.size() < most_clients) {
          clients_.push_back({fd, ""});
        } else if (fd >= 0) {
          ::close(fd);
        }
      }
      for (std::size_t i = 0; i < known; ++i) {
        if (waits[i + 2].revents != 0 && !serve(clients_[i])) {
          ::close(clients_[i].fd);
          clients_[i].fd = -1;
        }
      }
      std::erase_if(clients_, [](const Client& c) { return c.fd < 0; });
    }
  }

  // False: the client has gone.
  bool serve(Client& client) {
    char bytes[1024];
    const ssize_t n = ::recv(client.fd, bytes, sizeof bytes, 0);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (n == 0) return false;
    client.line.append(bytes, static_cast<std::size_t>(n));
    for (std::size_t end = client.line.find('\n'); end != std::string::npos; end = client.line.find('\n')) {
      std::string_view line{client.line.data(), end};
      if (line.ends_with('\r')) line.remove_suffix(1);
      const std::string reply = answer_(line) + "\n";
      if (::send(client.fd, reply.data(), reply.size(), MSG_NOSIGNAL) < 0) return false;
      client.line.erase(0, end + 1);
    }
    return client.line.size() <= longest_line;
  }

  std::string path_;
  std::function<std::string(std::string_view)> answer_;
  int listener_ = -1, quit_ = -1;
  bool bound_ = false;
  std::vector<Client> clients_;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<ControlSocket>> ControlSocket::open(
    const std::string& path, std::function<std::string(std::string_view)> answer) {
  auto socket = std::make_unique<UnixSocket>(path, std::move(answer));
  DSBENCH_CHECK(socket->start());
  return socket;
}

}  // namespace dsbench::cli
