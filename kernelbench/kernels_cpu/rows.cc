#include <algorithm>
#include <cstring>
#include <vector>

#include "engine/kernels/cpu/gate.h"
#include "engine/kernels/cpu/moe_rows.h"
#include "engine/kernels/cpu/packed_matrix.h"
#include "kernelbench/kernels_cpu/kernel_adapter.h"
#include "kernelbench/kernels_cpu/split.h"
#include "kernelbench/kernels_cpu/tables.h"

// What goes row by row and is bound by memory.
namespace dsbench::kernelbench::cpu {
namespace {

constexpr float kEps = 1e-6F;

class RmsNorm {
 public:
  static constexpr const char* kOp = "rmsnorm";
  static bool supports(const Problem& p) { return p.dtype == "f32"; }
  explicit RmsNorm(const Cell& cell)
      : cell_{cell}, rows_{cell.problem["tokens"]}, hidden_{cell.problem["hidden"]} {}
  void run() {
    const float* x = cell_.input<float>(0);
    float* y = cell_.output<float>(0);
    in_parts(*cell_.pool, rows_, hidden_, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t at = begin * hidden_; at < end * hidden_; at += hidden_) {
        cell_.table->rms_norm(x + at, cell_.input<float>(1), kEps, static_cast<std::int32_t>(hidden_),
                              y + at);
      }
    });
  }

 private:
  Cell cell_;
  std::int64_t rows_;
  std::int64_t hidden_;
};

class AddRmsNorm {
 public:
  static constexpr const char* kOp = "add_rmsnorm";
  static bool supports(const Problem& p) { return p.dtype == "f32"; }
  explicit AddRmsNorm(const Cell& cell)
      : cell_{cell}, rows_{cell.problem["tokens"]}, hidden_{cell.problem["hidden"]} {}
  void run() {
    in_parts(*cell_.pool, rows_, hidden_, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t at = begin * hidden_; at < end * hidden_; at += hidden_) {
        cell_.table->add_rms_norm(cell_.input<float>(0) + at, cell_.input<float>(1) + at,
                                  cell_.input<float>(2), kEps, static_cast<std::int32_t>(hidden_),
                                  cell_.output<float>(1) + at, cell_.output<float>(0) + at);
      }
    });
  }

 private:
  Cell cell_;
  std::int64_t rows_;
  std::int64_t hidden_;
};

class Swiglu {
 public:
  static constexpr const char* kOp = "swiglu";
  static bool supports(const Problem& p) { return p.dtype == "f32"; }
  explicit Swiglu(const Cell& cell)
      : cell_{cell}, rows_{cell.problem["rows"]}, inter_{cell.problem["inter"]} {}
  void run() {
    in_parts(*cell_.pool, rows_, 4 * inter_, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const float* x = cell_.input<float>(0) + row * 2 * inter_;
        cell_.table->swiglu_to(x, x + inter_, static_cast<std::int32_t>(inter_),
                               cell_.output<float>(0) + row * inter_);
      }
    });
  }

 private:
  Cell cell_;
  std::int64_t rows_;
  std::int64_t inter_;
};

constexpr std::int64_t kGroup = 128;

// Rows of bf16, as they are or through swiglu, to e4m3 with a scale for every 128.
template <bool kSwiglu>
class GroupQuant {
 public:
  static constexpr const char* kOp = kSwiglu ? "swiglu_quant" : "group_quant";
  static bool supports(const Problem&) { return true; }
  explicit GroupQuant(const Cell& cell)
      : cell_{cell},
        rows_{cell.problem[kSwiglu ? "rows" : "tokens"]},
        width_{cell.problem[kSwiglu ? "inter" : "hidden"]} {}
  void run() {
    const auto* x = cell_.input<std::uint16_t>(0);
    in_parts(*cell_.pool, rows_, 4 * width_, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const std::int64_t at = row * width_;
        const std::uint16_t* from = kSwiglu ? x + 2 * at : x + at;
        cell_.table->quantise_groups(
            from, kSwiglu ? from + width_ : nullptr, static_cast<std::int32_t>(width_ / kGroup),
            cell_.output<std::uint8_t>(0) + at, cell_.output<float>(1) + at / kGroup);
      }
    });
  }

 private:
  Cell cell_;
  std::int64_t rows_;
  std::int64_t width_;
};

