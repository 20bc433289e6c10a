#include "engine/kernels/cuda/emulation/hopper_host.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "engine/kernels/cuda/mma_layout.h"
#include "engine/kernels/cuda/wgmma_descriptor.h"

namespace dsbench::engine::kernels::cuda {

namespace {

struct HostMap {
  const unsigned char* data;
  std::uint64_t rows;
  std::uint64_t row_bytes;
  std::uint32_t box_rows;
};
static_assert(sizeof(HostMap) <= sizeof(TensorMap));

constexpr int box_bytes = 128;

struct Box {
  unsigned char* to;
  HostMap map;
  simt::Barrier* barrier;
  int byte;
  int row;
};
std::vector<Box>
    under_way;  // of the block that runs; all have arrived when it ends, or it would not have waited

bool parity_of(const simt::Barrier& b) {
  return (b.bytes & 1) != 0;
}

void maybe_next_phase(simt::Barrier& b) {
  if (b.pending != 0 || b.bytes >> 1 != 0) return;
  b.pending = b.arrivals;
  b.bytes ^= 1;
}

void land(const Box& box) {
  for (std::uint32_t r = 0; r < box.map.box_rows; ++r) {
    for (int chunk = 0; chunk < box_bytes / 16; ++chunk) {
      unsigned char* to = box.to + swizzled_address(r * box_bytes + static_cast<std::uint32_t>(chunk) * 16);
      const std::uint64_t row = static_cast<std::uint64_t>(box.row) + r;
      const std::uint64_t byte =
          static_cast<std::uint64_t>(box.byte) + static_cast<std::uint64_t>(chunk) * 16;
      if (row < box.map.rows && byte < box.map.row_bytes)
        std::memcpy(to, box.map.data + row * box.map.row_bytes + byte, 16);
      else
        std::memset(to, 0, 16);
    }
  }
  box.barrier->bytes -= static_cast<std::int32_t>(box.map.box_rows) * box_bytes * 2;
  maybe_next_phase(*box.barrier);
}

struct WgmmaSlot {
  float* c;
  std::uint64_t a;
  std::uint64_t b;
  bool add;
};

}  // namespace

Status make_tensor_map(TensorMap& map, const void* data, std::uint64_t rows, std::uint64_t row_bytes,
                       std::uint32_t box_rows) {
  if (reinterpret_cast<std::uintptr_t>(data) % 16 != 0 || row_bytes % 16 != 0 || rows == 0 ||
      row_bytes == 0 || box_rows == 0 || box_rows > 256)
    return invalid_value;
  const HostMap host{static_cast<const unsigned char*>(data), rows, row_bytes, box_rows};
  std::memcpy(map.bytes, &host, sizeof host);
  return 0;
}

namespace simt {

void init_barrier(Barrier* b, int arrivals) {
  detail::check_shared(b, 8, 8);
  *b = {static_cast<std::int16_t>(arrivals), static_cast<std::int16_t>(arrivals), 0};
}

void arrive(Barrier* b) {
  detail::check_shared(b, 8, 8);
  if (b->pending <= 0) throw std::logic_error("more arrivals at a barrier than it was made for");
  --b->pending;
  maybe_next_phase(*b);
}

void expect_bytes(Barrier* b, int bytes) {
  b->bytes += bytes * 2;
  arrive(b);
}

void wait_barrier(Barrier* b, int parity) {
  detail::check_shared(b, 8, 8);
  while (parity_of(*b) == (parity != 0)) {
    bool landed = false;
    for (std::size_t i = 0; i < under_way.size();) {
      if (under_way[i].barrier == b) {
        const Box box = under_way[i];
        under_way.erase(under_way.begin() + static_cast<std::ptrdiff_t>(i));
        land(box);
        landed = true;
      } else {
        ++i;
      }
    }
    if (!landed) detail::wait_for_change(reinterpret_cast<const std::uint64_t*>(b));
  }
}

void copy_box(void* to, const TensorMap& map, Barrier* b, int byte, int row) {
  HostMap host;
  std::memcpy(&host, map.bytes, sizeof host);
  const int bytes = static_cast<int>(host.box_rows) * box_bytes;
  detail::check_shared(to, bytes, 1024);
  detail::check_shared(b, 8, 8);
  if (byte < 0 || row < 0) throw std::logic_error("a box before the beginning of its matrix");
  std::memset(to, 0xff, static_cast<std::size_t>(bytes));
  under_way.push_back({static_cast<unsigned char*>(to), host, b, byte, row});
}

std::uint32_t shared_address(const void* p) {
  return static_cast<std::uint32_t>(static_cast<const unsigned char*>(p) - shared());
}

void wgmma_e4m3(float (&c)[64], std::uint64_t a, std::uint64_t b, bool add) {
  WgmmaSlot slot{c, a, b, add};
  detail::together_group(&slot, [](void* const* all) {
    const WgmmaSlot& first = *static_cast<const WgmmaSlot*>(all[0]);
    if (descriptor_fields(first.a).swizzle != 1 || descriptor_fields(first.b).swizzle != 1)
      throw std::logic_error("a wgmma descriptor without the 128-byte swizzle");
    static float a_values[64][32];
    static float b_values[32][128];
    static float product[64][128];
    const float* const value = detail::e4m3_table();
    const auto row_of = [&](std::uint64_t descriptor, int row, float* to, int stride) {
      for (int byte = 0; byte < 32; byte += 16) {
        const unsigned char* at = shared() + operand_address(descriptor, row, byte);
        detail::check_shared(at, 16, 16);
        for (int i = 0; i < 16; ++i) to[(byte + i) * stride] = value[at[i]];
      }
    };
    for (int r = 0; r < 64; ++r) row_of(first.a, r, a_values[r], 1);
    for (int n = 0; n < 128; ++n) row_of(first.b, n, &b_values[0][n], 128);
    for (int r = 0; r < 64; ++r) {
      std::fill_n(product[r], 128, 0.0f);
      for (int k = 0; k < 32; ++k) {
        for (int n = 0; n < 128; ++n) product[r][n] += a_values[r][k] * b_values[k][n];
      }
    }
    for (int t = 0; t < 128; ++t) {
      const WgmmaSlot& mine = *static_cast<const WgmmaSlot*>(all[t]);
      for (int e = 0; e < 64; ++e) {
        const float sum = product[t / 32 * 16 + c_row(t % 32, e % 4)][e / 4 * 8 + c_col(t % 32, e % 4)];
        mine.c[e] = mine.add ? mine.c[e] + sum : sum;
      }
    }
  });
}

namespace {

// 64 × n × 16, n ≤ 256.
void wgmma_bf16(void* const* all, int n, bool trans) {
  const WgmmaSlot& first = *static_cast<const WgmmaSlot*>(all[0]);
  if (descriptor_fields(first.a).swizzle != 1 || descriptor_fields(first.b).swizzle != 1)
    throw std::logic_error("a wgmma descriptor without the 128-byte swizzle");
  static float a_values[64][16];
  static float b_values[16][256];
  static float product[64][256];
  const auto value_at = [](std::uint32_t address) {
    const unsigned char* at = shared() + address;
    detail::check_shared(at, 2, 2);
    std::uint16_t bits = 0;
    std::memcpy(&bits, at, 2);
    return from_bf16(bits);
  };
  for (int r = 0; r < 64; ++r) {
    for (int k = 0; k < 16; ++k) a_values[r][k] = value_at(operand_address(first.a, r, 2 * k));
  }
  for (int k = 0; k < 16; ++k) {
    for (int c = 0; c < n; ++c)
      b_values[k][c] = value_at(trans ? n_major_address(first.b, k, c) : operand_address(first.b, c, 2 * k));
  }
  for (int r = 0; r < 64; ++r) {
    std::fill_n(product[r], n, 0.0f);
    for (int k = 0; k < 16; ++k) {
      for (int c = 0; c < n; ++c) product[r][c] += a_values[r][k] * b_values[k][c];
    }
  }
  for (int t = 0; t < 128; ++t) {
    const WgmmaSlot& mine = *static_cast<const WgmmaSlot*>(all[t]);
    for (int e = 0; e < n / 2; ++e) {
      const float sum = product[t / 32 * 16 + c_row(t % 32, e % 4)][e / 4 * 8 + c_col(t % 32, e % 4)];
      mine.c[e] = mine.add ? mine.c[e] + sum : sum;
    }
  }
}

}  // namespace

void wgmma_bf16_n32(float (&c)[16], std::uint64_t a, std::uint64_t b, bool add) {
  WgmmaSlot slot{c, a, b, add};
  detail::together_group(&slot, [](void* const* all) { wgmma_bf16(all, 32, false); });
}

void wgmma_bf16_n256_trans(float (&c)[128], std::uint64_t a, std::uint64_t b, bool add) {
  WgmmaSlot slot{c, a, b, add};
  detail::together_group(&slot, [](void* const* all) { wgmma_bf16(all, 256, true); });
}

void sync_threads_of(int id, int threads) {
  detail::meet_named(id, threads);
}

}  // namespace simt
}  // namespace dsbench::engine::kernels::cuda
