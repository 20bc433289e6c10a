#include "tests/fakes/http_connection.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace dsbench::fakes {

HttpConnection::HttpConnection(std::uint16_t port, int receive_buffer) {
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd_ < 0) throw std::runtime_error(std::string("socket: ") + std::strerror(errno));
  if (receive_buffer > 0) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  timeval minute{.tv_sec = 60, .tv_usec = 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &minute, sizeof minute);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    close();
    throw std::runtime_error(std::string("connect: ") + std::strerror(error));
  }
}

void HttpConnection::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0) return;  // the server has closed; what it said can still be read
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

bool HttpConnection::fill() {
  std::array<char, 16384> chunk;
  const ssize_t n = ::recv(fd_, chunk.data(), chunk.size(), 0);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
    throw std::runtime_error("nothing came for a minute");
  if (n <= 0) return false;
  buffer_.append(chunk.data(), static_cast<std::size_t>(n));
  return true;
}

std::string HttpConnection::read_until(std::string_view marker) {
  std::size_t at;
  while ((at = buffer_.find(marker)) == std::string::npos)
    if (!fill())
      throw std::runtime_error("the connection ended before '" + std::string(marker) + "': " + buffer_);
  std::string out = buffer_.substr(0, at + marker.size());
  buffer_.erase(0, at + marker.size());
  return out;
}

std::string HttpConnection::read_to_end() {
  while (fill()) {
  }
  return std::exchange(buffer_, {});
}

bool HttpConnection::readable_within(int milliseconds) {
  pollfd poll_fd{.fd = fd_, .events = POLLIN, .revents = 0};
  return !buffer_.empty() || ::poll(&poll_fd, 1, milliseconds) > 0;
}

HttpResponse HttpConnection::read_response() {
  HttpResponse response;
  response.head = read_until("\r\n\r\n");
  response.status = std::atoi(response.head.c_str() + std::strlen("HTTP/1.1 "));
  if (response.head.find("Transfer-Encoding: chunked") != std::string::npos) {
    for (;;) {
      const std::size_t size = std::strtoul(read_until("\r\n").c_str(), nullptr, 16);
      while (buffer_.size() < size + 2)
        if (!fill()) throw std::runtime_error("the connection ended within a chunk");
      response.body += buffer_.substr(0, size);
      buffer_.erase(0, size + 2);
      if (size == 0) return response;
    }
  }
  const std::size_t length_at = response.head.find("Content-Length: ");
  if (length_at == std::string::npos) {
    response.body = read_to_end();
    return response;
  }
  const std::size_t length =
      std::strtoul(response.head.c_str() + length_at + std::strlen("Content-Length: "), nullptr, 10);
  while (buffer_.size() < length)
    if (!fill()) throw std::runtime_error("the connection ended within a body");
  response.body = buffer_.substr(0, length);
  buffer_.erase(0, length);
  return response;
}

HttpResponse HttpConnection::post(std::string_view path, std::string_view body) {
  send(post_text(path, body));
  return read_response();
}

HttpResponse HttpConnection::get(std::string_view path) {
  send("GET " + std::string(path) + " HTTP/1.1\r\nHost: test\r\n\r\n");
  return read_response();
}

void HttpConnection::close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

void HttpConnection::close_sending_half() {
  ::shutdown(fd_, SHUT_WR);
}

std::string post_text(std::string_view path, std::string_view body, std::string_view headers) {
  return "POST " + std::string(path) + " HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n" +
         std::string(headers) + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         std::string(body);
}

}  // namespace dsbench::fakes
