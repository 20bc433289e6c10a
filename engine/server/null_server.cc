#include "engine/server/null_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <functional>
#include <queue>
#include <thread>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "core/descriptors.h"
#include "engine/server/null_answer.h"

namespace dsbench::engine::server {
namespace {

constexpr int packets_per_turn = 32;  // of one connection, before the others get theirs
constexpr std::size_t read_bytes = 64u << 10;
constexpr std::size_t most_ahead = 256u << 10;  // that a client may send while it is being answered

struct Connection {
  const NullScript* script = nullptr;  // being answered
  std::int64_t packet = 0;             // the next to send
  std::size_t offset = 0;              // of it that is sent
  Nanos due{0};                        // of a paced stream: when the next packet is
  std::uint64_t number = 0;            // tells this connection from the next with its descriptor
  std::string unread;                  // of a request that is not whole
  bool open = false;
  bool close = false;    // after this answer
  bool waiting = false;  // for room in the socket
  bool queued = false;   // in `more`
  bool continued = false;
};

struct Timer {
  Nanos due{0};
  int fd = -1;
  std::uint64_t number = 0;
  bool operator>(const Timer& other) const { return due > other.due; }
};

}  // namespace

struct NullServer::Impl {
  ~Impl() {
    if (thread.joinable()) {
      const std::uint64_t one = 1;
      (void)!::write(stop_fd, &one, sizeof one);
      thread.join();
    }
    for (std::size_t fd = 0; fd < connections.size(); ++fd) {
      if (connections[fd].open) ::close(static_cast<int>(fd));
    }
    for (const int fd : {listener, stop_fd, epoll}) {
      if (fd >= 0) ::close(fd);
    }
  }

