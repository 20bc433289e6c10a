#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <fstream>
#include <new>
#include <optional>
#include <string>
#include <thread>

#include "core/clock.h"
#include "engine/kernels/cpu/kernel_table.h"
#include "engine/kernels/cpu/packed_matrix.h"
#include "engine/kernels/cpu/thread_pool.h"
#include "kernelbench/device.h"
#include "kernelbench/kernels_cpu/shared_pool.h"
#include "kernelbench/kernels_cpu/table_in_use.h"
#include "kernelbench/measure/cpu_peaks.h"
#include "results/host_facts.h"

namespace dsbench::kernelbench {
namespace {

namespace kernels = engine::kernels::cpu;

constexpr std::int64_t kUnknownCache = std::int64_t{32} << 20;

// The largest cache of the first processor.
std::int64_t last_level_cache() {
  std::int64_t largest = 0;
  for (int index = 0; index < 8; ++index) {
    std::ifstream in(fmt::format("/sys/devices/system/cpu/cpu0/cache/index{}/size", index));
    std::int64_t size = 0;
    char unit = ' ';
    if (!(in >> size)) continue;
    in >> unit;
    largest = std::max(largest, unit == 'M' ? size << 20 : unit == 'K' ? size << 10 : size);
  }
  return largest > 0 ? largest : kUnknownCache;
}

class CpuDevice final : public Device {
 public:
  explicit CpuDevice(int threads)
      : pool_{cpu::shared_pool(threads)}, cache_bytes_{last_level_cache()}, scrub_{2 * cache_bytes_ / 4} {
    scrub_.fill(1);
  }

  std::string_view word() const override { return "cpu"; }
  int sm_arch() const override { return 0; }
  int threads() const override { return pool_.threads(); }
  void* stream() const override { return nullptr; }

  std::vector<std::pair<std::string, std::string>> facts() const override {
    std::vector<std::pair<std::string, std::string>> facts;
    for (auto& [key, value] : results::describe_host()) {
      if (key == "cpu_model" || key == "cpu_governor" || key == "cgroup_cpu_max")
        facts.emplace_back(key, value);
    }
    facts.emplace_back("kernels", cpu::table_in_use().name);
    facts.emplace_back("threads", std::to_string(threads()));
    facts.emplace_back("cache_bytes", std::to_string(cache_bytes_));
    return facts;
  }

  Result<DeviceMemory> allocate(std::int64_t bytes) override {
    try {
      // Kernels may read a vector beyond the end of a buffer, never write there.
      void* data = kernels::allocate_aligned(static_cast<std::size_t>((bytes + 255) / 256 * 256 + 256));
      return DeviceMemory{data, bytes, [](void* p) { std::free(p); }};
    } catch (const std::bad_alloc&) {
      return fail(ErrorKind::memory, "{} bytes of operands do not fit into memory", bytes);
    }
  }
  Result<void> upload(void* device, const void* host, std::int64_t bytes) override {
    if (bytes > 0) std::memcpy(device, host, static_cast<std::size_t>(bytes));
    return {};
  }
  Result<void> download(void* host, const void* device, std::int64_t bytes) override {
    if (bytes > 0) std::memcpy(host, device, static_cast<std::size_t>(bytes));
    return {};
  }
  Result<void> synchronize() override { return {}; }
  std::int64_t free_bytes() const override {
    const long pages = sysconf(_SC_AVPHYS_PAGES);
    return pages <= 0 ? 0 : std::int64_t{pages} * sysconf(_SC_PAGESIZE);
  }
  std::int64_t cache_bytes() const override { return cache_bytes_; }

  Result<Sample> time(const Launch& launch, int slots, CacheState cache) override {
    if (cache == CacheState::flush) flush();
    return timed(launch, slots, 1);
  }
  Result<Sample> time_graph(const Launch& launch, int slots, int launches) override {
    return timed(launch, slots, launches);
  }
  Result<std::string> conduct(const Launch&) override { return std::string{}; }