class RowQuant {
 public:
  static constexpr const char* kOp = "row_quant";
  static bool supports(const Problem&) { return true; }
  explicit RowQuant(const Cell& cell)
      : cell_{cell}, rows_{cell.problem["tokens"]}, hidden_{cell.problem["hidden"]} {}
  void run() {
    in_parts(*cell_.pool, rows_, hidden_, [&](std::int64_t begin, std::int64_t end) {
      // The kernel pads a row to a multiple of 4 with zeros: one that has none goes by way of a buffer,
      // because what lies behind it is another's.
      std::vector<std::int8_t> padded(hidden_ % 4 == 0 ? 0 : static_cast<std::size_t>(hidden_ + 4));
      for (std::int64_t row = begin; row < end; ++row) {
        std::int32_t sum = 0;
        std::int8_t* y = cell_.output<std::int8_t>(0) + row * hidden_;
        cell_.output<float>(1)[row] =
            cell_.table->quantise(cell_.input<float>(0) + row * hidden_, static_cast<std::int32_t>(hidden_),
                                  padded.empty() ? y : padded.data(), &sum);
        if (!padded.empty()) std::memcpy(y, padded.data(), static_cast<std::size_t>(hidden_));
      }
    });
  }

 private:
  Cell cell_;
  std::int64_t rows_;
  std::int64_t hidden_;
};

class Gate {
 public:
  static constexpr const char* kOp = "moe_gate";
  static bool supports(const Problem& p) { return p["experts"] <= 1024; }
  explicit Gate(const Cell& cell) : cell_{cell}, tokens_{cell.problem["tokens"]} {
    using engine::kernels::Scoring;
    const Problem& p = cell.problem;
    config_ = {.experts = static_cast<std::int32_t>(p["experts"]),
               .top_k = static_cast<std::int32_t>(p["top_k"]),
               .groups = static_cast<std::int32_t>(p["groups"]),
               .kept_groups = static_cast<std::int32_t>(p["kept_groups"]),
               .scoring = p.word("scoring") == "sigmoid"   ? Scoring::sigmoid
                          : p.word("scoring") == "softmax" ? Scoring::softmax
                                                           : Scoring::sqrt_softplus,
               .renormalise = p.word("renormalise") == "yes",
               .routed_scale = static_cast<double>(p["scale_milli"]) / 1000};
    biased_ = p.word("bias") == "yes";
  }
  void run() {
    const auto experts = static_cast<std::size_t>(config_.experts);
    const auto top_k = static_cast<std::size_t>(config_.top_k);
    const std::span<const float> bias(cell_.input<float>(1), biased_ ? experts : 0);
    in_parts(*cell_.pool, tokens_, 16 * config_.experts, [&](std::int64_t begin, std::int64_t end) {
      float scores[1024];
      float scratch[2048];
      for (std::int64_t t = begin; t < end; ++t) {
        const auto row = static_cast<std::size_t>(t);
        std::memcpy(scores, cell_.input<float>(0) + row * experts, experts * sizeof(float));
        kernels::gate(*cell_.table, config_, std::span(scores, experts), bias, scratch,
                      std::span(cell_.output<std::int32_t>(0) + row * top_k, top_k),
                      std::span(cell_.output<float>(1) + row * top_k, top_k));
      }
    });
  }

 private:
  Cell cell_;
  std::int64_t tokens_;
  engine::kernels::GateConfig config_;
  bool biased_ = false;
};

class Align {
 public:
  static constexpr const char* kOp = "moe_align";
  static bool supports(const Problem&) { return true; }
  explicit Align(const Cell& cell) : cell_{cell} {}
  void run() {
    kernels::align_experts(cell_.input<std::int32_t>(0), cell_.problem["tokens"] * cell_.problem["top_k"],
                           static_cast<std::int32_t>(cell_.problem["experts"]), cell_.output<std::int32_t>(0),
                           cell_.output<std::int32_t>(1));
  }

 private:
  Cell cell_;
};

class Permute {
 public:
  static constexpr const char* kOp = "moe_permute";
  static bool supports(const Problem&) { return true; }
  explicit Permute(const Cell& cell) : cell_{cell} {
    for (int i = 0; i < (cell.problem.dtype == "fp8" ? 2 : 1); ++i) {
      const dsb_tensor& y = cell.out[i];
      bytes_.push_back(y.shape[1] * (y.dtype == DSB_F32 ? 4 : y.dtype == DSB_BF16 ? 2 : 1));
    }
  }
  void run() {
    const std::int64_t top_k = cell_.problem["top_k"];
    const auto* slots = cell_.input<std::int32_t>(static_cast<int>(bytes_.size()));
    in_parts(*cell_.pool, cell_.problem["tokens"], bytes_[0] * top_k / 4,
             [&](std::int64_t begin, std::int64_t end) {
               for (std::size_t i = 0; i < bytes_.size(); ++i) {
                 const auto size = static_cast<std::size_t>(bytes_[i]);
                 for (std::int64_t c = begin * top_k; c < end * top_k; ++c) {
                   std::memcpy(cell_.output<char>(static_cast<int>(i)) + slots[c] * bytes_[i],
                               cell_.input<char>(static_cast<int>(i)) + c / top_k * bytes_[i], size);
                 }
               }
             });
  }

 private:
  Cell cell_;
  std::vector<std::int64_t> bytes_;  // of a row of each output
};

