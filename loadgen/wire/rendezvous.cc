#include "loadgen/wire/rendezvous.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "core/text.h"

namespace dsbench::loadgen {
namespace {

constexpr int pings = 16;
constexpr std::size_t longest_line = 256;
constexpr Nanos glance{100'000'000};
constexpr Nanos answer_within{10'000'000'000};  // one line of somebody who is there
constexpr std::string_view greeting = "dsbench-rendezvous/1";

// A descriptor that closes itself, and the lines that came through it.
class Line {
 public:
  explicit Line(int descriptor = -1) : descriptor_{descriptor} {}
  Line(Line&& other) noexcept
      : descriptor_{std::exchange(other.descriptor_, -1)}, buffer_{std::move(other.buffer_)} {}
  Line& operator=(Line&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    std::swap(buffer_, other.buffer_);
    return *this;
  }
  ~Line() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  [[nodiscard]] int descriptor() const { return descriptor_; }
  [[nodiscard]] bool open() const { return descriptor_ >= 0; }

  // The next line without its end. `who` is for the message.
  Result<std::string> read(Nanos within, const std::atomic<bool>& stop, std::string_view who) {
    const SteadyClock clock;
    const Nanos deadline = clock.now() + within;
    for (;;) {
      if (const std::size_t end = buffer_.find('\n'); end != std::string::npos) {
        std::string line = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        return line;
      }
      if (buffer_.size() > longest_line)
        return fail(ErrorKind::usage, "rendezvous: {} sent a line of more than {} bytes, which is not of {}",
                    who, longest_line, greeting);
      if (stop.load(std::memory_order_relaxed))
        return fail(ErrorKind::interrupted, "interrupted at the rendezvous");
      const Nanos left = deadline - clock.now();
      if (left <= Nanos{0})
        return fail(ErrorKind::unreachable, "rendezvous: no answer from {} within {}", who,
                    format_duration(within));
      pollfd p{descriptor_, POLLIN, 0};
      (void)::poll(&p, 1, static_cast<int>(std::min(left, glance).count() / 1'000'000) + 1);
      char bytes[512];
      const ssize_t n = ::recv(descriptor_, bytes, sizeof bytes, MSG_DONTWAIT);
      if (n > 0) buffer_.append(bytes, static_cast<std::size_t>(n));
      if (n == 0) return fail(ErrorKind::unreachable, "rendezvous: {} closed the connection", who);
      if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
        return fail(ErrorKind::unreachable, "rendezvous: {}: {}", who, std::strerror(errno));
    }
  }
  Result<void> write(std::string line, std::string_view who) {
    line += '\n';
    std::string_view left = line;
    while (!left.empty()) {  // a few bytes: they fit into any socket's buffer
      const ssize_t n = ::send(descriptor_, left.data(), left.size(), MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail(ErrorKind::unreachable, "rendezvous: {}: {}", who, std::strerror(errno));
      left.remove_prefix(static_cast<std::size_t>(n));
    }
    return {};
  }

 private:
  int descriptor_;
  std::string buffer_;
};

struct FreeAddresses {
  void operator()(addrinfo* list) const noexcept { ::freeaddrinfo(list); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

Addresses look_up(const std::string& host, std::uint16_t port, int flags) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int code =
      ::getaddrinfo(host.empty() ? nullptr : host.c_str(), std::to_string(port).c_str(), &hints, &list);
  return Addresses{code == 0 ? list : nullptr};
}

int listen_at(const addrinfo& address) {
  const int s = ::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (s < 0) return -1;
  const int one = 1;
  (void)::setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (::bind(s, address.ai_addr, address.ai_addrlen) == 0 && ::listen(s, 128) == 0) return s;
  const int why = errno;
  ::close(s);
  errno = why;
  return -1;
}

std::uint16_t port_of(int descriptor) {
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&name), &size) != 0) return 0;
  return ntohs(name.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(name).sin6_port
                                          : reinterpret_cast<const sockaddr_in&>(name).sin_port);
}

void send_at_once(int descriptor) {
  const int one = 1;
  (void)::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

// Words of a line.
std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  while (!line.empty()) {
    const std::size_t end = std::min(line.find(' '), line.size());
    if (end > 0) words.push_back(line.substr(0, end));
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  return words;
}

template <class Number>
std::optional<Number> number_of(std::string_view text) {
  Number n{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return n;
}

std::string missing_text(const std::vector<Line>& lines) {
  std::string text;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    if (!lines[i].open()) text += fmt::format("{}{}", text.empty() ? "" : ", ", i);
  }
  return text;
}

}  // namespace

Result<void> set_meeting_point(RendezvousConfig& config, std::string_view text) {
  const std::size_t colon = text.rfind(':');
  std::string_view host = text.substr(0, colon == std::string_view::npos ? 0 : colon);
  const auto port =
      colon == std::string_view::npos ? std::nullopt : number_of<std::uint16_t>(text.substr(colon + 1));
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  if (host.empty() || !port || *port == 0) {
    return fail(ErrorKind::usage,
                "'{}' is no meeting point; accepted: HOST:PORT of worker 0, as in node-1:7117", text);
  }
  config.host = host;
  config.port = *port;
  return {};
}

Result<std::unique_ptr<RendezvousHost>> RendezvousHost::open(const RendezvousConfig& config) {
  int descriptor = -1, why = EADDRNOTAVAIL;
  const auto try_all = [&](const Addresses& found) {
    for (const addrinfo* a = found.get(); a != nullptr && descriptor < 0; a = a->ai_next) {
      descriptor = listen_at(*a);
      why = errno;
    }
  };
  try_all(look_up(config.host, config.port, 0));
  // A name of ours that is no address of ours: a translation, or one that is not known here yet.
  if (descriptor < 0 && why == EADDRNOTAVAIL) try_all(look_up("", config.port, AI_PASSIVE));
  if (descriptor < 0) {
    return fail(ErrorKind::usage, "worker 0 cannot listen at {}:{}: {}; give a port that is free there",
                config.host, config.port, std::strerror(why));
  }
  return std::unique_ptr<RendezvousHost>(new RendezvousHost{config, descriptor, port_of(descriptor)});
}

RendezvousHost::~RendezvousHost() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<Agreement> RendezvousHost::meet(const std::atomic<bool>& stop,
                                       const std::function<void(std::string_view)>& say) {
  const SteadyClock clock;
  const Nanos deadline = clock.now() + config_.patience;
  std::vector<Line> lines(config_.count);
  std::uint32_t here = 1;
  while (here < config_.count) {
    if (stop.load(std::memory_order_relaxed))
      return fail(ErrorKind::interrupted, "interrupted at the rendezvous, with {} of {} workers", here,
                  config_.count);
    if (clock.now() >= deadline) {
      return fail(ErrorKind::unreachable,
                  "{} of {} workers came to the rendezvous at {}:{} within {}; missing: {}", here,
                  config_.count, config_.host, port_, format_duration(config_.patience), missing_text(lines));
    }
    pollfd p{descriptor_, POLLIN, 0};
    if (::poll(&p, 1, 100) <= 0) continue;
    Line line{::accept4(descriptor_, nullptr, nullptr, SOCK_CLOEXEC)};
    if (!line.open()) continue;
    send_at_once(line.descriptor());
    const auto hello = line.read(Nanos{2'000'000'000}, stop, "somebody who connected");
    if (!hello) continue;  // not one of ours, or gone again
    const auto words = words_of(*hello);
    const auto refuse = [&](const std::string& why) { (void)line.write("refused: " + why, "a worker"); };
    if (words.size() != 4 || words[0] != greeting) {
      refuse(fmt::format("this is {}", greeting));
      continue;
    }
    const auto index = number_of<std::uint32_t>(words[1]), count = number_of<std::uint32_t>(words[2]);
    if (!index || !count || *count != config_.count || *index == 0 || *index >= config_.count) {
      refuse(fmt::format("worker {} of {}: worker 0 expects workers 1 to {}", words[1], words[2],
                         config_.count - 1));
      continue;
    }
    if (words[3] != config_.plan) {
      refuse(fmt::format("its plan is {}, worker 0's is {}: traffic, workload, SLO, client or seed differ",
                         words[3], config_.plan));
      return fail(ErrorKind::usage,
                  "worker {} is about to send another plan ({}, ours is {}): traffic, workload, SLO, client "
                  "or seed differ; start all workers with the same command",
                  *index, words[3], config_.plan);
    }
    if (lines[*index].open()) {
      refuse(fmt::format("worker {} is here already", *index));
      continue;
    }
    if (!line.write("ok", "a worker")) continue;
    lines[*index] = std::move(line);
    ++here;
    if (say) say(fmt::format("{} of {} workers are here", here, config_.count));
  }
  // One after the other, so that nothing of ours makes a round trip longer than it is.
  for (std::uint32_t i = 1; i < config_.count; ++i) {
    const std::string who = fmt::format("worker {}", i);
    DSBENCH_CHECK(lines[i].write("sync", who));
    for (;;) {
      DSBENCH_TRY(const std::string line, lines[i].read(answer_within, stop, who));
      const Nanos received = config_.wall();
      if (line == "synced") break;
      if (line != "ping")
        return fail(ErrorKind::unreachable, "rendezvous: {} said '{}'; expected: ping or synced", who, line);
      DSBENCH_CHECK(lines[i].write(fmt::format("pong {} {}", received.count(), config_.wall().count()), who));
    }
  }
  Agreement agreed;
  agreed.start_at = config_.wall() + config_.margin;
  for (std::uint32_t i = 1; i < config_.count; ++i)
    DSBENCH_CHECK(
        lines[i].write(fmt::format("start {}", agreed.start_at.count()), fmt::format("worker {}", i)));
  return agreed;
}

Result<Agreement> join_rendezvous(const RendezvousConfig& config, const std::atomic<bool>& stop) {
  SteadyClock clock;
  const Nanos deadline = clock.now() + config.patience;
  const std::string who = fmt::format("worker 0 at {}:{}", config.host, config.port);
  Line line;
  while (!line.open()) {
    if (stop.load(std::memory_order_relaxed))
      return fail(ErrorKind::interrupted, "interrupted on the way to the rendezvous");
    if (const Addresses found = look_up(config.host, config.port, 0)) {
      for (const addrinfo* a = found.get(); a != nullptr && !line.open(); a = a->ai_next) {
        Line made{::socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        if (made.open() && ::connect(made.descriptor(), a->ai_addr, a->ai_addrlen) == 0)
          line = std::move(made);
      }
    }
    if (line.open()) break;
    if (clock.now() >= deadline) {
      return fail(ErrorKind::unreachable, "no {} within {}; the rendezvous needs it, with the same --workers",
                  who, format_duration(config.patience));
    }
    clock.sleep_until(clock.now() + glance);
  }
  send_at_once(line.descriptor());
  DSBENCH_CHECK(
      line.write(fmt::format("{} {} {} {}", greeting, config.index, config.count, config.plan), who));
  DSBENCH_TRY(const std::string answer, line.read(config.patience, stop, who));
  if (answer != "ok") return fail(ErrorKind::usage, "{} refused us: {}", who, answer);
  DSBENCH_TRY(const std::string sync, line.read(config.patience, stop, who));
  if (sync != "sync")
    return fail(ErrorKind::unreachable, "rendezvous: {} said '{}'; expected: sync", who, sync);
  Agreement agreed;
  agreed.round_trip = Nanos::max();
  for (int i = 0; i < pings; ++i) {
    const Nanos t1 = config.wall();
    DSBENCH_CHECK(line.write("ping", who));
    DSBENCH_TRY(const std::string pong, line.read(answer_within, stop, who));
    const Nanos t4 = config.wall();
    const auto words = words_of(pong);
    const auto t2 = words.size() == 3 ? number_of<std::int64_t>(words[1]) : std::nullopt;
    const auto t3 = words.size() == 3 ? number_of<std::int64_t>(words[2]) : std::nullopt;
    if (!t2 || !t3 || words[0] != "pong")
      return fail(ErrorKind::unreachable, "rendezvous: {} said '{}'; expected: pong T2 T3", who, pong);
    const Nanos round_trip = (t4 - t1) - Nanos{*t3 - *t2};
    if (round_trip >= agreed.round_trip) continue;
    agreed.round_trip = round_trip;
    agreed.offset = ((Nanos{*t2} - t1) + (Nanos{*t3} - t4)) / 2;
  }
  DSBENCH_CHECK(line.write("synced", who));
  DSBENCH_TRY(const std::string start, line.read(config.patience, stop, who));
  const auto words = words_of(start);
  const auto at = words.size() == 2 && words[0] == "start" ? number_of<std::int64_t>(words[1]) : std::nullopt;
  if (!at) return fail(ErrorKind::unreachable, "rendezvous: {} said '{}'; expected: start T0", who, start);
  agreed.start_at = Nanos{*at};
  return agreed;
}

}  // namespace dsbench::loadgen