  Result<void> listen(const NullServerConfig& config) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(config.port);
    if (::inet_pton(AF_INET, config.host == "localhost" ? "127.0.0.1" : config.host.c_str(),
                    &address.sin_addr) != 1) {
      return fail(
          ErrorKind::usage,
          "cannot listen on '{}': the null server takes an IPv4 address of this machine, such as 127.0.0.1",
          config.host);
    }
    listener = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    epoll = ::epoll_create1(EPOLL_CLOEXEC);
    stop_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (listener < 0 || epoll < 0 || stop_fd < 0)
      return fail(ErrorKind::internal, "cannot create the null server's descriptors: {}",
                  std::strerror(errno));
    const int on = 1;
    (void)::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    // Inherited by what is accepted.
    (void)::setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener, 65535) != 0) {
      return fail(ErrorKind::usage, "cannot listen on {}:{}: {}", config.host, config.port,
                  std::strerror(errno));
    }
    socklen_t size = sizeof address;
    if (::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0)
      return fail(ErrorKind::internal, "cannot ask for the null server's port: {}", std::strerror(errno));
    port = ntohs(address.sin_port);
    spin = config.spin;
    host = config.host == "localhost" ? "127.0.0.1" : config.host;
    watch(listener, EPOLLIN, EPOLL_CTL_ADD);
    watch(stop_fd, EPOLLIN, EPOLL_CTL_ADD);
    return {};
  }

  void run(std::optional<int> core) {
    thread = std::thread{[this, core] {
      (void)::prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
      if (core) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(static_cast<std::size_t>(*core), &set);
        (void)::sched_setaffinity(0, sizeof set, &set);
      }
      loop();
    }};
    (void)::pthread_getcpuclockid(thread.native_handle(), &cpu_clock);
  }

  void watch(int fd, std::uint32_t events, int operation) const {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    (void)::epoll_ctl(epoll, operation, fd, &event);
  }

  void loop() {
    std::array<epoll_event, 512> ready;
    for (;;) {
      const int n = wait(ready);
      for (int i = 0; i < n; ++i) {
        const int fd = ready[static_cast<std::size_t>(i)].data.fd;
        if (fd == stop_fd) return;
        if (fd == listener) {
          accept_all();
        } else if (!connections[static_cast<std::size_t>(fd)].open) {
          continue;  // closed in this very turn
        } else if (connections[static_cast<std::size_t>(fd)].waiting) {
          set_waiting(fd, false);
          answer(fd);
        } else {
          receive(fd);
        }
      }
      fire_timers();
      turn.swap(more);
      for (const auto& [fd, number] : turn) {
        Connection& c = connections[static_cast<std::size_t>(fd)];
        if (!c.open || c.number != number) continue;
        c.queued = false;
        if (c.script != nullptr) {
          answer(fd);
        } else {
          take_kept(fd);
        }
      }
      turn.clear();
    }
  }

  int wait(std::array<epoll_event, 512>& ready) {
    timespec limit{};
    const timespec* until = nullptr;
    if (!more.empty()) {
      until = &limit;
    } else if (!timers.empty()) {
      const std::int64_t left = std::max<std::int64_t>((timers.top().due - clock.now()).count(), 0);
      limit.tv_sec = static_cast<time_t>(left / 1'000'000'000);
      limit.tv_nsec = static_cast<long>(left % 1'000'000'000);
      until = &limit;
    }
    if (until == nullptr && spin > Nanos{0}) {
      constexpr timespec at_once{};
      const Nanos since = clock.now();
      do {
        const int n = ::epoll_pwait2(epoll, ready.data(), static_cast<int>(ready.size()), &at_once, nullptr);
        if (n != 0) return n;
      } while (clock.now() - since < spin);
    }
    return ::epoll_pwait2(epoll, ready.data(), static_cast<int>(ready.size()), until, nullptr);
  }

  void fire_timers() {
    if (timers.empty()) return;
    const Nanos now = clock.now();
    while (!timers.empty() && timers.top().due <= now) {
      const Timer timer = timers.top();
      timers.pop();
      const Connection& c = connections[static_cast<std::size_t>(timer.fd)];
      if (c.open && c.number == timer.number) answer(timer.fd);
    }
  }

  void accept_all() {
    for (;;) {
      const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE) {  // until one closes
          watch(listener, 0, EPOLL_CTL_MOD);
          full = true;
        }
        if (errno == EINTR || errno == ECONNABORTED) continue;
        return;
      }
      if (connections.size() <= static_cast<std::size_t>(fd))
        connections.resize(static_cast<std::size_t>(fd) + 1);
      Connection& c = connections[static_cast<std::size_t>(fd)];
      c = Connection{};
      c.open = true;
      c.number = ++last_number;
      watch(fd, EPOLLIN, EPOLL_CTL_ADD);
    }
  }

  void close(int fd) {
    Connection& c = connections[static_cast<std::size_t>(fd)];
    c.open = false;
    c.unread = {};
    ::close(fd);
    if (std::exchange(full, false)) watch(listener, EPOLLIN, EPOLL_CTL_MOD);
  }

  void set_waiting(int fd, bool waiting) {
    connections[static_cast<std::size_t>(fd)].waiting = waiting;
    watch(fd, waiting ? EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD);
  }

  void receive(int fd) {
    const ssize_t n = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (n <= 0) {
      if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
      return close(fd);
    }
    Connection& c = connections[static_cast<std::size_t>(fd)];
    const std::string_view got{buffer.data(), static_cast<std::size_t>(n)};
    if (c.script != nullptr) {
      c.unread += got;
      if (c.unread.size() > most_ahead) close(fd);
    } else if (!c.unread.empty()) {
      c.unread += got;
      take_kept(fd);
    } else {
      const std::size_t used = begin(fd, got);
      if (c.open && used < got.size()) c.unread = got.substr(used);
      if (c.open && c.script != nullptr) answer(fd);
    }
  }

  // The next request out of what was kept.
  void take_kept(int fd) {
    Connection& c = connections[static_cast<std::size_t>(fd)];
    const std::size_t used = begin(fd, c.unread);
    if (!c.open) return;
    c.unread.erase(0, used);
    if (c.script != nullptr) answer(fd);
  }

  // Starts on the request at the beginning of `bytes`; returns its size, 0 if it is not whole.
  std::size_t begin(int fd, std::string_view bytes) {
    Connection& c = connections[static_cast<std::size_t>(fd)];
    const NullRequest request = read_null_request(bytes);
    switch (request.state) {
      case NullRequest::State::malformed:
        close(fd);
        return 0;
      case NullRequest::State::incomplete:
        if (request.expects_continue && !std::exchange(c.continued, true)) {
          constexpr std::string_view word = "HTTP/1.1 100 Continue\r\n\r\n";
          (void)::send(fd, word.data(), word.size(), MSG_NOSIGNAL);
        }
        return 0;
      case NullRequest::State::whole:
        break;
    }
    c.script = &scripts.of(choose_null_answer(request.target, request.body));
    c.packet = 0;
    c.offset = 0;
    c.close = request.close;
    c.continued = false;
    c.due = Nanos{0};
    if (c.script->interval > Nanos{0}) c.due = clock.now();
    return request.size;
  }

  void later(int fd, Connection& c) {
    if (!std::exchange(c.queued, true)) more.emplace_back(fd, c.number);
  }

  // Sends what is due, up to a turn's share.
  void answer(int fd) {
    Connection& c = connections[static_cast<std::size_t>(fd)];
    for (int sent = 0; c.open && c.script != nullptr && !c.waiting; ++sent) {
      if (sent == packets_per_turn) {
        later(fd, c);
        return;
      }
      const std::string_view packet = c.script->packet(c.packet).substr(c.offset);
      const ssize_t n = ::send(fd, packet.data(), packet.size(), MSG_NOSIGNAL);
      if (n < 0 && errno == EAGAIN) return set_waiting(fd, true);
      if (n < 0) return close(fd);
      c.offset += static_cast<std::size_t>(n);
      if (static_cast<std::size_t>(n) < packet.size()) return set_waiting(fd, true);
      c.offset = 0;
      if (++c.packet == c.script->packets) {
        c.script = nullptr;
        if (c.close) return close(fd);
        if (!c.unread.empty()) later(fd, c);
        return;
      }
      if (c.script->interval > Nanos{0}) {
        c.due += c.script->interval;
        if (c.due > clock.now()) {
          timers.push({c.due, fd, c.number});
          return;
        }
      }
    }
  }

  std::string host;
  std::uint16_t port = 0;
  SteadyClock clock;
  Nanos spin{0};
  NullScripts scripts;
  int listener = -1, epoll = -1, stop_fd = -1;
  bool full = false;                    // no descriptor was left
  std::vector<Connection> connections;  // by descriptor
  std::uint64_t last_number = 0;
  std::vector<std::pair<int, std::uint64_t>> more, turn;  // have more to send, and room for it
  std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers;
  std::array<char, read_bytes> buffer;
  clockid_t cpu_clock{};
  std::thread thread;
};

NullServer::NullServer(std::unique_ptr<Impl> impl) : impl_{std::move(impl)} {}
NullServer::~NullServer() = default;

Result<std::unique_ptr<NullServer>> NullServer::start(const NullServerConfig& config) {
  auto impl = std::make_unique<Impl>();
  DSBENCH_CHECK(impl->listen(config));
  reserve_descriptors(kLargestTable);
  impl->run(config.core);
  return std::unique_ptr<NullServer>{new NullServer{std::move(impl)}};
}

std::uint16_t NullServer::port() const {
  return impl_->port;
}

std::string NullServer::url() const {
  return fmt::format("http://{}:{}", impl_->host, impl_->port);
}

Nanos NullServer::cpu_time() const {
  timespec t{};
  if (::clock_gettime(impl_->cpu_clock, &t) != 0) return Nanos{0};
  return Nanos{std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec};
}

}  // namespace dsbench::engine::server
