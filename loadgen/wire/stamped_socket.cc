#include "loadgen/wire/stamped_socket.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <ctime>

namespace dsbench::loadgen {

bool ask_for_receive_stamps(int fd) {
  // SO_TIMESTAMPING would give the same stamp in three times the control data.
  const int on = 1;
  return ::setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) == 0;
}

Received receive_bare(int fd, std::span<char> to) {
  Received got;
  got.size = ::recv(fd, to.data(), to.size(), 0);
  if (got.size < 0) got.error = errno;
  return got;
}

Received receive_stamped(int fd, std::span<char> to) {
  iovec piece{to.data(), to.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(timespec))];
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  Received got;
  got.size = ::recvmsg(fd, &message, 0);
  if (got.size < 0) got.error = errno;
  if (got.size <= 0) return got;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_TIMESTAMPNS) continue;
    if (c->cmsg_len < CMSG_LEN(sizeof(timespec))) continue;
    timespec t{};
    std::memcpy(&t, CMSG_DATA(c), sizeof t);
    got.wall = Nanos{std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec};
  }
  return got;
}

ReceiveStamps::ReceiveStamps() : fd_{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)} {
  if (fd_ >= 0) (void)ask_for_receive_stamps(fd_);
}

ReceiveStamps::~ReceiveStamps() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace dsbench::loadgen
