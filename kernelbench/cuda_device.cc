#include <cuda_runtime.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "engine/kernels/cuda/launch.h"
#include "kernelbench/cuda_probes.h"
#include "kernelbench/device.h"
#include "kernelbench/kernels_cuda/lt_product.h"
#include "kernelbench/nvml.h"

namespace dsbench::kernelbench {
namespace {

constexpr std::uint64_t blocker_timeout_ns = 2'000'000'000;
constexpr int stream_capture_launches = 1;

Result<void> ok(cudaError_t error, const char* doing) {
  if (error == cudaSuccess) return {};
  return fail(ErrorKind::internal, "{}: CUDA error {} ({})", doing, static_cast<int>(error),
              cudaGetErrorString(error));
}
Result<void> ok(int error, const char* doing) {
  return ok(static_cast<cudaError_t>(error), doing);
}

Error launch_error(int error) {
  return {ErrorKind::internal, fmt::format("the kernel's run() gives error {}", error)};
}

class CudaDevice final : public Device {
 public:
  static Result<std::unique_ptr<Device>> open(int ordinal) {
    int count = 0;
    if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess || count == 0) {
      return fail(ErrorKind::usage, "there is no CUDA device: {}; --device cpu works without one",
                  error != cudaSuccess ? cudaGetErrorString(error) : "the driver lists none");
    }
    if (ordinal < 0 || ordinal >= count) {
      return fail(ErrorKind::usage, "there is no CUDA device {}: the driver lists {}, numbered from 0",
                  ordinal, count);
    }
    DSBENCH_CHECK(ok(cudaSetDevice(ordinal), "selecting the device"));
    std::unique_ptr<CudaDevice> device(new CudaDevice);
    device->ordinal_ = ordinal;
    DSBENCH_CHECK(
        ok(cudaGetDeviceProperties(&device->properties_, ordinal), "reading the device's properties"));
    if (device->sm_arch() != engine::kernels::cuda::compiled_arch()) {
      return fail(ErrorKind::usage,
                  "CUDA device {} ({}) is of architecture sm_{}; this dsbench was compiled for sm_{}: "
                  "configure with -DCMAKE_CUDA_ARCHITECTURES",
                  ordinal, device->properties_.name, device->sm_arch(),
                  engine::kernels::cuda::compiled_arch());
    }
    DSBENCH_CHECK(device->prepare());
    return device;
  }

  ~CudaDevice() override {
    if (stream_ != nullptr) (void)cudaStreamSynchronize(stream_);
    for (cudaEvent_t event : {begin_, end_}) {
      if (event != nullptr) (void)cudaEventDestroy(event);
    }
    for (void* buffer : {flush_, control_}) {
      if (buffer != nullptr) (void)cudaFree(buffer);
    }
    for (ClockStamp* stamps : {before_, after_}) {
      if (stamps != nullptr) (void)cudaFree(stamps);
    }
    if (flags_ != nullptr) (void)cudaFreeHost(const_cast<void*>(static_cast<const volatile void*>(flags_)));
    if (stream_ != nullptr) (void)cudaStreamDestroy(stream_);
  }

  std::string_view word() const override { return "cuda"; }
  int sm_arch() const override { return properties_.major * 10 + properties_.minor; }
  int threads() const override { return 0; }
  void* stream() const override { return stream_; }

  std::vector<std::pair<std::string, std::string>> facts() const override {
    std::vector<std::pair<std::string, std::string>> facts;
    facts.emplace_back("gpu", properties_.name);
    int driver = 0;
    int runtime = 0;
    (void)cudaDriverGetVersion(&driver);
    (void)cudaRuntimeGetVersion(&runtime);
    const auto version = [](int v) { return fmt::format("{}.{}", v / 1000, v % 1000 / 10); };
    facts.emplace_back("cuda_driver", version(driver));
    facts.emplace_back("cuda_runtime", version(runtime));
    facts.emplace_back("cuda_toolkit", version(CUDART_VERSION));
    facts.emplace_back("sm_count", std::to_string(properties_.multiProcessorCount));
    facts.emplace_back("sm_max_mhz", std::to_string(attribute(cudaDevAttrClockRate) / 1000));
    facts.emplace_back("memory_max_mhz", std::to_string(attribute(cudaDevAttrMemoryClockRate) / 1000));
    facts.emplace_back("memory_bus_bits", std::to_string(attribute(cudaDevAttrGlobalMemoryBusWidth)));
    facts.emplace_back("memory_bytes", std::to_string(properties_.totalGlobalMem));
    facts.emplace_back("cache_bytes", std::to_string(cache_bytes()));
    std::array<char, 32> bus = {};
    if (cudaDeviceGetPCIBusId(bus.data(), static_cast<int>(bus.size()), ordinal_) == cudaSuccess) {
      if (const std::optional<NvmlReading> now = read_nvml(bus.data())) {
        facts.emplace_back("driver", now->driver);
        facts.emplace_back("sm_mhz", std::to_string(now->sm_mhz));
        facts.emplace_back("memory_mhz", std::to_string(now->memory_mhz));
        facts.emplace_back("power_w", std::to_string(now->power_w));
        facts.emplace_back("power_limit_w", std::to_string(now->power_limit_w));
        facts.emplace_back("temperature_c", std::to_string(now->temperature_c));
      }
    }
    return facts;
  }

