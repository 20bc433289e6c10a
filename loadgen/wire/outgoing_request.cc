#include "loadgen/wire/outgoing_request.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <string_view>

namespace dsbench::loadgen {

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
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = count;
    const ssize_t n = ::sendmsg(fd, &message, MSG_NOSIGNAL);
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
