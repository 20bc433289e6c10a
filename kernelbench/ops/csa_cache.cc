#include "kernelbench/ops/csa_cache.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "kernelbench/ops/compare.h"
#include "kernelbench/ops/fill.h"
#include "kernelbench/ops/parallel.h"
#include "kernelbench/ops/product_types.h"

namespace dsbench::kernelbench {
namespace {

constexpr std::int64_t kTiles = CsaPages::kCodes / CsaPages::kTile;
constexpr std::byte kUnread{255};

// The codes, and the rotary numbers, of all values that a random number of 16 bits may stand for.
struct Values {
  Values() {
    for (std::size_t i = 0; i < codes.size(); ++i) {
      const double value = static_cast<double>(static_cast<std::int16_t>(i)) * 0x1p-15;
      encode(Dtype::e4m3, value * 256, &codes[i]);
      encode(Dtype::bf16, value, &rotary[i]);
    }
  }
  std::array<std::uint8_t, 65536> codes{};
  std::array<std::uint16_t, 65536> rotary{};
};

}  // namespace

CsaPages::CsaPages(const Problem& p, std::int64_t page)
    : entries{page},
      fp8{p.dtype == "fp8"},
      number{fp8 ? Dtype::bf16 : product_types(p.dtype).act},
      cache{fp8 ? Dtype::u8 : number},
      entry_bytes{static_cast<double>(fp8 ? kDataBytes + kScaleBytes : kWidth * size_of(number))} {}

std::int64_t CsaPages::page_elements() const {
  if (!fp8) return entries * kWidth;
  return (entries * (kDataBytes + kScaleBytes) + kDataBytes - 1) / kDataBytes * kDataBytes;
}

// A tile of uniform numbers has 2^−8 as its scale, as good as always. So that a neighbour's scale shows,
// tiles are made smaller by 1, 2 and 4 in turn.
HostTensor CsaPages::make(const Problem& p, std::string name, std::int64_t pages) const {
  if (!fp8) {
    HostTensor tensor(std::move(name), cache, {pages, entries, kWidth});
    fill_uniform(p, tensor);
    return tensor;
  }
  HostTensor tensor(std::move(name), cache, {pages, page_elements()});
  const auto values = std::make_unique<Values>();
  const FillStream stream(p, tensor.name());
  parallel_for(pages, [&](std::int64_t page) {
    std::byte* const begin = tensor.data() + page * page_elements();
    std::byte* const scales = begin + entries * kDataBytes;
    std::fill(scales, begin + page_elements(), kUnread);
    for (std::int64_t slot = 0; slot < entries; ++slot) {
      const std::int64_t row = page * entries + slot;
      auto* const codes = reinterpret_cast<std::uint8_t*>(begin + slot * kDataBytes);
      auto* const rotary = reinterpret_cast<std::uint16_t*>(codes + kCodes);
      for (std::int64_t i = 0; i < kWidth; i += 4) {
        const std::uint64_t bits = stream.bits(static_cast<std::uint64_t>((row * kWidth + i) / 4));
        for (std::int64_t j = 0; j < 4; ++j) {
          const auto at = static_cast<std::uint16_t>(bits >> (16 * j));
          if (i < kCodes) {
            codes[i + j] = values->codes[at];
          } else {
            rotary[i + j - kCodes] = values->rotary[at];
          }
        }
      }
      for (std::int64_t tile = 0; tile < kTiles; ++tile)
        scales[slot * kScaleBytes + tile] = static_cast<std::byte>(127 - 8 - (row + tile) % 3);
    }
  });
  return tensor;
}

void CsaPages::poison_entry(HostTensor& tensor, std::int64_t row) const {
  if (!fp8) return tensor.poison_range(row * kWidth, (row + 1) * kWidth);
  const std::int64_t page = row / entries * page_elements();
  const std::int64_t slot = row % entries;
  tensor.poison_range(page + slot * kDataBytes, page + (slot + 1) * kDataBytes);
  const std::int64_t scales = page + entries * kDataBytes;
  tensor.poison_range(scales + slot * kScaleBytes, scales + (slot + 1) * kScaleBytes);
}

void CsaPages::decode(const HostTensor& from, std::int64_t row, double* to) const {
  if (!fp8) return decode_range(from, row * kWidth, kWidth, to);
  const std::byte* const page = from.data() + row / entries * page_elements();
  const std::int64_t slot = row % entries;
  const std::byte* const data = page + slot * kDataBytes;
  const std::byte* const scales = page + entries * kDataBytes + slot * kScaleBytes;
  for (std::int64_t i = 0; i < kCodes; ++i) {
    const double scale = std::ldexp(1.0, static_cast<int>(scales[i / kTile]) - 127);
    std::uint16_t rounded = 0;
    encode(Dtype::bf16, kernelbench::decode(Dtype::e4m3, data + i) * scale, &rounded);
    to[i] = kernelbench::decode(Dtype::bf16, &rounded);
  }
  for (std::int64_t i = 0; i < kRope; ++i)
    to[kCodes + i] = kernelbench::decode(Dtype::bf16, data + kCodes + 2 * i);
}

}  // namespace dsbench::kernelbench
