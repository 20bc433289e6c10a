// Compiled with -mavx512f -mavx512vl -mavx512dq -mfma; runs only where the processor has them.
#define DSBENCH_LANES 16
#define DSBENCH_ACCUMULATORS 24
#define DSBENCH_TABLE kAvx512Kernels
#define DSBENCH_NAME "avx512"
#include "engine/kernels/cpu/kernels.inc"