  Result<Launch> control() override {
    if (control_.size() == 0) {
      control_ = kernels::AlignedBuffer<float>{scrub_.size()};
      control_.fill(0);
    }
    return Launch{[this](int) {
      const std::int64_t n = scrub_.size();
      const int parts = pool_.threads();
      pool_.run(parts, [&](int unit, int) {
        const std::int64_t begin = n * unit / parts;
        std::copy(scrub_.data() + begin, scrub_.data() + n * (unit + 1) / parts, control_.data() + begin);
      });
      return 0;
    }};
  }

  Result<const Ceilings*> ceilings() override {
    if (!ceilings_) {
      ceilings_ = measure_cpu_ceilings(pool_, cache_bytes_, clock_);
      std::vector<double> floors;
      for (int i = 0; i < 101; ++i) {
        DSBENCH_TRY(const Sample sample, timed([](int) { return 0; }, 1, 1));
        floors.push_back(sample.seconds);
      }
      std::nth_element(floors.begin(), floors.begin() + 50, floors.end());
      ceilings_->launch_floor_s = floors[50];
    }
    return &*ceilings_;
  }

  Result<const Ceilings*> ceilings_again() override {
    DSBENCH_CHECK(ceilings());
    const Ceilings again = measure_cpu_ceilings(pool_, cache_bytes_, clock_);
    ceilings_->copy_bytes_per_s = std::max(ceilings_->copy_bytes_per_s, again.copy_bytes_per_s);
    ceilings_->read_bytes_per_s = std::max(ceilings_->read_bytes_per_s, again.read_bytes_per_s);
    for (std::size_t i = 0; i < ceilings_->peaks.size(); ++i) {
      double& peak = ceilings_->peaks[i].flops_per_s;
      peak = std::max(peak, again.peaks[i].flops_per_s);
    }
    return &*ceilings_;
  }

 private:
  // Writes through twice the last-level cache, every thread its part, so that no core's own cache keeps an
  // operand.
  void flush() {
    const std::int64_t n = scrub_.size();
    const int parts = pool_.threads();
    pool_.run(parts, [&](int unit, int) {
      float* data = scrub_.data();
      for (std::int64_t i = n * unit / parts; i < n * (unit + 1) / parts; i += 16) data[i] += 1;
    });
  }

  // Returns when every thread has arrived: the kernel that comes next finds them awake, as the next kernel of
  // a step does. (A thread that sleeps takes tens of microseconds to come.)
  void wake() {
    std::atomic<int> arrived{0};
    const int threads = pool_.threads();
    pool_.run(threads, [&](int, int) {
      arrived.fetch_add(1);
      while (arrived.load() < threads) std::this_thread::yield();
    });
  }

  Result<Sample> timed(const Launch& launch, int slots, int launches) {
    const int first = next_slot_;
    next_slot_ = (next_slot_ + launches) % std::max(slots, 1);
    wake();
    const Nanos before = clock_.now();
    run_probe_cycles();
    const Nanos start = clock_.now();
    int error = 0;
    for (int i = 0; i < launches && error == 0; ++i) error = launch((first + i) % slots);
    const Nanos end = clock_.now();
    run_probe_cycles();
    const Nanos after = clock_.now();
    if (error != 0) return fail(ErrorKind::internal, "the kernel returned error {}", error);
    const double probe = to_seconds((start - before) + (after - end));
    return Sample{.seconds = to_seconds(end - start) / launches,
                  .clock_hz = probe > 0 ? 2 * static_cast<double>(kProbeCycles) / probe : 0};
  }

  SteadyClock clock_;
  kernels::ThreadPool& pool_;  // the kernels' own
  std::int64_t cache_bytes_;
  kernels::AlignedBuffer<float> scrub_;
  kernels::AlignedBuffer<float> control_;
  int next_slot_ = 0;
  std::optional<Ceilings> ceilings_;
};

}  // namespace

Result<std::unique_ptr<Device>> open_cpu_device(int threads) {
  const int cores = std::max(1, static_cast<int>(kernels::allowed_cpus().size()));
  if (threads > 4 * cores)
    return fail(ErrorKind::usage,
                "{} threads were asked for; this process may use {} cores, and up to {} threads are accepted",
                threads, cores, 4 * cores);
  return std::unique_ptr<Device>{std::make_unique<CpuDevice>(threads > 0 ? threads : cores)};
}

}  // namespace dsbench::kernelbench
