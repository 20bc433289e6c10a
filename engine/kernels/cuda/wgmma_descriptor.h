#pragma once

#include <cstdint>

#include "engine/kernels/cuda/host_device.h"

// How wgmma is told where an operand lies in shared memory. Ours are always k-major with the 128-byte
// swizzle: atoms of 8 rows × 128 bytes, 1024 bytes each, one after another along the rows. Source: PTX ISA,
// "Matrix descriptor format" of wgmma.
namespace dsbench::engine::kernels::cuda {

inline constexpr std::uint32_t swizzle_atom_bytes = 1024;

// Bits 0–13 the address / 16, 16–29 the leading offset (unused with this swizzle; 1), 32–45 the stride from
// atom to atom / 16, 62–63 the swizzle (1: 128 bytes). Along k one adds the bytes to the address: up to 96
// within an atom.
[[nodiscard]] DSB_HD constexpr std::uint64_t k_major_descriptor(std::uint32_t shared_address) {
  return (static_cast<std::uint64_t>(shared_address & 0x3ffffu) >> 4) | (std::uint64_t{1} << 16) |
         (static_cast<std::uint64_t>(swizzle_atom_bytes >> 4) << 32) | (std::uint64_t{1} << 62);
}

// The same for an operand whose rows or columns, not k, are contiguous (V in attention): atoms of 8 along k ×
// 64 bf16; `leading` bytes from one run of 64 to the next, 1024 from 8 along k to the next 8.
[[nodiscard]] DSB_HD constexpr std::uint64_t n_major_descriptor(std::uint32_t shared_address,
                                                                std::uint32_t leading) {
  return (static_cast<std::uint64_t>(shared_address & 0x3ffffu) >> 4) |
         (static_cast<std::uint64_t>(leading >> 4) << 16) |
         (static_cast<std::uint64_t>(swizzle_atom_bytes >> 4) << 32) | (std::uint64_t{1} << 62);
}

struct DescriptorFields {
  std::uint32_t address;
  std::uint32_t leading;
  std::uint32_t stride;
  int swizzle;
};
[[nodiscard]] DSB_HD constexpr DescriptorFields descriptor_fields(std::uint64_t descriptor) {
  return {static_cast<std::uint32_t>(descriptor & 0x3fffu) << 4,
          static_cast<std::uint32_t>((descriptor >> 16) & 0x3fffu) << 4,
          static_cast<std::uint32_t>((descriptor >> 32) & 0x3fffu) << 4, static_cast<int>(descriptor >> 62)};
}

// The 128-byte swizzle as the hardware does it: bits 4–6 of the address are XORed with bits 7–9. For tiles
// that start on 1024 bytes this is swizzled_offset(row, chunk, 8).
[[nodiscard]] DSB_HD constexpr std::uint32_t swizzled_address(std::uint32_t address) {
  return address ^ ((address >> 3) & 0x70u);
}

// Where the hardware reads byte `byte` of row `row` of an operand.
[[nodiscard]] DSB_HD constexpr std::uint32_t operand_address(std::uint64_t descriptor, int row, int byte) {
  const DescriptorFields d = descriptor_fields(descriptor);
  return swizzled_address(d.address + static_cast<std::uint32_t>(row / 8) * d.stride +
                          static_cast<std::uint32_t>(row % 8) * 128u + static_cast<std::uint32_t>(byte));
}

// Where it reads bf16 number `n` of k index `k` of an operand with contiguous n.
[[nodiscard]] DSB_HD constexpr std::uint32_t n_major_address(std::uint64_t descriptor, int k, int n) {
  const DescriptorFields d = descriptor_fields(descriptor);
  return swizzled_address(d.address + static_cast<std::uint32_t>(n / 64) * d.leading +
                          static_cast<std::uint32_t>(k / 8) * d.stride +
                          static_cast<std::uint32_t>(k % 8) * 128u + static_cast<std::uint32_t>(n % 64) * 2u);
}

}  // namespace dsbench::engine::kernels::cuda
