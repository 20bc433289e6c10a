#include "loadgen/wire/lean_connection.h"

namespace dsbench::loadgen {

void LeanPool::add_idle(LeanConnection& c) {
  c.older = newest;
  (newest != nullptr ? newest->newer : oldest) = &c;
  newest = &c;
}

void LeanPool::remove_idle(LeanConnection& c) {
  (c.newer != nullptr ? c.newer->older : newest) = c.older;
  (c.older != nullptr ? c.older->newer : oldest) = c.newer;
  c.newer = c.older = nullptr;
}

}  // namespace dsbench::loadgen
