#pragma once

#include <memory>
#include <span>
#include <string>

#include "core/result.h"
#include "kernelbench/include/dsbench_kernel.h"

namespace dsbench::kernelbench {

// A shared library with a dsbench_kernel_table(), loaded into this process.
class PluginLibrary {
 public:
  // Refuses, saying what was found and what would be accepted: a file that does not load, one without the
  // symbol, an empty table, another ABI version, a kernel without a name, an op or a run().
  [[nodiscard]] static Result<PluginLibrary> load(const std::string& path);
  [[nodiscard]] std::span<const dsb_kernel> kernels() const { return kernels_; }

 private:
  std::shared_ptr<void> handle_;
  std::span<const dsb_kernel> kernels_;
};

}  // namespace dsbench::kernelbench
