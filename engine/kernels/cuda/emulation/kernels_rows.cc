// The kernels of these files, compiled against the emulation.
#include "engine/kernels/cuda/norm.cu"
#include "engine/kernels/cuda/quant.cu"
#include "engine/kernels/cuda/rope.cu"
