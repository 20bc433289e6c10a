#pragma once

#include <vector>

#include "kernelbench/include/dsbench_kernel.h"

// Each file of kernels adds its own; cpu_kernels() is all of them.
namespace dsbench::kernelbench::cpu {

void add_products(std::vector<dsb_kernel>& kernels);
void add_half_products(std::vector<dsb_kernel>& kernels);
void add_attention(std::vector<dsb_kernel>& kernels);
void add_rows(std::vector<dsb_kernel>& kernels);
void add_mhc(std::vector<dsb_kernel>& kernels);
void add_sparse_mla(std::vector<dsb_kernel>& kernels);
void add_csa(std::vector<dsb_kernel>& kernels);
void add_compress(std::vector<dsb_kernel>& kernels);
void add_onednn(std::vector<dsb_kernel>& kernels);  // where its headers were found

}  // namespace dsbench::kernelbench::cpu
