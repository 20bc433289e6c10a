#include "kernelbench/nvml.h"

#include <dlfcn.h>

namespace dsbench::kernelbench {
namespace {

// The few functions that are used, as the manual of NVML declares them; toolkits need not bring nvml.h. 0 is
// success.
struct Nvml {
  void* library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);

  template <class... Args>
  bool call(const char* name, Args... args) const {
    const auto function = reinterpret_cast<int (*)(Args...)>(dlsym(library, name));
    return function != nullptr && function(args...) == 0;
  }
};

constexpr int clock_sm = 1;
constexpr int clock_memory = 2;
constexpr int sensor_gpu = 0;

}  // namespace

std::optional<NvmlReading> read_nvml(const std::string& pci_bus_id) {
  static const Nvml nvml;
  static const bool ready = nvml.library != nullptr && nvml.call("nvmlInit_v2");
  if (!ready) return std::nullopt;
  void* device = nullptr;
  if (!nvml.call("nvmlDeviceGetHandleByPciBusId_v2", pci_bus_id.c_str(), &device)) return std::nullopt;
  NvmlReading reading;
  char text[96] = {};
  if (nvml.call("nvmlSystemGetDriverVersion", &text[0], 96U)) reading.driver = text;
  unsigned milliwatts = 0;
  if (nvml.call("nvmlDeviceGetPowerUsage", device, &milliwatts)) reading.power_w = milliwatts / 1000;
  if (nvml.call("nvmlDeviceGetEnforcedPowerLimit", device, &milliwatts))
    reading.power_limit_w = milliwatts / 1000;
  (void)nvml.call("nvmlDeviceGetClockInfo", device, clock_sm, &reading.sm_mhz);
  (void)nvml.call("nvmlDeviceGetClockInfo", device, clock_memory, &reading.memory_mhz);
  (void)nvml.call("nvmlDeviceGetTemperature", device, sensor_gpu, &reading.temperature_c);
  return reading;
}

}  // namespace dsbench::kernelbench
