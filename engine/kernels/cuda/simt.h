#pragma once

#include <cstdint>

#include "engine/kernels/cuda/host_device.h"

// What a kernel may use of the machine. Kernels are written once against these few functions. nvcc maps them
// to instructions (simt_device.cuh); g++ maps them to an emulation that runs every CUDA thread as a fiber,
// with barriers, shuffles, ldmatrix, mma and asynchronous copies that behave as the PTX manual says
// (emulation/simt_host.h). So the same source is checked against the oracles where there is no GPU: what
// stays unchecked there is speed and the hardware.
//
//   thread(), threads(), block_x() … grid_x()      who am I
//   whole(v)                                       v (64 bits), which the compiler does not take apart
//   computed_here(v)                               v, from which nothing is computed ahead
//   shared()                                       dynamic shared memory, 1024-byte aligned
//   sync_block()                                   __syncthreads
//   shuffle_xor(v, mask), shuffle(v, lane)         all 32 lanes take part
//   uniform(v)                                     v, which is the same in all 32 lanes, said to the compiler
//   match(v)                                       mask of lanes that hold the same value; all 32 take part
//   ballot(p)
//   load_matrix(r, p), load_matrix_trans(r, p)     ldmatrix.x4
//   mma_bf16(c, a, b), mma_e4m3(c, a, b)           m16n8k16 / m16n8k32, f32 accumulators
//   copy_async(shared, global, valid)              16 bytes, copy_async8 8; zeros when not valid
//   commit_copies(), wait_copies<n>()              groups of them; wait until at most n are under way
//   in_global(p)                                   p, which points to global memory, said to the compiler
//   load16(p), store16(p, v), load8, store8        16 or 8 bytes at once
//   bf16 and e4m3 conversions, exp and friends; exp_2_fast flushes what is subnormal
//   wait_for_previous(), launch_next()             see LaunchShape::early; all threads, before anything is
//   read
#ifdef __CUDACC__
#include "engine/kernels/cuda/simt_device.cuh"
#else
#include "engine/kernels/cuda/emulation/simt_host.h"
#endif
