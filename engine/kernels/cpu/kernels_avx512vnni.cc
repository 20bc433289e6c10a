// Compiled with -mavx512f -mavx512vl -mavx512dq -mavx512bw -mavx512vnni -mfma; runs only where the processor
// has them.
#define DSBENCH_LANES 16
#define DSBENCH_ACCUMULATORS 24
#define DSBENCH_TABLE kAvx512VnniKernels
#define DSBENCH_NAME "avx512vnni"
#include "engine/kernels/cpu/kernels.inc"
