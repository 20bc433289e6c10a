#include "loadgen/wire/transport.h"

#include "loadgen/wire/curl_transport.h"
#include "loadgen/wire/lean_transport.h"

namespace dsbench::loadgen {

Result<std::unique_ptr<Transport>> make_transport(const WireConfig& config, const ClientPolicy& policy,
                                                  const Clock& clock, Nanos epoch, Poller& poller,
                                                  AnswerSink* answers) {
  bool lean = config.wire == WireKind::lean;
  if (config.wire == WireKind::automatic) {
    DSBENCH_TRY(const std::string more, LeanTransport::beyond(config));
    lean = more.empty();
  }
  if (lean) {
    DSBENCH_TRY(auto transport, LeanTransport::make(config, policy, clock, epoch, poller, answers));
    return transport;
  }
  DSBENCH_TRY(auto transport, CurlTransport::make(config, policy, clock, epoch, poller, answers));
  return transport;
}

}  // namespace dsbench::loadgen
