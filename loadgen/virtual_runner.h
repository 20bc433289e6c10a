#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "loadgen/load_machine.h"
#include "loadgen/runner.h"
#include "loadgen/target.h"

namespace dsbench::loadgen {

// The runner of virtual time: one discrete-event loop around one LoadMachine and a VirtualTarget. The same
// calls with the same seed give the same records, whatever machine and whenever.
//
// At equal instants: first what the target has to say, then timeouts, retries and arrivals, each by request
// number (arrivals in the schedule's order), then what sessions do next; an attempt's request leaves at the
// instant its action is given, so send lag is nought.
//
// `stop` is looked at on every turn of offer(); drain() does not look at it, because draining is what one
// does after a stop. Target, sink and flag must outlive the runner.
[[nodiscard]] std::unique_ptr<Runner> make_virtual_runner(VirtualTarget& target, ClientPolicies policies,
                                                          SharedSource source, std::uint64_t seed,
                                                          results::RecordSink& sink, std::atomic<bool>& stop);

}  // namespace dsbench::loadgen
