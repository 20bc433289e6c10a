#include "loadgen/wire/outgoing_request.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <string_view>

namespace dsbench::loadgen {

void OutgoingRequest::join() {
  constexpr std::size_t small = 4'096;
  if (!body.contiguous() || body.size() > small) return;
  head.append(body.text());
  body.clear();
}

OutgoingRequest::Sent OutgoingRequest::send_rest(int fd) {
  while (sent < size()) {
    std::array<iovec, 16> pieces;
    std::size_t count = 0;
    std::size_t at = sent;
    const auto add = [&](std::string_view piece) {
      pieces[count++] = {const_cast<char*>(piece.data()), piece.size()};
      at += piece.size();
    };
    if (at < head.size()) add(std::string_view{head}.substr(at));
    while (count < pieces.size() && at < size()) add(body.at(at - head.size()));
    ssize_t n = 0;
    if (count == 1) {
      n = ::send(fd, pieces[0].iov_base, pieces[0].iov_len, MSG_NOSIGNAL);
    } else {
      msghdr message{};
      message.msg_iov = pieces.data();
      message.msg_iovlen = count;
      n = ::sendmsg(fd, &message, MSG_NOSIGNAL);
    }
    if (n >= 0) {
      sent += static_cast<std::size_t>(n);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return Sent::some;
    } else if (errno != EINTR) {
      return Sent::failed;
    }
  }
  return Sent::all;
}

}  // namespace dsbench::loadgen
