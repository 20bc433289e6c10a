// The kernels of this file, compiled against the emulation.
#include "engine/kernels/cuda/kv_compress.cu"
