#include "results/failover_summary.h"

namespace dsbench::results {

std::string_view to_word(FaultKind kind) {
  return kind == FaultKind::kill ? "kill" : "stall";
}

}  // namespace dsbench::results
