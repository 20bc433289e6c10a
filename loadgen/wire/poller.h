#pragma once

#include <sys/epoll.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/clock.h"
#include "core/result.h"
#include "core/units.h"

namespace dsbench::loadgen {

// epoll with deadlines in nanoseconds. One thread.
class Poller {
 public:
  struct Ready {
    std::uint32_t owner = 0;
    int fd = -1;
    std::uint32_t events = 0;  // EPOLLIN …
  };

  [[nodiscard]] static Result<std::unique_ptr<Poller>> make(const Clock& clock);
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  // What is wanted of `fd`: EPOLLIN, EPOLLOUT or both, reported with `owner`; 0 for nothing. Asks the kernel
  // only when it must: a lasting descriptor of which nothing is wanted stays registered until it stirs,
  // because a connection that goes idle is mostly used again at once.
  void want(int fd, std::uint32_t owner, std::uint32_t events);
  // The descriptor will be told to forget() before it is closed. Others are given up as soon as nothing is
  // wanted of them. `ends_when_stirred`: what stirs while nothing is wanted has ended (HTTP/1.1); it is
  // closed and the descriptor shows an end of file from then on.
  void lasting(int fd, bool ends_when_stirred = true);
  void forget(int fd);

  // Up to 64 of what is ready, so that a crowd of ready sockets does not hold up what is due. Waits until the
  // deadline (by the clock), polling instead of sleeping for the last `spin` of it; without a deadline, until
  // something is ready.
  [[nodiscard]] std::span<const Ready> wait(std::optional<Nanos> deadline, Nanos spin);

  static constexpr std::size_t most_ready = 64;

  // All that was ready by this time of the clock has been reported.
  [[nodiscard]] Nanos reported_until() const { return reported_until_; }

 private:
  struct Entry {
    std::uint32_t wanted = 0;
    std::uint32_t kernel = 0;  // what epoll was told; 0: not registered
    std::uint32_t owner = 0;
    bool lasting = false;
    bool ends_when_stirred = false;
  };

  Poller(const Clock& clock, int epoll) : clock_{clock}, epoll_{epoll} {}
  Entry& entry(int fd);
  void tell(int fd, Entry& e, std::uint32_t events);
  int collect(const timespec* timeout);

  const Clock& clock_;
  int epoll_;
  bool has_pwait2_ = true;
  Nanos reported_until_{0};
  std::vector<Entry> entries_;  // by descriptor
  std::array<epoll_event, most_ready> raw_{};
  std::array<Ready, most_ready> ready_{};
};

}  // namespace dsbench::loadgen
