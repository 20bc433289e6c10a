// Kernels that were compiled to be watched say of every access what it is: the compiler calls these functions
// before each, as it would for ThreadSanitizer, whose run-time library is not part of it. What it names by
// them is fixed by GCC (gcc/sanitizer.def). Accesses that the compiler could take apart (sixteen bytes at
// once) or that are more than one instruction of it are told of by simt_host.cc.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "engine/kernels/cuda/emulation/simt_host.h"

namespace simt = dsbench::engine::kernels::cuda::simt;

#define DSB_SITE reinterpret_cast<std::uintptr_t>(__builtin_return_address(0))
#define DSB_WATCH(bytes)                                         \
  void __tsan_read##bytes(void* p) {                             \
    simt::detail::watch(DSB_SITE, p, bytes, simt::Touch::read);  \
  }                                                              \
  void __tsan_write##bytes(void* p) {                            \
    simt::detail::watch(DSB_SITE, p, bytes, simt::Touch::write); \
  }                                                              \
  void __tsan_unaligned_read##bytes(void* p) {                   \
    simt::detail::watch(DSB_SITE, p, bytes, simt::Touch::read);  \
  }                                                              \
  void __tsan_unaligned_write##bytes(void* p) {                  \
    simt::detail::watch(DSB_SITE, p, bytes, simt::Touch::write); \
  }

extern "C" {
void __tsan_init() {}
DSB_WATCH(1)
DSB_WATCH(2)
DSB_WATCH(4)
DSB_WATCH(8)
DSB_WATCH(16)
// Copies of structures, of any size.
void __tsan_read_range(void* p, std::size_t bytes) {
  simt::detail::watch(DSB_SITE, p, static_cast<int>(bytes), simt::Touch::read);
}
void __tsan_write_range(void* p, std::size_t bytes) {
  simt::detail::watch(DSB_SITE, p, static_cast<int>(bytes), simt::Touch::write);
}
void __tsan_vptr_update(void** /*to*/, void* /*from*/) {}
void __tsan_func_entry(void* /*caller*/) {}
void __tsan_func_exit() {}
}

// Wide accesses of kernels that are watched; others have them inline.
namespace dsbench::engine::kernels::cuda::simt {

Bytes16 load16(const void* p) {
  detail::watch(DSB_SITE, p, 16, Touch::read);
  require_aligned(p, 16);
  Bytes16 v;
  std::memcpy(&v, p, 16);
  return v;
}
void store16(void* p, const Bytes16& v) {
  detail::watch(DSB_SITE, p, 16, Touch::write);
  require_aligned(p, 16);
  std::memcpy(p, &v, 16);
}
void load8(const void* p, std::uint32_t& low, std::uint32_t& high) {
  detail::watch(DSB_SITE, p, 8, Touch::read);
  require_aligned(p, 8);
  std::memcpy(&low, p, 4);
  std::memcpy(&high, static_cast<const char*>(p) + 4, 4);
}
void store8(void* p, std::uint32_t low, std::uint32_t high) {
  detail::watch(DSB_SITE, p, 8, Touch::write);
  require_aligned(p, 8);
  std::memcpy(p, &low, 4);
  std::memcpy(static_cast<char*>(p) + 4, &high, 4);
}

}  // namespace dsbench::engine::kernels::cuda::simt
