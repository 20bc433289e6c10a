#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <limits>
#include <stdexcept>
#include <vector>

#include "engine/kernels/cuda/emulation/hopper_host.h"
#include "engine/kernels/cuda/mma_layout.h"
#include "engine/kernels/cuda/wgmma_descriptor.h"

// Products of a warpgroup: from when they are issued until somebody has waited for them.
namespace dsbench::engine::kernels::cuda::simt {

namespace {
constexpr int group_threads = 128;
}  // namespace

namespace {

// A product as the 128 threads of a warpgroup issued it.
struct Product {
  bool e4m3;
  bool trans;           // of b
  bool a_in_registers;  // bf16
  bool add;
  int n;
  std::uint64_t a;
  std::uint64_t b;
  std::array<float*, group_threads> c;
  std::array<const std::uint32_t*, group_threads> a_registers;
};

// Sums that products under way go to: their values, which the threads do not see until all of those are done.
struct Sums {
  std::array<float*, group_threads> c;
  std::vector<float> values;  // [thread, n/2]
  int products;               // under way
};

// Registers of a thread as they were at its last fence.
struct Fenced {
  const unsigned char* at;
  std::vector<unsigned char> values;
};

struct Flight {
  std::uint64_t block = 0;
  std::array<std::vector<Fenced>, group_threads> fenced = {};
  std::vector<Product> open = {};                // since the last commit
  std::deque<std::vector<Product>> groups = {};  // committed, oldest first
  std::vector<Sums> sums = {};
};

Flight& flight_of_group() {
  static std::array<Flight, 64> flights;
  Flight& flight = flights[static_cast<std::size_t>(cluster_rank() * 8 + thread() / group_threads)];
  if (flight.block != detail::block_serial()) flight = Flight{.block = detail::block_serial()};
  return flight;
}

struct IssueSlot {
  float* c;
  const std::uint32_t* a_registers;
  const Product* form;
};

// Whether the thread's fence knows these registers, and, where their values count, with the values that they
// have.
void require_fenced(const Flight& flight, int thread, const void* registers, std::size_t bytes,
                    bool values_count) {
  const auto* const at = static_cast<const unsigned char*>(registers);
  for (const Fenced& f : flight.fenced[static_cast<std::size_t>(thread)]) {
    if (at < f.at || at + bytes > f.at + f.values.size()) continue;
    if (values_count && std::memcmp(at, f.values.data() + (at - f.at), bytes) != 0)
      throw std::logic_error("registers of a wgmma changed after wgmma_fence");
    return;
  }
  throw std::logic_error("a wgmma whose registers no wgmma_fence named since the last wait");
}

void issue(Product form, float* c, const std::uint32_t* a_registers) {
  IssueSlot slot{c, a_registers, &form};
  detail::together_group(&slot, [](void* const* all) {
    Product product = *static_cast<const IssueSlot*>(all[0])->form;
    if ((!product.a_in_registers && descriptor_fields(product.a).swizzle != 1) ||
        descriptor_fields(product.b).swizzle != 1)
      throw std::logic_error("a wgmma descriptor without the 128-byte swizzle");
    for (int t = 0; t < group_threads; ++t) {
      const IssueSlot& mine = *static_cast<const IssueSlot*>(all[t]);
      if (mine.form->a != product.a || mine.form->b != product.b || mine.form->add != product.add)
        throw std::logic_error("threads of a warpgroup disagree on a product's operands");
      product.c[static_cast<std::size_t>(t)] = mine.c;
      product.a_registers[static_cast<std::size_t>(t)] = mine.a_registers;
    }
    Flight& flight = flight_of_group();
    const auto known = std::ranges::find_if(flight.sums, [&](const Sums& s) { return s.c == product.c; });
    for (int t = 0; t < group_threads; ++t) {
      const auto at = static_cast<std::size_t>(t);
      if (known == flight.sums.end())
        require_fenced(flight, t, product.c[at], static_cast<std::size_t>(product.n / 2) * sizeof(float),
                       product.add);
      if (product.a_in_registers)
        require_fenced(flight, t, product.a_registers[at], 4 * sizeof(std::uint32_t), true);
    }
    if (known != flight.sums.end()) {
      ++known->products;
    } else {
      Sums sums{.c = product.c, .values = {}, .products = 1};
      for (float* const mine : product.c) {
        sums.values.insert(sums.values.end(), mine, mine + product.n / 2);
        std::fill_n(mine, product.n / 2, std::numeric_limits<float>::quiet_NaN());
      }
      flight.sums.push_back(std::move(sums));
    }
    flight.open.push_back(product);
  });
}

constexpr int most_k = 32;
constexpr int most_n = 256;

const unsigned char* operand_at(std::uint32_t address, int bytes) {
  const unsigned char* const at = shared() + address;
  detail::check_shared(at, bytes, bytes);
  return detail::async_view(at);
}

void read_a(const Product& product, float (&a)[64][most_k]) {
  const float* const e4m3 = detail::e4m3_table();
  for (int r = 0; r < 64; ++r) {
    for (int byte = 0; byte < 32 && !product.a_in_registers; byte += 16) {
      const unsigned char* const at = operand_at(operand_address(product.a, r, byte), 16);
      for (int i = 0; i < (product.e4m3 ? 16 : 8); ++i) {
        if (product.e4m3) {
          a[r][byte + i] = e4m3[at[i]];
        } else {
          std::uint16_t bits = 0;
          std::memcpy(&bits, at + 2 * i, 2);
          a[r][byte / 2 + i] = from_bf16(bits);
        }
      }
    }
  }
  for (int t = 0; t < group_threads && product.a_in_registers; ++t) {
    for (int i = 0; i < 4; ++i) {
      const std::uint32_t word = product.a_registers[static_cast<std::size_t>(t)][i];
      float* const to = &a[t / 32 * 16 + a_row(t % 32, i)][a_byte(t % 32, i) / 2];
      to[0] = from_bf16(static_cast<std::uint16_t>(word & 0xffffu));
      to[1] = from_bf16(static_cast<std::uint16_t>(word >> 16));
    }
  }
}

void read_b(const Product& product, float (&b)[most_k][most_n]) {
  const float* const e4m3 = detail::e4m3_table();
  if (product.trans) {
    for (int k = 0; k < 16; ++k) {
      for (int c = 0; c < product.n; ++c) {
        const unsigned char* const at = operand_at(n_major_address(product.b, k, c), 2);
        std::uint16_t bits = 0;
        std::memcpy(&bits, at, 2);
        b[k][c] = from_bf16(bits);
      }
    }
    return;
  }
  for (int c = 0; c < product.n; ++c) {
    for (int byte = 0; byte < 32; byte += 16) {
      const unsigned char* const at = operand_at(operand_address(product.b, c, byte), 16);
      for (int i = 0; i < (product.e4m3 ? 16 : 8); ++i) {
        if (product.e4m3) {
          b[byte + i][c] = e4m3[at[i]];
        } else {
          std::uint16_t bits = 0;
          std::memcpy(&bits, at + 2 * i, 2);
          b[byte / 2 + i][c] = from_bf16(bits);
        }
      }
    }
  }
}

void compute(const Product& product, Flight& flight) {
  static float a[64][most_k];
  static float b[most_k][most_n];
  static float sum[64][most_n];
  read_a(product, a);
  read_b(product, b);
  const int depth = product.e4m3 ? 32 : 16;
  for (int r = 0; r < 64; ++r) {
    std::fill_n(sum[r], product.n, 0.0f);
    for (int k = 0; k < depth; ++k) {
      for (int c = 0; c < product.n; ++c) sum[r][c] += a[r][k] * b[k][c];
    }
  }
  const auto to = std::ranges::find_if(flight.sums, [&](const Sums& s) { return s.c == product.c; });
  const int own = product.n / 2;
  for (int t = 0; t < group_threads; ++t) {
    float* const values = to->values.data() + t * own;
    for (int e = 0; e < own; ++e) {
      const float now = sum[t / 32 * 16 + c_row(t % 32, e % 4)][e / 4 * 8 + c_col(t % 32, e % 4)];
      values[e] = product.add ? values[e] + now : now;
    }
  }
  if (--to->products > 0) return;
  for (int t = 0; t < group_threads; ++t)
    std::copy_n(to->values.data() + t * own, own, to->c[static_cast<std::size_t>(t)]);
  flight.sums.erase(to);
}

}  // namespace

void wgmma_commit() {
  detail::together_group(nullptr, [](void* const*) {
    Flight& flight = flight_of_group();
    flight.groups.push_back(std::move(flight.open));
    flight.open.clear();
  });
}

namespace detail {

void settle_products(int left) {
  if (thread() % 32 == 0) let_others_run();
  together_group(&left, [](void* const* all) {
    Flight& flight = flight_of_group();
    for (std::vector<Fenced>& fenced : flight.fenced) fenced.clear();
    const int most = *static_cast<const int*>(all[0]);
    while (static_cast<int>(flight.groups.size()) > most) {
      for (const Product& product : flight.groups.front()) compute(product, flight);
      flight.groups.pop_front();
    }
  });
}

void fence_registers(void* registers, std::size_t bytes) {
  const auto* const at = static_cast<const unsigned char*>(registers);
  std::vector<Fenced>& fenced = flight_of_group().fenced[static_cast<std::size_t>(thread() % group_threads)];
  std::erase_if(fenced, [&](const Fenced& f) { return f.at == at; });
  fenced.push_back({at, {at, at + bytes}});
}

}  // namespace detail

namespace {

void issue_e4m3(float* c, int n, std::uint64_t a, std::uint64_t b, bool add) {
  issue({.e4m3 = true,
         .trans = false,
         .a_in_registers = false,
         .add = add,
         .n = n,
         .a = a,
         .b = b,
         .c = {},
         .a_registers = {}},
        c, nullptr);
}

void issue_bf16(float* c, int n, std::uint64_t a, const std::uint32_t* a_registers, std::uint64_t b,
                bool trans, bool add) {
  issue({.e4m3 = false,
         .trans = trans,
         .a_in_registers = a_registers != nullptr,
         .add = add,
         .n = n,
         .a = a,
         .b = b,
         .c = {},
         .a_registers = {}},
        c, a_registers);
}

}  // namespace

void wgmma_e4m3(float (&c)[64], std::uint64_t a, std::uint64_t b, bool add) {
  issue_e4m3(c, 128, a, b, add);
}
void wgmma_e4m3_n8(float (&c)[4], std::uint64_t a, std::uint64_t b, bool add) {
  issue_e4m3(c, 8, a, b, add);
}
void wgmma_e4m3_n16(float (&c)[8], std::uint64_t a, std::uint64_t b, bool add) {
  issue_e4m3(c, 16, a, b, add);
}
void wgmma_e4m3_n32(float (&c)[16], std::uint64_t a, std::uint64_t b, bool add) {
  issue_e4m3(c, 32, a, b, add);
}
void wgmma_e4m3_n64(float (&c)[32], std::uint64_t a, std::uint64_t b, bool add) {
  issue_e4m3(c, 64, a, b, add);
}
void wgmma_bf16_n32(float (&c)[16], std::uint64_t a, std::uint64_t b, bool add) {
  issue_bf16(c, 32, a, nullptr, b, false, add);
}
void wgmma_bf16_n64(float (&c)[32], std::uint64_t a, std::uint64_t b, bool add) {
  issue_bf16(c, 64, a, nullptr, b, false, add);
}
void wgmma_bf16_n128(float (&c)[64], std::uint64_t a, std::uint64_t b, bool add) {
  issue_bf16(c, 128, a, nullptr, b, false, add);
}
void wgmma_bf16_n128_trans(float (&c)[64], const std::uint32_t (&a)[4], std::uint64_t b, bool add) {
  issue_bf16(c, 128, 0, a, b, true, add);
}
void wgmma_bf16_n256_trans(float (&c)[128], std::uint64_t a, std::uint64_t b, bool add) {
  issue_bf16(c, 256, a, nullptr, b, true, add);
}
void wgmma_bf16_n256_trans(float (&c)[128], const std::uint32_t (&a)[4], std::uint64_t b, bool add) {
  issue_bf16(c, 256, 0, a, b, true, add);
}

}  // namespace dsbench::engine::kernels::cuda::simt
