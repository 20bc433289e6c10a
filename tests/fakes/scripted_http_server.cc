#include "tests/fakes/scripted_http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace dsbench::testing {
namespace {

int must(int result, const char* what) {
  if (result >= 0) return result;
  std::perror(what);
  std::abort();
}

}  // namespace

ScriptStep send(std::string bytes) {
  return {.kind = ScriptStep::Kind::send, .bytes = std::move(bytes), .time = {}};
}
ScriptStep pause(std::chrono::milliseconds time) {
  return {.kind = ScriptStep::Kind::pause, .bytes = {}, .time = time};
}
ScriptStep close() {
  return {.kind = ScriptStep::Kind::close, .bytes = {}, .time = {}};
}
ScriptStep reset() {
  return {.kind = ScriptStep::Kind::reset, .bytes = {}, .time = {}};
}
ScriptStep hold() {
  return {.kind = ScriptStep::Kind::hold, .bytes = {}, .time = {}};
}

std::string chunk(std::string_view content) {
  return "data: "
         "{\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{"
         "\"content\":\"" +
         std::string{content} + "\"},\"finish_reason\":null}]}\n\n";
}
std::string finish(std::string_view reason) {
  return "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"" + std::string{reason} +
         "\"}]}\n\n";
}
std::string usage(int prompt_tokens, int completion_tokens) {
  return "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":" + std::to_string(prompt_tokens) +
         ",\"completion_tokens\":" + std::to_string(completion_tokens) + "}}\n\n";
}
std::string done_marker() {
  return "data: [DONE]\n\n";
}

std::string whole_stream(int tokens, int prompt_tokens) {
  std::string out =
      "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
  for (int i = 0; i < tokens; ++i) out += chunk("a");
  return out + finish() + usage(prompt_tokens, tokens) + done_marker();
}

std::string stream_head(std::string_view headers) {
  return "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n" +
         std::string{headers} + "\r\n";
}
std::string as_chunk(std::string_view bytes) {
  char size[32];
  std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
  return size + std::string{bytes} + "\r\n";
}

Script chunked(const std::vector<std::string>& pieces, std::string_view headers) {
  Script script{send(stream_head(headers))};
  for (const std::string& piece : pieces) script.push_back(send(as_chunk(piece)));
  script.push_back(send("0\r\n\r\n"));
  return script;
}

Script with_length(const std::string& body, std::string_view status, std::string_view headers) {
  return {send("HTTP/1.1 " + std::string{status} + "\r\nContent-Length: " + std::to_string(body.size()) +
               "\r\n" + std::string{headers} + "\r\n" + body)};
}

Script until_close(const std::string& body) {
  return {send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + body),
          close()};
}

ScriptedHttpServer::ScriptedHttpServer(std::function<Script(const SeenRequest&)> answer, Script on_accept,
                                       std::string unix_path)
    : answer_{std::move(answer)}, on_accept_{std::move(on_accept)}, unix_path_{std::move(unix_path)} {
  stop_ = must(::eventfd(0, EFD_CLOEXEC), "eventfd");
  listener_ = must(::socket(unix_path_.empty() ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  sockaddr_in address{};
  if (unix_path_.empty()) {
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    must(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address), "bind");
  } else {
    sockaddr_un path{};
    path.sun_family = AF_UNIX;
    unix_path_.copy(path.sun_path, sizeof path.sun_path - 1);
    (void)::unlink(unix_path_.c_str());
    must(::bind(listener_, reinterpret_cast<sockaddr*>(&path), sizeof path), "bind");
  }
  must(::listen(listener_, 512), "listen");
  if (unix_path_.empty()) {
    socklen_t size = sizeof address;
    must(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), "getsockname");
    port_ = ntohs(address.sin_port);
  }
  acceptor_ = std::thread{&ScriptedHttpServer::accept_loop, this};
}

