#include "loadgen/wire/poller.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace dsbench::loadgen {
namespace {

// What stirs an idle connection is its end: a close, a reset, bytes that nobody asked for. It is closed, and
// its descriptor becomes one at which only an end of file is ever to be seen, so that whoever looks before
// using it again finds it dead. (libcurl 7.88 looks, but takes a reset and stray bytes for life, and the
// request that it then sent would fail.)
void put_to_rest(int fd) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
    (void)::shutdown(fd, SHUT_RDWR);
    return;
  }
  ::close(pair[1]);
  (void)::dup3(pair[0], fd, O_CLOEXEC);
  ::close(pair[0]);
}

}  // namespace

Result<std::unique_ptr<Poller>> Poller::make(const Clock& clock) {
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0)
    return fail(ErrorKind::internal, "cannot create an epoll descriptor: {}", std::strerror(errno));
  return std::unique_ptr<Poller>{new Poller{clock, epoll}};
}

Poller::~Poller() {
  ::close(epoll_);
}

Poller::Entry& Poller::entry(int fd) {
  const auto at = static_cast<std::size_t>(fd);
  if (at >= entries_.size()) entries_.resize(at + at / 2 + 16);
  return entries_[at];
}

void Poller::tell(int fd, Entry& e, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = (std::uint64_t{e.owner} << 32) | static_cast<std::uint32_t>(fd);
  if (events == 0) {
    (void)::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
  } else if (e.kernel == 0) {
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0 && errno == EEXIST) {
      (void)::epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event);
    }
  } else if (::epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event) != 0 && errno == ENOENT) {
    (void)::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  }
  e.kernel = events;
}

void Poller::want(int fd, std::uint32_t owner, std::uint32_t events) {
  Entry& e = entry(fd);
  const bool same_owner = e.owner == owner;
  e.owner = owner;
  e.wanted = events;
  if (events == 0 && e.lasting) return;
  if (e.kernel == events && same_owner) return;
  tell(fd, e, events);
}

void Poller::lasting(int fd, bool ends_when_stirred) {
  Entry& e = entry(fd);
  e = Entry{};
  e.lasting = true;
  e.ends_when_stirred = ends_when_stirred;
}

void Poller::forget(int fd) {
  entry(fd) = Entry{};
}  // closing takes it out of epoll

int Poller::collect(const timespec* timeout) {
  if (has_pwait2_) {
    const int n = ::epoll_pwait2(epoll_, raw_.data(), most_ready, timeout, nullptr);
    if (n >= 0 || errno != ENOSYS) return n;
    has_pwait2_ = false;  // a kernel before 5.11
  }
  int millis = -1;  // rounded down: the rest is polled, never overslept
  if (timeout != nullptr) millis = static_cast<int>(timeout->tv_sec * 1000 + timeout->tv_nsec / 1'000'000);
  return ::epoll_wait(epoll_, raw_.data(), most_ready, millis);
}

std::span<const Poller::Ready> Poller::wait(std::optional<Nanos> deadline, Nanos spin) {
  for (;;) {
    timespec timeout{};
    bool last = !deadline;
    const Nanos asked = clock_.now();
    if (deadline) {
      const Nanos left = *deadline - asked;
      last = left <= Nanos{0};
      const Nanos sleep = left > spin ? left - spin : Nanos{0};
      timeout.tv_sec = static_cast<time_t>(sleep.count() / 1'000'000'000);
      timeout.tv_nsec = static_cast<long>(sleep.count() % 1'000'000'000);
    }
    const int n = collect(deadline ? &timeout : nullptr);
    if (n >= 0 && n < static_cast<int>(most_ready)) reported_until_ = asked;
    std::size_t count = 0;
    for (int i = 0; i < n; ++i) {
      const epoll_event& raw = raw_[static_cast<std::size_t>(i)];
      const int fd = static_cast<int>(raw.data.u64 & 0xFFFF'FFFF);
      Entry& e = entry(fd);
      if (e.wanted == 0) {
        tell(fd, e, 0);
        if (e.ends_when_stirred) put_to_rest(fd);
        continue;
      }
      ready_[count++] = {e.owner, fd, raw.events};
    }
    if (count > 0 || last) return {ready_.data(), count};
  }
}

}  // namespace dsbench::loadgen
