// Compiled with -mavx2 -mfma; runs only where the processor has both.
#define DSBENCH_LANES 8
#define DSBENCH_ACCUMULATORS 12
#define DSBENCH_TABLE kAvx2Kernels
#define DSBENCH_NAME "avx2"
#include "engine/kernels/cpu/kernels.inc"
