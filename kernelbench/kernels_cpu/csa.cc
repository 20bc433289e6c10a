#include <algorithm>
#include <cmath>
#include <vector>

#include "kernelbench/kernels_cpu/float_rows.h"
#include "kernelbench/kernels_cpu/kernel_adapter.h"
#include "kernelbench/kernels_cpu/split_attention.h"
#include "kernelbench/kernels_cpu/tables.h"

// DeepSeek-V4's attention: the window and the named entries are one list for one softmax, whose sink comes in
// when its parts are joined.
namespace dsbench::kernelbench::cpu {
namespace {

constexpr std::int32_t kWidth = 512;
constexpr std::int32_t kRope = 64;
constexpr float kScale = 0.04419417382415922F;  // 512^-0.5

// Entries of a cache in pages. With fp8 a page has first the numbers of all its entries, 448 codes and the
// rotary ones in bf16, then 8 bytes for each, the powers of two of 64 codes each.
class Pages {
 public:
  Pages(const dsb_tensor& cache, std::int64_t entries, bool fp8)
      : begin_{static_cast<const std::uint8_t*>(cache.data)},
        entries_{entries},
        page_bytes_{fp8 ? cache.shape[1] : entries * kEntry},
        entry_bytes_{fp8 ? kCoded : kEntry},
        end_{begin_ + cache.shape[0] * page_bytes_} {}

  [[nodiscard]] const std::uint8_t* entry(std::int64_t row) const {
    return begin_ + row / entries_ * page_bytes_ + row % entries_ * entry_bytes_;
  }
  [[nodiscard]] bool holds(const std::uint8_t* entry) const { return entry >= begin_ && entry < end_; }
  [[nodiscard]] const std::uint8_t* scales_of(const std::uint8_t* entry) const {
    const std::int64_t page = (entry - begin_) / page_bytes_ * page_bytes_;
    return begin_ + page + entries_ * kCoded + (entry - begin_ - page) / kCoded * 8;
  }

  static constexpr std::int32_t kCodes = kWidth - kRope;
  static constexpr std::int64_t kCoded = kCodes + 2 * kRope;

 private:
  static constexpr std::int64_t kEntry = 4 * kWidth;

  const std::uint8_t* begin_;
  std::int64_t entries_;
  std::int64_t page_bytes_;
  std::int64_t entry_bytes_;
  const std::uint8_t* end_;
};

class CsaDecode {
 public:
  static constexpr const char* kOp = "csa_decode";
  static bool supports(const Problem& p) { return p.dtype == "f32" || p.dtype == "fp8"; }
  explicit CsaDecode(const Cell& cell)
      : cell_{cell},
        fp8_{cell.problem.dtype == "fp8"},
        near_{cell.in[1], cell.problem["window"], fp8_},
        far_{cell.in[2], cell.problem["page"], fp8_},
        listed_{cell.in[3].shape[1]},
        rows_{cell, cell.problem["batch"] * cell.problem["heads"], kWidth},
        attention_{cell, 1, cell.problem["heads"], kWidth, kWidth, rows_.o(), fp8_} {
    form_ = {
        .codes = Pages::kCodes, .group = kTile, .rest_at = Pages::kCodes, .scales = scales, .context = this};
  }
  CsaDecode(const CsaDecode&) = delete;  // form_ holds its address
  CsaDecode& operator=(const CsaDecode&) = delete;

  void run() {
    const Problem& p = cell_.problem;
    const std::int64_t heads = p["heads"];
    const std::int64_t batch = p["batch"];
    entries_.clear();
    entries_.reserve(static_cast<std::size_t>(batch * (p["window"] + listed_)));  // they must not move
    attention_.begin();
    for (std::int64_t b = 0; b < batch; ++b) {
      const std::int64_t length = cell_.input<std::int32_t>(4)[b];
      const std::int64_t recent = std::min(length, p["window"]);
      if (recent == 0) {
        attention_.nothing(b * heads, heads);
        for (std::int64_t row = b * heads; row < (b + 1) * heads; ++row) rows_.finish(row);
        continue;
      }
      const std::size_t first = entries_.size();
      for (std::int64_t i = 0; i < recent; ++i) entries_.push_back(near_.entry(b * p["window"] + i));
      append_named(cell_.input<std::int32_t>(3) + b * listed_, std::min(listed_, length / p["ratio"]),
                   entries_, [&](std::int64_t id) { return far_.entry(id); });
      const auto count = static_cast<std::int64_t>(entries_.size() - first);
      kernels::AttentionArgs args;
      args.queries = 1;
      args.heads = static_cast<std::int32_t>(heads);
      args.kv_lora = kWidth;
      args.width = kWidth;
      args.scale = kScale;
      args.first_position = static_cast<std::int32_t>(count - 1);
      args.entries = entries_.data() + first;
      if (fp8_) {
        args.half_q = cell_.input<std::uint16_t>(0) + b * heads * kWidth;
        args.coded = &form_;
        args.slot_bytes = Pages::kCoded;
      } else {
        args.q = cell_.input<float>(0) + b * heads * kWidth;
      }
      attention_.add(args, count, b * heads, splits_of(batch, count, cell_.pool->threads()));
    }
    attention_.run([&](std::int64_t row) { finish(row / heads, row % heads); });
  }

 private:
  static constexpr std::int32_t kTile = 64;  // codes that share a scale

  static void scales(const void* context, const void* entry, float* to) {
    const auto& self = *static_cast<const CsaDecode*>(context);
    const auto* const codes = static_cast<const std::uint8_t*>(entry);
    const std::uint8_t* const powers = (self.near_.holds(codes) ? self.near_ : self.far_).scales_of(codes);
    for (std::int64_t i = 0; i < Pages::kCodes / kTile; ++i) to[i] = std::ldexp(1.0F, int{powers[i]} - 127);
  }

  // The sink takes its share, and the rotary numbers are turned back.
  void finish(std::int64_t request, std::int64_t head) {
    const std::int64_t row = request * cell_.problem["heads"] + head;
    float* const o = rows_.o() + row * kWidth;
    const float share = 1 / (1 + std::exp(cell_.input<float>(5)[head] - cell_.output<float>(1)[row]));
    for (std::int64_t i = 0; i < kWidth; ++i) o[i] *= share;
    const float* const cosines = cell_.input<float>(6) + request * kRope;
    const float* const sines = cosines + kRope / 2;
    float* const rotary = o + kWidth - kRope;
    for (std::int64_t i = 0; i < kRope / 2; ++i) {
      const float x = rotary[2 * i];
      const float y = rotary[2 * i + 1];
      rotary[2 * i] = x * cosines[i] + y * sines[i];
      rotary[2 * i + 1] = y * cosines[i] - x * sines[i];
    }
    rows_.finish(row);
  }

  Cell cell_;
  bool fp8_;
  Pages near_;
  Pages far_;
  std::int64_t listed_;
  FloatRows rows_;
  kernels::CodedEntries form_;
  SplitAttention attention_;
  std::vector<const void*> entries_;
};

}  // namespace

void add_csa(std::vector<dsb_kernel>& kernels) {
  kernels.push_back(Adapter<CsaDecode>::table("cpu_split"));
}

}  // namespace dsbench::kernelbench::cpu
