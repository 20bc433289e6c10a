#pragma once

#include <sys/types.h>

#include <span>

#include "core/units.h"

namespace dsbench::loadgen {

// Asks the kernel to say when it received what is read from a TCP socket. False: it will not.
bool ask_for_receive_stamps(int fd);

struct Received {
  ssize_t size = 0;  // as recv() says it
  int error = 0;     // its errno where `size` is negative
  Nanos wall{0};     // when the kernel received the last byte of it, by the wall clock; 0: it does not say
};

[[nodiscard]] Received receive_bare(int fd, std::span<char> to);

// recv() from a socket that was asked for stamps. What came in several packets has the stamp of the last: the
// kernel joins packets that wait together, and keeps no other.
[[nodiscard]] Received receive_stamped(int fd, std::span<char> to);

// The kernel stamps packets only while some socket asks for it, and takes a moment to begin. Held for as long
// as connections come and go, so that the first bytes of each are stamped, and so that its code is not
// patched back and forth.
class ReceiveStamps {
 public:
  ReceiveStamps();
  ~ReceiveStamps();
  ReceiveStamps(const ReceiveStamps&) = delete;
  ReceiveStamps& operator=(const ReceiveStamps&) = delete;

 private:
  int fd_ = -1;
};

}  // namespace dsbench::loadgen
