#include "kernelbench/kernels_cuda/lt_product.h"

namespace dsbench::kernelbench::cuda {

std::int64_t lt_a_scale_index(std::int64_t rows, std::int64_t row, std::int64_t k_block) {
  return k_block * rows + row;
}

std::int64_t lt_w_scale_index(std::int64_t k_blocks, std::int64_t n_block, std::int64_t k_block) {
  return n_block * ((k_blocks + 3) / 4 * 4) + k_block;
}

std::int64_t lt_w_scale_count(std::int64_t k_blocks, std::int64_t n_blocks) {
  return n_blocks * ((k_blocks + 3) / 4 * 4);
}

}  // namespace dsbench::kernelbench::cuda
