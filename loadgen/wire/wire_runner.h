#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

#include "core/result.h"
#include "loadgen/client_policy.h"
#include "loadgen/load_machine.h"
#include "loadgen/runner.h"
#include "loadgen/wire/wire_config.h"
#include "results/record.h"

namespace dsbench::loadgen {

// The sink of issuer thread `worker`. Called once per worker, before the threads start; must outlive the
// runner.
using SinkOfWorker = std::function<results::RecordSink&(std::uint32_t worker)>;

// The experiment on the wire, in real time. Time zero is this call, or the epoch of the configuration.
//
// Arrival with request number i belongs to issuer thread (i ÷ stride) mod threads, and what follows from it
// too: what each thread sends is a function of the schedule alone. `source` is copied into every thread and
// called from all of them at once, so what it refers to must not change. The connect timeout is that of the
// first tenant's policy. When `stop` goes up, offer() and drain() return `interrupted` within 20 ms; a
// drain() that begins with the flag up is the drain after an interruption and runs its course.
//
// Raises the soft limit of descriptors of this process. Errors: usage (see CurlTransport), unreachable (no
// such host).
[[nodiscard]] Result<std::unique_ptr<Runner>> make_wire_runner(const WireConfig& config,
                                                               const ClientPolicies& policies,
                                                               SharedSource source, std::uint64_t seed,
                                                               const SinkOfWorker& sink_of,
                                                               std::atomic<bool>& stop);

}  // namespace dsbench::loadgen
