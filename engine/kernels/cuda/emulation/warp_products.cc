#include <cstdint>
#include <cstring>

#include "engine/kernels/cuda/emulation/simt_host.h"
#include "engine/kernels/cuda/mma_layout.h"

// ldmatrix and mma, by all lanes of a warp at once.
namespace dsbench::engine::kernels::cuda::simt::detail {

namespace {

struct MatrixSlot {
  const unsigned char* row;
  bool trans;
  std::uint32_t* out;
};

struct MmaSlot {
  float* c;
  const std::uint32_t* a;
  std::uint32_t b[2];
  bool e4m3;
};

// The bytes of one register, as numbers.
int unpack(std::uint32_t word, bool e4m3, float* values) {
  if (e4m3) {
    const float* table = e4m3_table();
    for (int i = 0; i < 4; ++i) values[i] = table[(word >> (8 * i)) & 255u];
    return 4;
  }
  values[0] = from_bf16(static_cast<std::uint16_t>(word & 0xffffu));
  values[1] = from_bf16(static_cast<std::uint16_t>(word >> 16));
  return 2;
}

void mma_of_warp(void* const* all) {
  const MmaSlot& first = *static_cast<const MmaSlot*>(all[0]);
  const bool e4m3 = first.e4m3;
  const int width = e4m3 ? 1 : 2;  // bytes of an element
  const int depth = 32 / width;
  float a[16][32];
  float b[32][8];
  for (int lane = 0; lane < 32; ++lane) {
    const MmaSlot& slot = *static_cast<const MmaSlot*>(all[lane]);
    for (int i = 0; i < 4; ++i) unpack(slot.a[i], e4m3, &a[a_row(lane, i)][a_byte(lane, i) / width]);
    for (int i = 0; i < 2; ++i) {
      float column[4];
      const int values = unpack(slot.b[i], e4m3, column);
      for (int k = 0; k < values; ++k) b[b_byte(lane, i) / width + k][b_col(lane)] = column[k];
    }
  }
  float product[16][8] = {};
  for (int r = 0; r < 16; ++r) {
    for (int k = 0; k < depth; ++k) {
      for (int n = 0; n < 8; ++n) product[r][n] += a[r][k] * b[k][n];
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    float* c = static_cast<MmaSlot*>(all[lane])->c;
    for (int i = 0; i < 4; ++i) c[i] += product[c_row(lane, i)][c_col(lane, i)];
  }
}

void load_of_warp(void* const* all) {
  for (int lane = 0; lane < 32; ++lane) {
    const MatrixSlot& slot = *static_cast<const MatrixSlot*>(all[lane]);
    for (int matrix = 0; matrix < 4; ++matrix) {
      std::uint16_t pair[2];
      for (int k = 0; k < 2; ++k) {
        // Plain: row lane/4, items 2·(lane%4) and the next. Transposed: the same of the transposed matrix.
        const int row = slot.trans ? (lane % 4) * 2 + k : lane / 4;
        const int item = slot.trans ? lane / 4 : (lane % 4) * 2 + k;
        const MatrixSlot& owner = *static_cast<const MatrixSlot*>(all[matrix * 8 + row]);
        std::memcpy(&pair[k], owner.row + item * 2, 2);
      }
      slot.out[matrix] = pair[0] | (static_cast<std::uint32_t>(pair[1]) << 16);
    }
  }
}

}  // namespace

void load_matrix(std::uint32_t (&r)[4], const void* p, bool trans) {
  watch(reinterpret_cast<std::uintptr_t>(__builtin_return_address(0)), p, 16, Touch::read);
  check_shared(p, 16, 16);
  MatrixSlot slot{static_cast<const unsigned char*>(p), trans, r};
  together(&slot, &load_of_warp);
}

void mma(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1, bool e4m3) {
  MmaSlot slot{c, a, {b0, b1}, e4m3};
  together(&slot, &mma_of_warp);
}

}  // namespace dsbench::engine::kernels::cuda::simt::detail