  Result<DeviceMemory> allocate(std::int64_t bytes) override {
    void* data = nullptr;
    if (const cudaError_t error =
            cudaMalloc(&data, static_cast<std::size_t>(std::max<std::int64_t>(bytes, 1)));
        error != cudaSuccess) {
      (void)cudaGetLastError();  // an allocation that failed is not a broken device
      if (error != cudaErrorMemoryAllocation) return tl::unexpected(ok(error, "allocating memory").error());
      return fail(ErrorKind::memory, "{} bytes of device memory were asked for, {} are free ({})", bytes,
                  free_bytes(), cudaGetErrorString(error));
    }
    return DeviceMemory(data, bytes, [](void* p) { (void)cudaFree(p); });
  }
  Result<void> upload(void* device, const void* host, std::int64_t bytes) override {
    DSBENCH_CHECK(
        ok(cudaMemcpyAsync(device, host, static_cast<std::size_t>(bytes), cudaMemcpyHostToDevice, stream_),
           "copying to the device"));
    return synchronize();
  }
  Result<void> download(void* host, const void* device, std::int64_t bytes) override {
    DSBENCH_CHECK(
        ok(cudaMemcpyAsync(host, device, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToHost, stream_),
           "copying from the device"));
    return synchronize();
  }
  Result<void> synchronize() override { return ok(cudaDeviceSynchronize(), "waiting for the device"); }
  std::int64_t free_bytes() const override {
    std::size_t free = 0;
    std::size_t total = 0;
    return cudaMemGetInfo(&free, &total) == cudaSuccess ? static_cast<std::int64_t>(free) : 0;
  }
  std::int64_t cache_bytes() const override { return properties_.l2CacheSize; }

  Result<Sample> time(const Launch& launch, int slots, CacheState cache) override {
    const int slot = next_slot(slots);
    return sample(cache, 1, [&] { return launch(slot); });
  }

  Result<Sample> time_graph(const Launch& launch, int slots, int launches) override {
    DSBENCH_TRY(const Captured graph, capture(launch, slots, launches));
    // The first launch of a graph uploads it.
    DSBENCH_CHECK(ok(cudaGraphLaunch(graph.executable, stream_), "launching the graph"));
    DSBENCH_CHECK(synchronize());
    return sample(CacheState::rotate, launches,
                  [&] { return static_cast<int>(cudaGraphLaunch(graph.executable, stream_)); });
  }

  Result<std::string> conduct(const Launch& launch) override {
    if (const int error = launch(0); error != 0)
      return tl::unexpected(launch_error(error));  // loads what it needs
    DSBENCH_CHECK(synchronize());
    std::int64_t free_before = free_bytes();
    const std::uint64_t pool_before = pool_bytes();
    DSBENCH_CHECK(block());
    const int error = launch(0);
    // Behind the blocker nothing can be finished yet, unless the launch itself waited until the blocker gave
    // up.
    const bool waited = flags_->timed_out != 0;
    const bool finished = cudaStreamQuery(stream_) == cudaSuccess;
    const bool default_stream = cudaStreamQuery(cudaStreamLegacy) == cudaErrorNotReady ||
                                cudaStreamQuery(cudaStreamPerThread) == cudaErrorNotReady;
    unblock();
    (void)cudaGetLastError();  // "not ready" stays there, and who reads it next would take it for its own
    DSBENCH_CHECK(synchronize());
    if (error != 0) return tl::unexpected(launch_error(error));
    if (waited || finished) return std::string{"run() waits for the device; it may only enqueue"};
    if (default_stream) return std::string{"run() uses another stream than the one it was given"};
    if (free_bytes() != free_before || pool_bytes() != pool_before) {
      // The first launch of a kernel may load its module: that is the driver's doing, once.
      free_before = free_bytes();
      const std::uint64_t pool_again = pool_bytes();
      if (const int again = launch(0); again != 0) return tl::unexpected(launch_error(again));
      DSBENCH_CHECK(synchronize());
      if (free_bytes() != free_before || pool_bytes() != pool_again)
        return std::string{"run() allocates device memory; workspace_bytes() is for that"};
    }
    const Result<Captured> graph = capture(launch, 1, stream_capture_launches);
    if (!graph) return fmt::format("run() cannot be captured in a CUDA graph: {}", graph.error().message);
    if (graph->nodes == 0) return std::string{"run() enqueues nothing on the stream it was given"};
    return std::string{};
  }

