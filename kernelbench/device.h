#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"

namespace dsbench::kernelbench {

// What this machine can do at best, measured in the same run: what "percent of roofline" is a percent of.
struct Ceilings {
  double copy_bytes_per_s = 0;  // a device copy, read plus written; on the CPU STREAM triad
  double read_bytes_per_s = 0;  // reading alone, where it was measured; 0: not
  double launch_floor_s = 0;    // an empty kernel, timed as every kernel is
  struct Peak {
    std::string unit;  // "f32", "bf16", "fp8", "int8": Work::unit
    double flops_per_s = 0;
    std::string measured_by;  // "fma loop, 2 threads", "cublasLt 8192³"
  };
  std::vector<Peak> peaks;  // units that could be measured; a case of another unit has no compute roof
};

// Bytes in device memory; freed with it.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  DeviceMemory(void* data, std::int64_t bytes, std::function<void(void*)> release)
      : data_(data, std::move(release)), bytes_(bytes) {}
  [[nodiscard]] void* data() const { return data_.get(); }
  [[nodiscard]] std::int64_t bytes() const { return bytes_; }

 private:
  std::unique_ptr<void, std::function<void(void*)>> data_{nullptr, [](void*) {}};
  std::int64_t bytes_ = 0;
};

enum class CacheState : int {
  flush,   // the last-level cache is overwritten before each sample: one kernel as a decode step meets it
  rotate,  // buffers change from launch to launch, no flush: sustained throughput
};

// One timed sample.
struct Sample {
  double seconds = 0;   // of one launch
  double clock_hz = 0;  // of the processor while it ran; 0: not known
};

// One launch of the kernel under test on operand set `slot`; 0, or the kernel's own error number.
using Launch = std::function<int(int slot)>;

// A place where kernels run and are timed. Not thread safe.
class Device {
 public:
  virtual ~Device() = default;

  [[nodiscard]] virtual std::string_view word() const = 0;  // "cpu", "cuda"
  [[nodiscard]] virtual int sm_arch() const = 0;            // 90 on Hopper; 0 on the CPU
  [[nodiscard]] virtual int threads() const = 0;            // on the CPU; else 0
  [[nodiscard]] virtual void* stream() const = 0;           // cudaStream_t, or null
  // gpu or cpu model, clocks, driver, toolkit, compiler, …: what must be equal for two results to be compared
  // comes first, named in key_facts().
  [[nodiscard]] virtual std::vector<std::pair<std::string, std::string>> facts() const = 0;

  // 256-byte aligned.
  [[nodiscard]] virtual Result<DeviceMemory> allocate(std::int64_t bytes) = 0;
  [[nodiscard]] virtual Result<void> upload(void* device, const void* host, std::int64_t bytes) = 0;
  [[nodiscard]] virtual Result<void> download(void* host, const void* device, std::int64_t bytes) = 0;
  // Waits for everything that was enqueued; an error of a kernel comes out here.
  [[nodiscard]] virtual Result<void> synchronize() = 0;
  [[nodiscard]] virtual std::int64_t free_bytes() const = 0;
  [[nodiscard]] virtual std::int64_t cache_bytes() const = 0;  // last-level cache

  // Times one sample: cache as asked, the device idle and the launch already queued behind a blocker where
  // the device can do that, then the kernel. Slots are used in turn over [0, slots).
  [[nodiscard]] virtual Result<Sample> time(const Launch& launch, int slots, CacheState cache) = 0;
  // As `time`, but `launches` of them captured in one CUDA graph; the CPU calls them back to back.
  [[nodiscard]] virtual Result<Sample> time_graph(const Launch& launch, int slots, int launches) = 0;

  // Runs it once under observation: does it synchronise, allocate, leave its stream, refuse a graph capture?
  // Empty: it behaves. Otherwise a sentence. On the CPU always empty.
  [[nodiscard]] virtual Result<std::string> conduct(const Launch& launch) = 0;

  // The copy that `control/copy` times: from one buffer to another, each twice the last-level cache. Its time
  // says whether two runs met the same machine.
  [[nodiscard]] virtual Result<Launch> control() = 0;

  // A few seconds; the result is kept.
  [[nodiscard]] virtual Result<const Ceilings*> ceilings() = 0;
  // Measures them once more where something else may have run beside the first time, and keeps the better of each.
  [[nodiscard]] virtual Result<const Ceilings*> ceilings_again() { return ceilings(); }
};

// `threads` ≤ 0: as many as the processor has cores that this process may use.
[[nodiscard]] Result<std::unique_ptr<Device>> open_cpu_device(int threads);
// "there is no CUDA device: …" when there is none, or when dsbench was built without nvcc.
[[nodiscard]] Result<std::unique_ptr<Device>> open_cuda_device(int ordinal);

}  // namespace dsbench::kernelbench
