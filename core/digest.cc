#include "core/digest.h"

#include <fmt/format.h>

namespace dsbench {

std::string Digest::text() const {
  return fmt::format("{:016x}", state_);
}

}  // namespace dsbench