  Result<Launch> control() override {
    if (control_ == nullptr) {
      DSBENCH_CHECK(ok(cudaMalloc(&control_, flush_bytes_), "allocating what the control copies to"));
      DSBENCH_CHECK(ok(cudaMemcpyAsync(control_, flush_, flush_bytes_, cudaMemcpyDeviceToDevice, stream_),
                       "copying for the first time"));
      DSBENCH_CHECK(synchronize());
    }
    return Launch{[this](int) {
      return static_cast<int>(
          cudaMemcpyAsync(control_, flush_, flush_bytes_, cudaMemcpyDeviceToDevice, stream_));
    }};
  }

  Result<const Ceilings*> ceilings() override {
    if (!ceilings_) {
      Ceilings found;
      DSBENCH_TRY(found.launch_floor_s, median_of(31, 0, [this] { return launch_empty(stream_); }));
      DSBENCH_TRY(found.copy_bytes_per_s, copy_bandwidth());
      add_peak(found, "bf16", cuda::LtKind::bf16, 2);
      add_peak(found, "fp8", cuda::LtKind::fp8_flat, 1);
      ceilings_ = std::move(found);
    }
    return &*ceilings_;
  }

 private:
  struct Captured {
    Captured() = default;
    Captured(const Captured&) = delete;
    Captured(Captured&& other) noexcept
        : graph{std::exchange(other.graph, nullptr)},
          executable{std::exchange(other.executable, nullptr)},
          nodes{other.nodes} {}
    Captured& operator=(Captured&&) = delete;
    ~Captured() {
      if (executable != nullptr) (void)cudaGraphExecDestroy(executable);
      if (graph != nullptr) (void)cudaGraphDestroy(graph);
    }
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    std::size_t nodes = 0;
  };

  CudaDevice() = default;

