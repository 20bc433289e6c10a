#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "core/result.h"
#include "loadgen/codec/codec.h"
#include "loadgen/wire/addresses.h"
#include "loadgen/wire/wire_config.h"

namespace dsbench::loadgen {

// What the lean transport needs to know of one provider.
struct LeanProvider {
  std::shared_ptr<const Codec> codec;
  // The request's head, all but the length and what follows it: "POST … \r\nContent-Length: "; where there is
  // no body, all but the blank line.
  std::string head;
  bool has_body = true;
  TokenScale scale;
  std::vector<SocketAddress> addresses;
  std::size_t best = 0;  // the one that answered last
};

// The same header lines as libcurl's wire sends. Errors: usage, unreachable.
[[nodiscard]] Result<LeanProvider> make_lean_provider(const ProviderConfig& config);

}  // namespace dsbench::loadgen
