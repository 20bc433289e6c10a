#include "loadgen/wire/transport.h"

#include "loadgen/wire/curl_transport.h"

namespace dsbench::loadgen {

Result<std::unique_ptr<Transport>> make_transport(const WireConfig& config, const ClientPolicy& policy,
                                                  const Clock& clock, Nanos epoch, Poller& poller) {
  DSBENCH_TRY(auto transport, CurlTransport::make(config, policy, clock, epoch, poller));
  return transport;
}

}  // namespace dsbench::loadgen
