#include "engine/device/device_decoder.h"

#include "engine/device/device_limits.h"
#include "engine/kernels/cuda/gemm_swapped.h"
#include "engine/kernels/cuda/gemm_wgmma.h"
#include "engine/kernels/cuda/quant.h"

namespace dsbench::engine {

using kernels::cuda::Element;

Result<DeviceDecoder::Operand> DeviceDecoder::operand(const DeviceMatrix& met, const void* x,
                                                      std::int64_t rows, Room codes, Room scales) {
  Operand a{.values = x};
  if (met.type != Element::e4m3) return a;
  a.codes = at(codes);
  a.scales = at<float>(scales);
  DSBENCH_CHECK(
      launched(kernels::cuda::group_quant(
                   {.x = x, .y = at(codes), .scale = at<float>(scales), .rows = rows, .width = met.k},
                   device_->stream()),
               "rounding activations to e4m3"));
  return a;
}

Result<DeviceDecoder::Operand> DeviceDecoder::gated(const DeviceMatrix& met, const void* gate_up,
                                                    std::int64_t rows, Room values, Room codes, Room scales) {
  if (met.type == Element::e4m3) {
    DSBENCH_CHECK(launched(kernels::cuda::group_quant({.x = gate_up,
                                                       .y = at(codes),
                                                       .scale = at<float>(scales),
                                                       .rows = rows,
                                                       .width = met.k,
                                                       .swiglu = true},
                                                      device_->stream()),
                           "SwiGLU to e4m3"));
    return Operand{.codes = at(codes), .scales = at<float>(scales)};
  }
  DSBENCH_CHECK(launched(
      kernels::cuda::swiglu({.x = gate_up, .y = at(values), .rows = rows, .inter = met.k}, device_->stream()),
      "SwiGLU"));
  return Operand{.values = at(values)};
}

// The tensor cores' own ways for e4m3 where the device has them.
Result<void> DeviceDecoder::multiply(const kernels::cuda::GemmArgs& asked) {
  namespace cuda = kernels::cuda;
  cuda::GemmArgs args = asked;
  args.partial = at<float>(r_parts);
  const cuda::GemmWay way = cuda::choose_gemm(args, cuda::compiled_arch());
  const std::size_t parts = way == cuda::GemmWay::swapped ? cuda::gemm_swapped_workspace_bytes(args)
                            : way == cuda::GemmWay::wgmma ? cuda::gemm_wgmma_workspace_bytes(args)
                                                          : cuda::gemm_workspace_bytes(args);
  if (parts > buffers_[r_parts].bytes()) {
    return fail(ErrorKind::internal, "a product of {} × {} × {} wants {} bytes for its parts; there are {}",
                args.rows, args.n, args.k, parts, buffers_[r_parts].bytes());
  }
  const auto prepared = [&](auto gemm, const auto& prepare, const auto& run) -> Result<void> {
    DSBENCH_CHECK(launched(prepare(gemm, args), "preparing a matrix product"));
    return launched(run(gemm, device_->stream()), "a matrix product");
  };
  switch (way) {
    case cuda::GemmWay::swapped:
      return prepared(cuda::SwappedGemm{}, cuda::prepare_gemm_swapped, cuda::gemm_swapped);
    case cuda::GemmWay::wgmma:
      return prepared(cuda::WgmmaGemm{}, cuda::prepare_gemm_wgmma, cuda::gemm_wgmma);
    case cuda::GemmWay::mma:
      break;
  }
  return launched(cuda::gemm(args, device_->stream()), "a matrix product");
}

// c [rows, n] = a · wᵀ.
Result<void> DeviceDecoder::product(const DeviceMatrix& w, const Operand& a, int rows, void* c) {
  const bool fp8 = w.type == Element::e4m3;
  return multiply({.a = fp8 ? a.codes : a.values,
                   .a_scale = a.scales,
                   .w = w.values.data(),
                   .w_scale = w.scales.as<float>(),
                   .c = c,
                   .type = w.type,
                   .rows = rows,
                   .n = w.n,
                   .k = w.k});
}

}  // namespace dsbench::engine
