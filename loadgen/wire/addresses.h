#pragma once

#include <sys/socket.h>

#include <string>
#include <vector>

#include "core/result.h"
#include "loadgen/wire/wire_config.h"

namespace dsbench::loadgen {

// Where a connection may go.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  [[nodiscard]] int family() const { return storage.ss_family; }
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// All addresses of the host, in the order in which the resolver wants them tried. Errors: unreachable.
[[nodiscard]] Result<std::vector<SocketAddress>> resolve(const BaseUrl& base);
// Errors: usage, for a path that is too long.
[[nodiscard]] Result<SocketAddress> unix_address(const std::string& path);

}  // namespace dsbench::loadgen
