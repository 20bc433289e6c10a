#pragma once

#include <optional>
#include <string>

namespace dsbench::kernelbench {

// What the driver's management library says of one GPU right now.
struct NvmlReading {
  std::string driver;
  unsigned sm_mhz = 0;
  unsigned memory_mhz = 0;
  unsigned power_w = 0;
  unsigned power_limit_w = 0;
  unsigned temperature_c = 0;
};

// By PCI bus id ("0000:1B:00.0"). Nothing when libnvidia-ml.so.1 cannot be opened or does not answer; a value
// that it does not give stays 0.
[[nodiscard]] std::optional<NvmlReading> read_nvml(const std::string& pci_bus_id);

}  // namespace dsbench::kernelbench
