#include "loadgen/wire/addresses.h"

#include <netdb.h>
#include <sys/un.h>

#include <cstring>
#include <memory>

namespace dsbench::loadgen {

Result<std::vector<SocketAddress>> resolve(const BaseUrl& base) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST;
  const std::string port = std::to_string(base.port);
  addrinfo* list = nullptr;
  if (::getaddrinfo(base.host.c_str(), port.c_str(), &hints, &list) != 0) {
    hints.ai_flags = AI_ADDRCONFIG;
    if (const int code = ::getaddrinfo(base.host.c_str(), port.c_str(), &hints, &list); code != 0) {
      return fail(ErrorKind::unreachable, "the target's host {} has no address: {}", base.host,
                  ::gai_strerror(code));
    }
  }
  struct Free {
    void operator()(addrinfo* l) const noexcept { ::freeaddrinfo(l); }
  };
  const std::unique_ptr<addrinfo, Free> owner{list};
  std::vector<SocketAddress> out;
  for (const addrinfo* a = list; a != nullptr; a = a->ai_next) {
    SocketAddress& address = out.emplace_back();
    std::memcpy(&address.storage, a->ai_addr, a->ai_addrlen);
    address.size = a->ai_addrlen;
  }
  return out;
}

Result<SocketAddress> unix_address(const std::string& path) {
  SocketAddress out;
  sockaddr_un address{};
  if (path.size() >= sizeof address.sun_path) {
    return fail(ErrorKind::usage, "the socket path {} has {} bytes; accepted are at most {}", path,
                path.size(), sizeof address.sun_path - 1);
  }
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  std::memcpy(&out.storage, &address, sizeof address);
  out.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return out;
}

}  // namespace dsbench::loadgen
