#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "engine/kernels/kv_layout.h"
#include "kernelbench/ops/product.h"
#include "kernelbench/ops/product_types.h"
#include "tests/unit/kernelbench_cells.h"

// Right results of every type: of those that no CPU kernel has by way of f32, rounded at the end.
namespace dsbench::kernelbench::testing {

inline HostTensor as_f32(const HostTensor& tensor) {
  HostTensor copy(tensor.name(), Dtype::f32, tensor.shape());
  for (std::int64_t i = 0; i < tensor.elements(); ++i)
    copy.as<float>()[i] = static_cast<float>(tensor.get(i));
  return copy;
}

// A matrix of any type with its scales multiplied in.
inline HostTensor scaled_f32(const MatrixView& view) {
  HostTensor copy(view.values->name(), Dtype::f32, view.values->shape());
  std::vector<double> row(static_cast<std::size_t>(view.k));
  for (std::int64_t r = 0; r < view.rows; ++r) {
    view.decode(r, 0, view.k, row.data());
    for (std::int64_t i = 0; i < view.k; ++i) copy.as<float>()[r * view.k + i] = static_cast<float>(row[i]);
  }
  return copy;
}

// A cache of bytes as numbers, where an engine keeps them (KvType::fp8).
inline HostTensor cache_f32(const Problem& p, const HostTensor& bytes) {
  using engine::kernels::kKvGroup;
  const auto layout =
      engine::kernels::kv_layout(engine::kernels::KvType::fp8, static_cast<std::int32_t>(p["kv_lora"]),
                                 static_cast<std::int32_t>(p["rope"]));
  EXPECT_EQ(layout.slot_bytes, bytes.shape().back());
  const std::int64_t width = p["kv_lora"] + p["rope"];
  std::vector<std::int64_t> shape = bytes.shape();
  shape.back() = width;
  HostTensor cache("cache", Dtype::f32, shape);
  for (std::int64_t slot = 0; slot < bytes.elements() / layout.slot_bytes; ++slot) {
    const std::byte* const entry = bytes.data() + slot * layout.slot_bytes;
    float* const to = cache.as<float>() + slot * width;
    for (std::int64_t i = 0; i < layout.kv_lora; ++i) {
      const auto scale = decode(Dtype::f32, entry + layout.scales_at + i / kKvGroup * 4);
      std::uint16_t rounded = 0;
      encode(Dtype::bf16, static_cast<float>(decode(Dtype::e4m3, entry + i) * scale), &rounded);
      to[i] = static_cast<float>(decode(Dtype::bf16, &rounded));
    }
    for (std::int64_t i = 0; i < layout.rope; ++i)
      to[layout.kv_lora + i] = static_cast<float>(decode(Dtype::bf16, entry + layout.rope_at + 2 * i));
  }
  return cache;
}

// Pages of V4's cache as numbers, `entries` of a page.
inline HostTensor csa_pages_f32(const HostTensor& bytes, std::int64_t entries) {
  HostTensor cache(bytes.name(), Dtype::f32, {bytes.dim(0), entries, 512});
  float* to = cache.as<float>();
  for (std::int64_t page = 0; page < bytes.dim(0); ++page) {
    const std::byte* const begin = bytes.data() + page * bytes.dim(1);
    for (std::int64_t slot = 0; slot < entries; ++slot) {
      const std::byte* const entry = begin + slot * 576;
      const std::byte* const scales = begin + entries * 576 + slot * 8;
      for (std::int64_t i = 0; i < 448; ++i)
        *to++ = static_cast<float>(decode(Dtype::e4m3, entry + i) *
                                   std::exp2(static_cast<double>(scales[i / 64]) - 127));
      for (std::int64_t i = 0; i < 64; ++i)
        *to++ = static_cast<float>(decode(Dtype::bf16, entry + 448 + 2 * i));
    }
  }
  return cache;
}

// The same problem in f32.
inline std::pair<Problem, Operands> in_f32(const Problem& problem, const Operands& operands) {
  Problem f32 = problem;
  f32.dtype = "f32";
  if (problem.op == "fp8_gemm") f32.op = "gemm";
  Operands same;
  const bool product = f32.op == "gemm" || f32.op == "moe_grouped_gemm";
  for (std::size_t i = 0; i < operands.in.size(); ++i) {
    const HostTensor& in = operands.in[i];
    if (product && problem.dtype == "fp8" && in.name().ends_with("_scale")) continue;
    if (product && problem.dtype == "fp8" && in.name() == "a") {
      same.in.push_back(
          scaled_f32(activation_view(operands.in, i, in.elements() / problem["k"], problem["k"])));
    } else if (product && problem.dtype == "fp8" && in.name() == "w") {
      // Scales of 128 rows begin anew with every expert.
      const std::int64_t n = problem["n"];
      const std::int64_t k = problem["k"];
      HostTensor all(in.name(), Dtype::f32, in.shape());
      for (std::int64_t e = 0; e < in.elements() / (n * k); ++e) {
        const MatrixView view = weight_view(operands.in, i, n, k, e);
        std::vector<double> row(static_cast<std::size_t>(k));
        for (std::int64_t r = 0; r < n; ++r) {
          view.decode(r, 0, k, row.data());
          for (std::int64_t c = 0; c < k; ++c)
            all.as<float>()[(e * n + r) * k + c] = static_cast<float>(row[c]);
        }
      }
      same.in.push_back(std::move(all));
    } else if ((problem.op == "mla_decode" || problem.op == "sparse_mla") && in.type() == Dtype::u8) {
      same.in.push_back(cache_f32(problem, in));
    } else if (problem.op == "csa_decode" && in.type() == Dtype::u8) {
      same.in.push_back(csa_pages_f32(in, in.name() == "window" ? problem["window"] : problem["page"]));
    } else if (in.type() == Dtype::i32) {
      same.in.push_back(in);
    } else {
      same.in.push_back(as_f32(in));
    }
  }
  for (const HostTensor& out : operands.out) same.out.push_back(as_f32(out));
  return {std::move(f32), std::move(same)};
}

// Operands with the right results in `out`.
inline Operands right(const Problem& problem) {
  Operands operands = find_op(problem.op)->make(problem);
  if (const dsb_kernel* kernel = cpu_kernel_for(problem)) {
    EXPECT_EQ(run_kernel(*kernel, problem, operands, 2), "");
    return operands;
  }
  auto [f32, same] = in_f32(problem, operands);
  const dsb_kernel* kernel = cpu_kernel_for(f32);
  if (kernel == nullptr) {
    ADD_FAILURE() << "no kernel for " << name_of(f32);
    return operands;
  }
  EXPECT_EQ(run_kernel(*kernel, f32, same, 2), "");
  for (std::size_t i = 0; i < operands.out.size(); ++i) {
    for (std::int64_t at = 0; at < operands.out[i].elements(); ++at)
      operands.out[i].set(at, same.out[i].get(at));
  }
  return operands;
}

}  // namespace dsbench::kernelbench::testing