class Unpermute {
 public:
  static constexpr const char* kOp = "moe_unpermute";
  static bool supports(const Problem& p) { return p.dtype == "f32" && p["top_k"] <= kMost; }
  explicit Unpermute(const Cell& cell) : cell_{cell} {}
  void run() {
    const std::int64_t top_k = cell_.problem["top_k"];
    const std::int64_t hidden = cell_.problem["hidden"];
    const auto* slots = cell_.input<std::int32_t>(1);
    in_parts(*cell_.pool, cell_.problem["tokens"], hidden * top_k, [&](std::int64_t begin, std::int64_t end) {
      const float* rows[kMost];
      for (std::int64_t t = begin; t < end; ++t) {
        for (std::int64_t j = 0; j < top_k; ++j)
          rows[j] = cell_.input<float>(0) + slots[t * top_k + j] * hidden;
        cell_.table->combine(rows, cell_.input<float>(2) + t * top_k, static_cast<std::int32_t>(top_k),
                             static_cast<std::int32_t>(hidden), cell_.output<float>(0) + t * hidden);
      }
    });
  }

 private:
  static constexpr std::int64_t kMost = 64;
  Cell cell_;
};

class RopeKvWrite {
 public:
  static constexpr const char* kOp = "rope_kv_write";
  static bool supports(const Problem& p) { return p.dtype == "f32" && p["rope"] <= kernels::kMaxRope; }
  explicit RopeKvWrite(const Cell& cell)
      : cell_{cell},
        heads_{cell.problem["heads"]},
        kv_lora_{cell.problem["kv_lora"]},
        rope_{cell.problem["rope"]} {
    half_ = cell.problem.word("pairing") == "half";
  }
  void run() {
    const std::int64_t width = kv_lora_ + rope_;
    in_parts(*cell_.pool, cell_.problem["tokens"], 4 * heads_ * rope_ + width,
             [&](std::int64_t begin, std::int64_t end) {
               for (std::int64_t t = begin; t < end; ++t) {
                 if (t + kAhead < end) ask_for(t + kAhead, width);
                 const float* turns = cell_.input<float>(2) + cell_.input<std::int32_t>(3)[t] * rope_;
                 turn(cell_.input<float>(0) + t * heads_ * rope_, heads_, turns,
                      cell_.output<float>(0) + t * heads_ * rope_);
                 const float* kv = cell_.input<float>(1) + t * width;
                 float* slot = cell_.output<float>(1) + cell_.input<std::int32_t>(4)[t] * width;
                 std::memcpy(slot, kv, static_cast<std::size_t>(kv_lora_) * sizeof(float));
                 turn(kv + kv_lora_, 1, turns, slot + kv_lora_);
               }
             });
  }

 private:
  static constexpr std::int64_t kAhead = 2;  // tokens

  // What lies where no one can guess: a token's angles, and the slot that it is written to.
  void ask_for(std::int64_t t, std::int64_t width) const {
    const float* turns = cell_.input<float>(2) + cell_.input<std::int32_t>(3)[t] * rope_;
    for (std::int64_t i = 0; i < rope_; i += 16) __builtin_prefetch(turns + i);
    const float* slot = cell_.output<float>(1) + cell_.input<std::int32_t>(4)[t] * width;
    for (std::int64_t i = 0; i < width; i += 16) __builtin_prefetch(slot + i, 1);
  }

  void turn(const float* x, std::int64_t heads, const float* turns, float* y) const {
    cell_.table->rope({.x = x,
                       .heads = static_cast<std::int32_t>(heads),
                       .width = static_cast<std::int32_t>(rope_),
                       .turns = turns,
                       .halves = half_,
                       .y = y});
  }

  Cell cell_;
  std::int64_t heads_;
  std::int64_t kv_lora_;
  std::int64_t rope_;
  bool half_ = false;
};

}  // namespace

void add_rows(std::vector<dsb_kernel>& kernels) {
  kernels.push_back(Adapter<Gate>::table("cpu_rows"));
  kernels.push_back(Adapter<Align>::table("cpu_count"));
  kernels.push_back(Adapter<Permute>::table("cpu_rows"));
  kernels.push_back(Adapter<Unpermute>::table("cpu_rows"));
  kernels.push_back(Adapter<Swiglu>::table("cpu_rows"));
  kernels.push_back(Adapter<GroupQuant<true>>::table("cpu_rows"));
  kernels.push_back(Adapter<GroupQuant<false>>::table("cpu_rows"));
  kernels.push_back(Adapter<RowQuant>::table("cpu_rows"));
  kernels.push_back(Adapter<RmsNorm>::table("cpu_rows"));
  kernels.push_back(Adapter<AddRmsNorm>::table("cpu_rows"));
  kernels.push_back(Adapter<RopeKvWrite>::table("cpu_rows"));
}

}  // namespace dsbench::kernelbench::cpu
