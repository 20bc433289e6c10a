#pragma once

#include <vector>

#include "kernelbench/include/dsbench_kernel.h"

// The parts that the table of CUDA kernels is put together from.
namespace dsbench::kernelbench::cuda {

void add_rows(std::vector<dsb_kernel>& kernels);       // norms, rope, quantisation, SwiGLU
void add_mhc(std::vector<dsb_kernel>& kernels);        // hyper-connections
void add_moe(std::vector<dsb_kernel>& kernels);        // gate, align, permute, unpermute
void add_products(std::vector<dsb_kernel>& kernels);   // dense, grouped and absorb products
void add_attention(std::vector<dsb_kernel>& kernels);  // MLA decode and prefill, sparse attention
void add_compress(std::vector<dsb_kernel>& kernels);   // V4's compressor
void add_baselines(std::vector<dsb_kernel>& kernels);  // cuBLAS; only in a build with nvcc

}  // namespace dsbench::kernelbench::cuda
