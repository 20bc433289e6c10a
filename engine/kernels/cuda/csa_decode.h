#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/kernels/cuda/host_device.h"
#include "engine/kernels/cuda/launch.h"

namespace dsbench::engine::kernels::cuda {

inline constexpr int csa_width = 512;  // of an entry, key and value in one
inline constexpr int csa_rope = 64;    // its last numbers
// An entry of an FP8 cache: 448 e4m3 codes and 64 numbers in bf16; behind the entries of a page 8 bytes for
// each of them, powers of two that 64 codes share (2^(byte − 127)) and one byte that is not read. A page ends
// at a multiple of 576 bytes.
inline constexpr int csa_codes = csa_width - csa_rope;
inline constexpr int csa_tile = 64;
inline constexpr int csa_data_bytes = csa_codes + csa_rope * 2;
inline constexpr int csa_scale_bytes = 8;
[[nodiscard]] DSB_HD constexpr long long csa_page_bytes(int entries) {
  return round_up<long long>(entries * (csa_data_bytes + csa_scale_bytes), csa_data_bytes);
}

// DeepSeek-V4's attention, one query a request: it sees the last `window` positions one by one and, of those
// that came before and are kept `ratio` to an entry, the entries that are named. 512^−0.5 scales the scores,
// and each head has a sink: a logit in the denominator. lse is of the entries alone.
struct CsaDecodeArgs {
  const void* q = nullptr;                // bf16 [requests, heads, 512]
  const void* window = nullptr;           // [requests, window, 512], or a page of `window` entries for each
  const void* compressed = nullptr;       // [·, 512], or pages of `page` entries
  const std::int32_t* ids = nullptr;      // [requests, listed], −1: none; of these the first min(listed,
                                          // lengths / ratio) are read
  const std::int32_t* lengths = nullptr;  // [requests], positions
  const float* sink = nullptr;            // [heads]
  const float* turn = nullptr;  // [requests, 64]: cosines of 32 angles, then sines, by which the last
                                // 64 numbers of o are turned back in pairs; null: they are not
  void* o = nullptr;            // bf16 [requests, heads, 512]
  float* lse = nullptr;         // [requests, heads]
  void* workspace = nullptr;
  int requests = 0;
  int heads = 0;
  int listed = 0;
  int ratio = 4;
  int window_entries = 128;
  int page_entries = 64;
  bool fp8_cache = false;
};
[[nodiscard]] std::size_t csa_decode_workspace_bytes(const CsaDecodeArgs& args);
[[nodiscard]] Status csa_decode(const CsaDecodeArgs& args, void* stream);

}  // namespace dsbench::engine::kernels::cuda
