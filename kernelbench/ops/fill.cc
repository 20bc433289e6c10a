#include "kernelbench/ops/fill.h"

#include <algorithm>
#include <cmath>

#include "core/rng.h"
#include "kernelbench/ops/bits.h"
#include "kernelbench/ops/parallel.h"

namespace dsbench::kernelbench {
namespace {

constexpr std::int64_t kChunk = 1 << 16;  // elements a thread fills at once; a multiple of 4

template <class F>
void in_chunks(std::int64_t count, const F& fill) {
  parallel_for((count + kChunk - 1) / kChunk,
               [&](std::int64_t chunk) { fill(chunk * kChunk, std::min(count, (chunk + 1) * kChunk)); });
}

// Four values of 16 bits from each word of the stream, on [−1, 1).
float unit_value(std::uint64_t bits, std::int64_t which) {
  return static_cast<float>(static_cast<std::int16_t>(bits >> (which * 16))) * 0x1p-15F;
}

template <class T, class Convert>
void fill_with(const FillStream& stream, T* to, std::int64_t count, const Convert& convert) {
  in_chunks(count, [&](std::int64_t begin, std::int64_t end) {
    std::int64_t i = begin;
    for (; i + 4 <= end; i += 4) {
      const std::uint64_t bits = stream.bits(static_cast<std::uint64_t>(i / 4));
      for (std::int64_t j = 0; j < 4; ++j) to[i + j] = convert(unit_value(bits, j));
    }
    for (; i < end; ++i) to[i] = convert(unit_value(stream.bits(static_cast<std::uint64_t>(i / 4)), i % 4));
  });
}

void unit_row(const FillStream& stream, std::int64_t first, std::int64_t count, float* to) {
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t at = first + i;
    to[i] = unit_value(stream.bits(static_cast<std::uint64_t>(at / 4)), at % 4);
  }
}

}  // namespace

FillStream::FillStream(const Problem& problem, std::string_view name)
    : base_{derive_seed(problem.seed, "kernelbench." + problem.op + "." + std::string{name})} {}

void fill_uniform(const Problem& problem, HostTensor& tensor, double low, double high) {
  const FillStream stream(problem, tensor.name());
  const auto middle = static_cast<float>((low + high) / 2);
  const auto half = static_cast<float>((high - low) / 2);
  const std::int64_t count = tensor.elements();
  switch (tensor.type()) {
    case Dtype::f32:
      return fill_with(stream, tensor.as<float>(), count, [=](float u) { return middle + half * u; });
    case Dtype::bf16:
      return fill_with(stream, tensor.as<std::uint16_t>(), count,
                       [=](float u) { return bf16_nearest(middle + half * u); });
    default:
      for (std::int64_t i = 0; i < count; ++i) {
        const float u = unit_value(stream.bits(static_cast<std::uint64_t>(i / 4)), i % 4);
        tensor.set(i, static_cast<double>(middle + half * u));
      }
  }
}

void fill_e4m3(const Problem& problem, HostTensor& values, HostTensor& scale, std::int64_t row,
               std::int64_t rows_a_scale, std::int64_t rows_a_matrix) {
  const FillStream stream(problem, values.name());
  const std::int64_t groups = (row + kGroup - 1) / kGroup;
  const std::int64_t rows = row == 0 ? 0 : values.elements() / row;
  if (rows == 0) return;
  if (rows_a_matrix == 0) rows_a_matrix = rows;
  const std::int64_t bands_a_matrix = (rows_a_matrix + rows_a_scale - 1) / rows_a_scale;
  parallel_for(rows / rows_a_matrix * bands_a_matrix, [&](std::int64_t band) {
    const std::int64_t matrix = band / bands_a_matrix * rows_a_matrix;
    const std::int64_t begin = matrix + band % bands_a_matrix * rows_a_scale;
    const std::int64_t end = std::min(matrix + rows_a_matrix, begin + rows_a_scale);
    std::vector<float> x(static_cast<std::size_t>((end - begin) * row));
    unit_row(stream, begin * row, (end - begin) * row, x.data());
    for (std::int64_t g = 0; g < groups; ++g) {
      const std::int64_t first = g * kGroup;
      const std::int64_t last = std::min(row, first + kGroup);
      float most = 0;
      for (std::int64_t r = 0; r < end - begin; ++r) {
        for (std::int64_t i = first; i < last; ++i) most = std::max(most, std::fabs(x[r * row + i]));
      }
      const float s = std::max(most, 1e-4F) / 448.0F;
      scale.as<float>()[band * groups + g] = s;
      const float inverse = 1.0F / s;
      for (std::int64_t r = 0; r < end - begin; ++r) {
        std::uint8_t* to = values.as<std::uint8_t>() + (begin + r) * row;
        for (std::int64_t i = first; i < last; ++i) to[i] = e4m3_nearest(x[r * row + i] * inverse);
      }
    }
  });
}

void fill_int8(const Problem& problem, HostTensor& values, HostTensor& scale, std::int64_t row) {
  const FillStream stream(problem, values.name());
  const std::int64_t rows = row == 0 ? 0 : values.elements() / row;
  parallel_for(rows, [&](std::int64_t r) {
    std::vector<float> x(static_cast<std::size_t>(row));
    unit_row(stream, r * row, row, x.data());
    float most = 0;
    for (const float v : x) most = std::max(most, std::fabs(v));
    scale.as<float>()[r] = most / 127.0F;
    const float inverse = most > 0 ? 127.0F / most : 0;
    std::int8_t* to = values.as<std::int8_t>() + r * row;
    for (std::int64_t i = 0; i < row; ++i) to[i] = static_cast<std::int8_t>(std::nearbyint(x[i] * inverse));
  });
}

}  // namespace dsbench::kernelbench
