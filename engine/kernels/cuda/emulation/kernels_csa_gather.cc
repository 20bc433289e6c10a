// The kernels of this file, compiled against the emulation.
#include "engine/kernels/cuda/csa_gather.cu"
