#include "kernelbench/kernels_cuda/lt_product.h"

#include <cuda_runtime.h>

#include <array>
#include <limits>

#include "kernelbench/kernels_cuda/cublas_lt.h"

namespace dsbench::kernelbench::cuda {

struct LtProduct::Handles {
  const CublasLt* lt = nullptr;
  cublasLtMatmulDesc_t desc = nullptr;
  cublasLtMatrixLayout_t w = nullptr;
  cublasLtMatrixLayout_t a = nullptr;
  cublasLtMatrixLayout_t c = nullptr;
  cublasLtMatmulAlgo_t algorithm = {};
  LtOperands operands;
  void* workspace = nullptr;
};

namespace {

// One handle a process: making one takes its time.
Result<cublasLtHandle_t> shared_handle(const CublasLt& lt) {
  static cublasLtHandle_t handle = nullptr;
  if (handle == nullptr) {
    if (const cublasStatus_t status = lt.create(&handle); status != CUBLAS_STATUS_SUCCESS)
      return fail(ErrorKind::internal, "baseline unavailable: cublasLtCreate gives error {}",
                  static_cast<int>(status));
  }
  return handle;
}

class Steps {
 public:
  void operator()(cublasStatus_t status) {
    if (status != CUBLAS_STATUS_SUCCESS && first_ == CUBLAS_STATUS_SUCCESS) first_ = status;
  }
  [[nodiscard]] int first() const { return static_cast<int>(first_); }