ScriptedHttpServer::~ScriptedHttpServer() {
  const std::uint64_t one = 1;
  (void)!::write(stop_, &one, sizeof one);
  acceptor_.join();
  for (std::thread& t : threads_) t.join();
  ::close(listener_);
  if (!unix_path_.empty()) (void)::unlink(unix_path_.c_str());
  ::close(stop_);
}

std::vector<SeenRequest> ScriptedHttpServer::requests() const {
  const std::lock_guard lock{mutex_};
  return requests_;
}

void ScriptedHttpServer::accept_loop() {
  for (;;) {
    pollfd fds[2] = {{listener_, POLLIN, 0}, {stop_, POLLIN, 0}};
    if (::poll(fds, 2, -1) < 0 && errno != EINTR) return;
    if (fds[1].revents != 0) return;
    if (fds[0].revents == 0) continue;
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    const int on = 1;
    (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    threads_.emplace_back(&ScriptedHttpServer::serve, this, fd, connections_.fetch_add(1));
  }
}

void ScriptedHttpServer::serve(int fd, std::uint64_t connection) {
  std::string buffer;
  bool open = play(fd, on_accept_);
  for (std::uint64_t n = 0; open; ++n) {
    SeenRequest request;
    request.connection = connection;
    request.on_connection = n;
    if (!read_request(fd, buffer, request)) break;
    {
      const std::lock_guard lock{mutex_};
      request.number = requests_.size();
      requests_.push_back(request);
    }
    open = play(fd, answer_(request));
  }
  ::close(fd);
}

bool ScriptedHttpServer::read_request(int fd, std::string& buffer, SeenRequest& request) {
  std::size_t head = std::string::npos;
  std::size_t length = 0;
  for (;;) {
    if (head == std::string::npos && (head = buffer.find("\r\n\r\n")) != std::string::npos) {
      const std::size_t at = buffer.find("Content-Length: ");
      if (at != std::string::npos && at < head) length = std::strtoul(buffer.c_str() + at + 16, nullptr, 10);
    }
    if (head != std::string::npos && buffer.size() >= head + 4 + length) {
      request.head = buffer.substr(0, head);
      request.body = buffer.substr(head + 4, length);
      buffer.erase(0, head + 4 + length);
      return true;
    }
    pollfd fds[2] = {{fd, POLLIN, 0}, {stop_, POLLIN, 0}};
    if (::poll(fds, 2, -1) < 0 && errno != EINTR) return false;
    if (fds[1].revents != 0) return false;
    char piece[4096];
    const ssize_t n = ::recv(fd, piece, sizeof piece, 0);
    if (n <= 0) return false;
    buffer.append(piece, static_cast<std::size_t>(n));
  }
}

// True: the client is gone or the server ends; false: the time is over.
bool ScriptedHttpServer::wait_gone(int fd, int millis) {
  pollfd fds[2] = {{fd, POLLIN | POLLRDHUP, 0}, {stop_, POLLIN, 0}};
  if (::poll(fds, 2, millis) <= 0) return false;
  if (fds[1].revents == 0) aborted_.fetch_add(1);
  return true;
}

bool ScriptedHttpServer::play(int fd, const Script& script) {
  for (const ScriptStep& step : script) {
    switch (step.kind) {
      case ScriptStep::Kind::send:
        for (std::size_t at = 0; at < step.bytes.size();) {
          const ssize_t n = ::send(fd, step.bytes.data() + at, step.bytes.size() - at, MSG_NOSIGNAL);
          if (n <= 0) {
            aborted_.fetch_add(1);
            return false;
          }
          at += static_cast<std::size_t>(n);
        }
        break;
      case ScriptStep::Kind::pause:
        if (wait_gone(fd, static_cast<int>(step.time.count()))) return false;
        break;
      case ScriptStep::Kind::close:
        return false;
      case ScriptStep::Kind::reset: {
        const linger now{1, 0};
        (void)::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        return false;
      }
      case ScriptStep::Kind::hold:
        (void)wait_gone(fd, -1);
        return false;
    }
  }
  return true;
}

}  // namespace dsbench::testing
