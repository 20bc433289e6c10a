#include "kernelbench/ops/latent_entry.h"

#include <algorithm>
#include <cstring>

#include "kernelbench/ops/compare.h"
#include "kernelbench/ops/fill.h"
#include "kernelbench/ops/product_types.h"

namespace dsbench::kernelbench {

LatentEntry::LatentEntry(const Problem& p)
    : fp8{p.dtype == "fp8"},
      latent{p["kv_lora"]},
      rope{p["rope"]},
      number{fp8 ? Dtype::bf16 : product_types(p.dtype).act},
      cache{fp8 ? Dtype::u8 : number},
      unit{product_types(fp8 ? "bf16" : p.dtype).unit},
      scales_at{latent},
      rope_at{latent + latent / kGroup * 4},
      elements{fp8 ? rope_at + 2 * rope : latent + rope},
      bytes{static_cast<double>(elements * size_of(cache))} {}

Result<void> LatentEntry::validate(const Problem& p) {
  if (p.dtype != "fp8" || p["kv_lora"] % kGroup == 0) return {};
  return fail(
      ErrorKind::usage,
      "{}: kv_lora is {}; with fp8, which has a scale for every {} numbers, it must be a multiple of that",
      p.op, p["kv_lora"], kGroup);
}

double LatentEntry::row_bytes() const {
  return static_cast<double>((2 * latent + rope) * size_of(number) + 4);
}

Work LatentEntry::work(double rows, double scores, double entries, double indices) const {
  return {.flops = 2 * scores * static_cast<double>(2 * latent + rope),
          .bytes = entries * bytes + rows * row_bytes() + 4 * indices,
          .unit = unit};
}

void LatentEntry::add_outputs(Operands& operands, std::int64_t queries, std::int64_t heads) const {
  operands.out.emplace_back("o", number, std::vector{queries, heads, latent}).poison_all();
  operands.out.emplace_back("lse", Dtype::f32, std::vector{queries, heads}).poison_all();
}

void LatentEntry::fill(const Problem& p, HostTensor& to) const {
  if (!fp8) return fill_uniform(p, to);
  const std::int64_t entries = to.elements() / elements;
  const std::int64_t groups = latent / kGroup;
  HostTensor codes("cache", Dtype::e4m3, {entries, latent});
  HostTensor scales("cache_scale", Dtype::f32, {entries, groups});
  HostTensor rotary("cache_rope", Dtype::bf16, {entries, rope});
  fill_e4m3(p, codes, scales, latent, 1);
  // Uniform numbers have much the same scale everywhere: that of a neighbour would hardly show.
  for (std::int64_t i = 0; i < scales.elements(); ++i)
    scales.as<float>()[i] *= 1 - 0.25F * static_cast<float>((i + i / groups) % 4);
  fill_uniform(p, rotary);
  for (std::int64_t i = 0; i < entries; ++i) {
    std::byte* const entry = to.data() + i * elements;
    std::copy_n(codes.data() + i * latent, latent, entry);
    std::copy_n(scales.data() + i * groups * 4, groups * 4, entry + scales_at);
    std::copy_n(rotary.data() + i * rope * 2, rope * 2, entry + rope_at);
  }
}

void LatentEntry::decode(const HostTensor& from, std::int64_t slot, double* to) const {
  if (!fp8) return decode_range(from, slot * elements, elements, to);
  const std::byte* const entry = from.data() + slot * elements;
  for (std::int64_t i = 0; i < latent; ++i) {
    float scale = 0;
    std::memcpy(&scale, entry + scales_at + i / kGroup * 4, 4);
    std::uint16_t rounded = 0;
    encode(Dtype::bf16, static_cast<float>(kernelbench::decode(Dtype::e4m3, entry + i)) * scale, &rounded);
    to[i] = kernelbench::decode(Dtype::bf16, &rounded);
  }
  for (std::int64_t i = 0; i < rope; ++i)
    to[latent + i] = kernelbench::decode(Dtype::bf16, entry + rope_at + 2 * i);
}

}  // namespace dsbench::kernelbench