 private:
  cublasStatus_t first_ = CUBLAS_STATUS_SUCCESS;
};

cublasLtMatrixLayout_t layout(const CublasLt& lt, Steps& step, cudaDataType type, std::int64_t rows,
                              std::int64_t columns, std::int64_t ld, std::int64_t batch,
                              std::int64_t stride) {
  cublasLtMatrixLayout_t made = nullptr;
  step(lt.layout_create(&made, type, static_cast<std::uint64_t>(rows), static_cast<std::uint64_t>(columns),
                        ld));
  if (batch > 1 && made != nullptr) {
    const auto count = static_cast<std::int32_t>(batch);
    step(lt.layout_set(made, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count));
    step(lt.layout_set(made, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof stride));
  }
  return made;
}

}  // namespace

LtProduct::~LtProduct() {
  if (!handles_) return;
  const CublasLt& lt = *handles_->lt;
  if (handles_->desc != nullptr) lt.desc_destroy(handles_->desc);
  for (cublasLtMatrixLayout_t made : {handles_->w, handles_->a, handles_->c}) {
    if (made != nullptr) lt.layout_destroy(made);
  }
}

Result<std::unique_ptr<LtProduct>> LtProduct::make(const LtShape& shape, const LtOperands& operands,
                                                   void* workspace, void* stream) {
  DSBENCH_TRY(const CublasLt* lt, cublas_lt());
  DSBENCH_TRY(cublasLtHandle_t handle, shared_handle(*lt));
  std::unique_ptr<LtProduct> product(new LtProduct);
  product->handles_ = std::make_unique<Handles>();
  Handles& h = *product->handles_;
  h.lt = lt;
  h.operands = operands;
  h.workspace = workspace;
  const bool fp8 = shape.kind != LtKind::bf16;
  const cudaDataType in = fp8 ? CUDA_R_8F_E4M3 : CUDA_R_16BF;

  // cuBLAS counts columns first: what it computes is cᵀ[n, m] = w · aᵀ, with w transposed from [k, n]. (FP8
  // takes no other form.)
  Steps step;
  step(lt->desc_create(&h.desc, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  const cublasOperation_t transposed = CUBLAS_OP_T;
  step(lt->desc_set(h.desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed));
  if (shape.kind == LtKind::fp8_flat) {
    // A ceiling: sums stay in the tensor cores, with the bits that those keep.
    const std::int8_t fast = 1;
    step(lt->desc_set(h.desc, CUBLASLT_MATMUL_DESC_FAST_ACCUM, &fast, sizeof fast));
  }
  if (shape.kind == LtKind::fp8_block) {
    const cublasLtMatmulMatrixScale_t w_mode = CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F;
    const cublasLtMatmulMatrixScale_t a_mode = CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F;
    step(lt->desc_set(h.desc, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, &w_mode, sizeof w_mode));
    step(lt->desc_set(h.desc, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, &a_mode, sizeof a_mode));
    step(lt->desc_set(h.desc, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, &operands.w_scale,
                      sizeof operands.w_scale));
    step(lt->desc_set(h.desc, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, &operands.a_scale,
                      sizeof operands.a_scale));
  }
  h.w = layout(*lt, step, in, shape.k, shape.n, shape.k, shape.batch, shape.w_batch);
  h.a = layout(*lt, step, in, shape.k, shape.m, shape.a_row != 0 ? shape.a_row : shape.k, shape.batch,
               shape.a_batch);
  h.c = layout(*lt, step, CUDA_R_16BF, shape.n, shape.m, shape.c_row != 0 ? shape.c_row : shape.n,
               shape.batch, shape.c_batch);

  constexpr int most = 8;
  std::array<cublasLtMatmulHeuristicResult_t, most> found = {};
  int count = 0;
  cublasLtMatmulPreference_t preference = nullptr;
  step(lt->preference_create(&preference));
  const std::uint64_t room = lt_workspace_bytes;
  step(lt->preference_set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &room, sizeof room));
  if (step.first() == 0)
    step(lt->heuristic(handle, h.desc, h.w, h.a, h.c, h.c, preference, most, found.data(), &count));
  if (preference != nullptr) lt->preference_destroy(preference);
  if (step.first() != 0 || count == 0) {
    return fail(ErrorKind::internal,
                "baseline unavailable: cuBLASLt has no algorithm for this product (error {}, {} found)",
                step.first(), count);
  }

  // The fastest of what it proposes: the first proposal is not always it.
  auto* const on = static_cast<cudaStream_t>(stream);
  cudaEvent_t begin = nullptr;
  cudaEvent_t end = nullptr;
  cudaEventCreate(&begin);
  cudaEventCreate(&end);
  float best = std::numeric_limits<float>::infinity();
  for (int i = 0; i < count; ++i) {
    Handles candidate = h;
    candidate.algorithm = found[static_cast<std::size_t>(i)].algo;
    std::swap(h, candidate);
    int error = product->run(stream);  // warm
    cudaEventRecord(begin, on);
    for (int repeat = 0; repeat < 5 && error == 0; ++repeat) error = product->run(stream);
    cudaEventRecord(end, on);
    float took = 0;
    if (error == 0 && cudaEventSynchronize(end) == cudaSuccess &&
        cudaEventElapsedTime(&took, begin, end) == cudaSuccess && took < best) {
      best = took;
    } else {
      std::swap(h, candidate);  // back to what was best so far
    }
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  if (best == std::numeric_limits<float>::infinity())
    return fail(ErrorKind::internal,
                "baseline unavailable: each of the {} algorithms that cuBLASLt proposed failed", count);
  return product;
}

int LtProduct::run(void* stream) const {
  const Handles& h = *handles_;
  const Result<cublasLtHandle_t> handle = shared_handle(*h.lt);
  if (!handle) return static_cast<int>(CUBLAS_STATUS_NOT_INITIALIZED);
  const float one = 1;
  const float zero = 0;
  return static_cast<int>(h.lt->matmul(*handle, h.desc, &one, h.operands.w, h.w, h.operands.a, h.a, &zero,
                                       h.operands.c, h.c, h.operands.c, h.c, &h.algorithm, h.workspace,
                                       lt_workspace_bytes, static_cast<cudaStream_t>(stream)));
}

}  // namespace dsbench::kernelbench::cuda
