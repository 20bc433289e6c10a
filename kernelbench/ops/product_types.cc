#include "kernelbench/ops/product_types.h"

#include <cmath>
#include <utility>

#include "kernelbench/ops/fill.h"

namespace dsbench::kernelbench {
namespace {

constexpr std::int64_t groups_of(std::int64_t n) {
  return (n + kGroup - 1) / kGroup;
}

}  // namespace

ProductTypes product_types(std::string_view dtype) {
  if (dtype == "f32.bf16") return {.act = Dtype::f32, .w = Dtype::bf16, .out = Dtype::f32, .unit = "f32"};
  if (dtype == "bf16") return {.act = Dtype::bf16, .w = Dtype::bf16, .out = Dtype::bf16, .unit = "bf16"};
  if (dtype == "fp8") {
    return {.act = Dtype::e4m3, .w = Dtype::e4m3, .out = Dtype::bf16, .unit = "fp8", .group_scales = true};
  }
  if (dtype == "int8") {
    return {.act = Dtype::i8, .w = Dtype::i8, .out = Dtype::f32, .unit = "int8", .row_scales = true};
  }
  return {.act = Dtype::f32, .w = Dtype::f32, .out = Dtype::f32, .unit = "f32"};
}

double act_bytes(const ProductTypes& types, double rows, double k) {
  const double values = rows * k * static_cast<double>(size_of(types.act));
  return values + (types.group_scales ? 4 * rows * std::ceil(k / kGroup) : types.row_scales ? 4 * rows : 0);
}

double weight_bytes(const ProductTypes& types, double n, double k) {
  const double values = n * k * static_cast<double>(size_of(types.w));
  const double groups = std::ceil(n / kGroup) * std::ceil(k / kGroup);
  return values + (types.group_scales ? 4 * groups : types.row_scales ? 4 * n : 0);
}

Result<void> check_product_shape(const Problem& p, std::int64_t k) {
  if (p.dtype == "fp8" && k % kGroup != 0) {
    return fail(ErrorKind::usage, "{}: k is {}; with fp8 it must be a multiple of {}", p.op, k, kGroup);
  }
  if (p.dtype == "int8" && k > 65536) {
    return fail(ErrorKind::usage,
                "{}: k is {}; an int8 product takes at most 65536, so that its sums fit into 32 bits", p.op,
                k);
  }
  return {};
}

void add_activations(const Problem& p, std::string name, std::vector<std::int64_t> shape,
                     Operands& operands) {
  const ProductTypes types = product_types(p.dtype);
  const std::int64_t k = shape.back();
  HostTensor values(name, types.act, shape);
  if (!types.group_scales && !types.row_scales) {
    fill_uniform(p, values);
    operands.in.push_back(std::move(values));
    return;
  }
  shape.pop_back();
  if (types.group_scales) shape.push_back(groups_of(k));
  HostTensor scale(name + "_scale", Dtype::f32, shape);
  if (types.group_scales) {
    fill_e4m3(p, values, scale, k, 1);
  } else {
    fill_int8(p, values, scale, k);
  }
  operands.in.push_back(std::move(values));
  operands.in.push_back(std::move(scale));
}

void add_weights(const Problem& p, std::string name, std::vector<std::int64_t> shape, Operands& operands) {
  const ProductTypes types = product_types(p.dtype);
  const std::int64_t k = shape.back();
  const std::int64_t n = shape[shape.size() - 2];
  HostTensor values(name, types.w, shape);
  if (!types.group_scales && !types.row_scales) {
    fill_uniform(p, values);
    operands.in.push_back(std::move(values));
    return;
  }
  shape.pop_back();
  if (types.group_scales) {
    shape.back() = groups_of(n);
    shape.push_back(groups_of(k));
  }
  HostTensor scale(name + "_scale", Dtype::f32, shape);
  if (types.group_scales) {
    fill_e4m3(p, values, scale, k, kGroup, n);
  } else {
    fill_int8(p, values, scale, k);
  }
  operands.in.push_back(std::move(values));
  operands.in.push_back(std::move(scale));
}

MatrixView activation_view(std::span<const HostTensor> in, std::size_t at, std::int64_t rows, std::int64_t k,
                           std::int64_t first_row) {
  MatrixView view{.values = &in[at], .first = first_row * k, .stride = k, .rows = rows, .k = k};
  if (in[at].type() == Dtype::e4m3 || in[at].type() == Dtype::i8) {
    view.scale = &in[at + 1];
    view.group = in[at].type() == Dtype::e4m3 ? kGroup : 0;
    view.first_scale = first_row * (view.group == 0 ? 1 : groups_of(k));
  }
  return view;
}

MatrixView weight_view(std::span<const HostTensor> in, std::size_t at, std::int64_t n, std::int64_t k,
                       std::int64_t expert) {
  MatrixView view{.values = &in[at], .first = expert * n * k, .stride = k, .rows = n, .k = k};
  if (in[at].type() == Dtype::e4m3) {
    view.scale = &in[at + 1];
    view.band = kGroup;
    view.group = kGroup;
    view.first_scale = expert * groups_of(n) * groups_of(k);
  } else if (in[at].type() == Dtype::i8) {
    view.scale = &in[at + 1];
    view.first_scale = expert * n;
  }
  return view;
}

Gates product_gates(std::string_view dtype, std::int64_t k) {
  if (dtype == "bf16") return bf16_product_gates();
  // Element: rounding to bf16 (half an ulp is 2^-8), and 6 sigma of what FP8 tensor cores lose (sum_unit()).
  if (dtype == "fp8") {
    return {.global_diff = 5e-6, .row_diff = 3e-5, .abs = 0, .rel = 0x1p-8, .rms = 2e-2};
  }
  // Whole sums, exact to 2^24 and then rounded; two scales are multiplied in.
  if (dtype == "int8") return f32_pointwise_gates(6);
  return f32_sum_gates(static_cast<double>(k));
}

}  // namespace dsbench::kernelbench