  Result<void> prepare() {
    // Non-blocking: a launch on the default stream does not wait for ours, and so shows.
    DSBENCH_CHECK(ok(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream"));
    DSBENCH_CHECK(ok(cudaEventCreate(&begin_), "making an event"));
    DSBENCH_CHECK(ok(cudaEventCreate(&end_), "making an event"));
    const std::size_t stamps = static_cast<std::size_t>(properties_.multiProcessorCount) * sizeof(ClockStamp);
    DSBENCH_CHECK(ok(cudaMalloc(&before_, stamps), "allocating clock stamps"));
    DSBENCH_CHECK(ok(cudaMalloc(&after_, stamps), "allocating clock stamps"));
    flush_bytes_ = 2 * static_cast<std::size_t>(cache_bytes());
    DSBENCH_CHECK(ok(cudaMalloc(&flush_, flush_bytes_), "allocating what the cache is flushed with"));
    void* mapped = nullptr;
    DSBENCH_CHECK(
        ok(cudaHostAlloc(&mapped, sizeof(BlockerFlags), cudaHostAllocMapped), "allocating mapped memory"));
    flags_ = new (mapped) BlockerFlags;
    void* seen = nullptr;
    DSBENCH_CHECK(ok(cudaHostGetDevicePointer(&seen, mapped, 0), "mapping memory"));
    device_flags_ = static_cast<BlockerFlags*>(seen);
    // Every kernel that a sample uses, once: what is loaded on first use must not be loaded behind the
    // blocker.
    flags_->go = 1;
    DSBENCH_CHECK(
        ok(launch_blocker(device_flags_, blocker_timeout_ns, stream_), "launching the first kernel"));
    DSBENCH_CHECK(ok(launch_empty(stream_), "launching the first kernel"));
    DSBENCH_CHECK(ok(launch_clock_stamps(before_, properties_.multiProcessorCount, stream_),
                     "launching the first kernel"));
    DSBENCH_CHECK(ok(cudaMemsetAsync(flush_, 0, flush_bytes_, stream_), "flushing the cache"));
    return synchronize();
  }

  int attribute(cudaDeviceAttr which) const {
    int value = 0;
    return cudaDeviceGetAttribute(&value, which, ordinal_) == cudaSuccess ? value : 0;
  }

  // What cudaMallocAsync has handed out of the default pool; cudaMemGetInfo does not see it.
  std::uint64_t pool_bytes() const {
    cudaMemPool_t pool = nullptr;
    std::uint64_t used = 0;
    if (cudaDeviceGetDefaultMemPool(&pool, ordinal_) != cudaSuccess) return 0;
    (void)cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemHigh, &used);
    return used;
  }

  int next_slot(int slots) {
    slot_ = slots > 0 ? (slot_ + 1) % slots : 0;
    return slot_;
  }

  Result<void> block() {
    flags_->go = 0;
    flags_->timed_out = 0;
    return ok(launch_blocker(device_flags_, blocker_timeout_ns, stream_), "launching the blocker");
  }
  void unblock() { flags_->go = 1; }

  // Everything is queued behind the blocker and then let go, so that no launch waits for the host: clocks,
  // cache flush, event, the work, event, clocks.
  template <class Work>
  Result<Sample> sample(CacheState cache, int launches, const Work& work) {
    const int processors = properties_.multiProcessorCount;
    const std::size_t stamps = static_cast<std::size_t>(processors) * sizeof(ClockStamp);
    std::vector<ClockStamp> before(static_cast<std::size_t>(processors));
    std::vector<ClockStamp> after(static_cast<std::size_t>(processors));
    DSBENCH_CHECK(ok(cudaMemsetAsync(before_, 0, stamps, stream_), "clearing the clock stamps"));
    DSBENCH_CHECK(ok(cudaMemsetAsync(after_, 0, stamps, stream_), "clearing the clock stamps"));
    DSBENCH_CHECK(block());
    int error = launch_clock_stamps(before_, processors, stream_);
    if (error == 0 && cache == CacheState::flush)
      error = cudaMemsetAsync(flush_, ++flush_value_, flush_bytes_, stream_);
    if (error == 0) error = cudaEventRecord(begin_, stream_);
    const int work_error = error == 0 ? work() : 0;
    if (error == 0) error = cudaEventRecord(end_, stream_);
    if (error == 0) error = launch_clock_stamps(after_, processors, stream_);
    const bool waited = flags_->timed_out != 0;
    unblock();  // whatever went wrong: the blocker must go
    DSBENCH_CHECK(ok(error, "queueing a sample"));
    DSBENCH_CHECK(ok(cudaStreamSynchronize(stream_), "running a sample"));
    if (work_error != 0) return tl::unexpected(launch_error(work_error));
    if (waited)
      return fail(ErrorKind::internal, "the kernel's run() waited for the device: it may only enqueue");
    float milliseconds = 0;
    DSBENCH_CHECK(ok(cudaEventElapsedTime(&milliseconds, begin_, end_), "reading the events"));
    DSBENCH_CHECK(
        ok(cudaMemcpy(before.data(), before_, stamps, cudaMemcpyDeviceToHost), "reading the clock stamps"));
    DSBENCH_CHECK(
        ok(cudaMemcpy(after.data(), after_, stamps, cudaMemcpyDeviceToHost), "reading the clock stamps"));
    return Sample{.seconds = static_cast<double>(milliseconds) * 1e-3 / launches,
                  .clock_hz = clock_between(before.data(), after.data(), processors)};
  }

  Result<Captured> capture(const Launch& launch, int slots, int launches) {
    Captured captured;
    DSBENCH_CHECK(
        ok(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "beginning a graph capture"));
    int error = 0;
    for (int i = 0; i < launches && error == 0; ++i) error = launch(slots > 0 ? i % slots : 0);
    const cudaError_t ended = cudaStreamEndCapture(stream_, &captured.graph);
    (void)cudaGetLastError();
    if (error != 0) return tl::unexpected(launch_error(error));
    DSBENCH_CHECK(ok(ended, "capturing a graph"));
    DSBENCH_CHECK(
        ok(cudaGraphGetNodes(captured.graph, nullptr, &captured.nodes), "counting the graph's nodes"));
    DSBENCH_CHECK(
        ok(cudaGraphInstantiate(&captured.executable, captured.graph, 0), "instantiating the graph"));
    return captured;
  }

  // Median seconds of `samples`, after `warm` that do not count.
  template <class Work>
  Result<double> median_of(int samples, int warm, const Work& work) {
    // What it loads on first use must not be loaded behind the blocker.
    DSBENCH_CHECK(ok(work(), "running what is to be measured"));
    DSBENCH_CHECK(synchronize());
    std::vector<double> seconds;
    for (int i = -warm; i < samples; ++i) {
      DSBENCH_TRY(const Sample s, sample(CacheState::rotate, 1, work));
      if (i >= 0) seconds.push_back(s.seconds);
    }
    std::ranges::nth_element(seconds, seconds.begin() + std::ssize(seconds) / 2);
    return seconds[seconds.size() / 2];
  }

  Result<double> copy_bandwidth() {
    // Far more than the cache, and no more than an eighth of what is free.
    const std::int64_t bytes = std::min<std::int64_t>(std::int64_t{2} << 30, free_bytes() / 8) / 4096 * 4096;
    DSBENCH_TRY(const DeviceMemory from, allocate(bytes));
    DSBENCH_TRY(const DeviceMemory to, allocate(bytes));
    DSBENCH_CHECK(ok(cudaMemset(from.data(), 1, static_cast<std::size_t>(bytes)), "filling memory"));
    DSBENCH_TRY(
        const double seconds, median_of(15, 3, [&] {
          return static_cast<int>(cudaMemcpyAsync(to.data(), from.data(), static_cast<std::size_t>(bytes),
                                                  cudaMemcpyDeviceToDevice, stream_));
        }));
    return 2 * static_cast<double>(bytes) / seconds;
  }

  // The best that cuBLASLt does with 8192³; a peak that cannot be measured is left out.
  void add_peak(Ceilings& found, std::string_view unit, cuda::LtKind kind, std::int64_t element_bytes) {
    constexpr std::int64_t side = 8192;
    Result<DeviceMemory> a = allocate(side * side * element_bytes);
    Result<DeviceMemory> w = allocate(side * side * element_bytes);
    Result<DeviceMemory> c = allocate(side * side * 2);
    Result<DeviceMemory> workspace = allocate(static_cast<std::int64_t>(cuda::lt_workspace_bytes));
    if (!a || !w || !c || !workspace) return;
    // Not zeros, which draw less power: 0x3a is 0.8125 in e4m3, 0x3a3a is 0.00071 in bf16; every other byte
    // pair negative.
    std::vector<std::uint8_t> values(static_cast<std::size_t>(side * side * element_bytes));
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<std::uint8_t>(0x30 + (i * 2654435761U >> 27) % 16 + (i % 4 == 1 ? 0x80 : 0));
    if (!upload(a->data(), values.data(), std::ssize(values)) ||
        !upload(w->data(), values.data(), std::ssize(values)))
      return;
    const auto product =
        cuda::LtProduct::make({.kind = kind, .m = side, .n = side, .k = side},
                              {.a = a->data(), .w = w->data(), .c = c->data()}, workspace->data(), stream_);
    if (!product) return;
    const Result<double> seconds = median_of(15, 5, [&] { return (*product)->run(stream_); });
    if (!seconds) return;
    found.peaks.push_back({std::string{unit}, 2.0 * side * side * side / *seconds, "cublasLt 8192³"});
  }

  int ordinal_ = 0;
  cudaDeviceProp properties_ = {};
  cudaStream_t stream_ = nullptr;
  cudaEvent_t begin_ = nullptr;
  cudaEvent_t end_ = nullptr;
  ClockStamp* before_ = nullptr;
  ClockStamp* after_ = nullptr;
  void* flush_ = nullptr;
  void* control_ = nullptr;
  std::size_t flush_bytes_ = 0;
  int flush_value_ = 0;
  BlockerFlags* flags_ = nullptr;
  BlockerFlags* device_flags_ = nullptr;
  int slot_ = -1;
  std::optional<Ceilings> ceilings_;
};

}  // namespace

Result<std::unique_ptr<Device>> open_cuda_device(int ordinal) {
  return CudaDevice::open(ordinal);
}

}  // namespace dsbench::kernelbench
