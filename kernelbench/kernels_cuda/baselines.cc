#include <cuda_runtime.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "kernelbench/kernels_cuda/cublas_lt.h"
#include "kernelbench/kernels_cuda/kernel_adapter.h"
#include "kernelbench/kernels_cuda/lt_product.h"
#include "kernelbench/kernels_cuda/tables.h"

namespace dsbench::kernelbench::cuda {
namespace {

bool cublas_is_there() {
  const Result<const CublasLt*> lt = cublas_lt();
  if (!lt) set_last_error(lt.error().message);
  return lt.has_value();
}

// A product whose cuBLASLt plan is made by prepare(), which times the candidates on the default stream.
struct Baseline {
  Baseline(const LtShape& shape, const LtOperands& operands, void* workspace) {
    Result<std::unique_ptr<LtProduct>> made = LtProduct::make(shape, operands, workspace, nullptr);
    if (!made) throw std::runtime_error(made.error().message);
    product = std::move(*made);
  }
  [[nodiscard]] Status run(void* stream) const { return product->run(stream); }
  static std::string text_of(Status status) { return "cublasLtMatmul gives error " + std::to_string(status); }
  std::unique_ptr<LtProduct> product;
};

LtShape dense(const Problem& p, LtKind kind) {
  return {.kind = kind, .m = p["m"], .n = p["n"], .k = p["k"]};
}

struct Gemm : Baseline {
  static constexpr const char* kOp = "gemm";
  static bool supports(const Problem& p) { return p.dtype == "bf16" && cublas_is_there(); }
  static std::uint64_t workspace_bytes(const Problem&) { return lt_workspace_bytes; }
  explicit Gemm(const Cell& cell)
      : Baseline(dense(cell.problem, LtKind::bf16),
                 {.a = cell.input(0), .w = cell.input(1), .c = cell.output(0)}, cell.workspace) {}
};

struct Absorb : Baseline {
  static constexpr const char* kOp = "mla_absorb";
  static bool supports(const Problem& p) { return p.dtype == "bf16" && cublas_is_there(); }
  static std::uint64_t workspace_bytes(const Problem&) { return lt_workspace_bytes; }
  static LtShape shape(const Problem& p) {
    return {.kind = LtKind::bf16,
            .m = p["tokens"],
            .n = p["out"],
            .k = p["in"],
            .batch = p["heads"],
            .a_row = p["heads"] * p["in"],
            .c_row = p["heads"] * p["out"],
            .a_batch = p["in"],
            .w_batch = p["in"] * p["out"],
            .c_batch = p["out"]};
  }
  explicit Absorb(const Cell& cell)
      : Baseline(shape(cell.problem), {.a = cell.input(0), .w = cell.input(1), .c = cell.output(0)},
                 cell.workspace) {}
};

// With the scales repacked once, untimed, into the order that cuBLASLt wants: in its favour, because a real
// step would have to do that for the activations each time.
struct Fp8Gemm : Baseline {
  static constexpr const char* kOp = "fp8_gemm";
  static bool supports(const Problem& p) { return p.dtype == "fp8" && cublas_is_there(); }
  static std::int64_t k_blocks(const Problem& p) { return p["k"] / 128; }
  static std::int64_t n_blocks(const Problem& p) { return (p["n"] + 127) / 128; }
  static std::uint64_t a_scale_bytes(const Problem& p) {
    return (static_cast<std::uint64_t>(p["m"] * k_blocks(p)) * sizeof(float) + 255) / 256 * 256;
  }
  static std::uint64_t workspace_bytes(const Problem& p) {
    return lt_workspace_bytes + a_scale_bytes(p) +
           static_cast<std::uint64_t>(lt_w_scale_count(k_blocks(p), n_blocks(p))) * sizeof(float);
  }
  static LtOperands operands(const Cell& cell) {
    const Problem& p = cell.problem;
    const std::int64_t blocks = k_blocks(p);
    auto* const a_scale =
        reinterpret_cast<float*>(static_cast<std::byte*>(cell.workspace) + lt_workspace_bytes);
    auto* const w_scale = reinterpret_cast<float*>(static_cast<std::byte*>(cell.workspace) +
                                                   lt_workspace_bytes + a_scale_bytes(p));
    std::vector<float> from(static_cast<std::size_t>(p["m"] * blocks));
    std::vector<float> to(from.size());
    copy(from.data(), cell.input(1), from.size(), cudaMemcpyDeviceToHost);
    for (std::int64_t row = 0; row < p["m"]; ++row) {
      for (std::int64_t b = 0; b < blocks; ++b)
        to[static_cast<std::size_t>(lt_a_scale_index(p["m"], row, b))] =
            from[static_cast<std::size_t>(row * blocks + b)];
    }
    copy(a_scale, to.data(), to.size(), cudaMemcpyHostToDevice);
    from.assign(static_cast<std::size_t>(n_blocks(p) * blocks), 0);
    to.assign(static_cast<std::size_t>(lt_w_scale_count(blocks, n_blocks(p))), 0);
    copy(from.data(), cell.input(3), from.size(), cudaMemcpyDeviceToHost);
    for (std::int64_t n = 0; n < n_blocks(p); ++n) {
      for (std::int64_t b = 0; b < blocks; ++b)
        to[static_cast<std::size_t>(lt_w_scale_index(blocks, n, b))] =
            from[static_cast<std::size_t>(n * blocks + b)];
    }
    copy(w_scale, to.data(), to.size(), cudaMemcpyHostToDevice);
    return {
        .a = cell.input(0), .a_scale = a_scale, .w = cell.input(2), .w_scale = w_scale, .c = cell.output(0)};
  }
  explicit Fp8Gemm(const Cell& cell)
      : Baseline(dense(cell.problem, LtKind::fp8_block), operands(cell), cell.workspace) {}

 private:
  static void copy(void* to, const void* from, std::size_t floats, cudaMemcpyKind kind) {
    if (const cudaError_t error = cudaMemcpy(to, from, floats * sizeof(float), kind); error != cudaSuccess)
      throw std::runtime_error(cudaGetErrorString(error));
  }
};

}  // namespace

void add_baselines(std::vector<dsb_kernel>& kernels) {
  kernels.push_back(Adapter<Gemm>::table("cublaslt", 1, "cuBLAS"));
  kernels.push_back(Adapter<Absorb>::table("cublaslt", 1, "cuBLAS"));
  kernels.push_back(Adapter<Fp8Gemm>::table("cublaslt", 1, "cuBLAS"));
}

}  // namespace dsbench::kernelbench::cuda
