// Compiled with -mavx512f -mavx512vl -mavx512dq -mavx512bw -mavx512vnni -mavx512bf16 -mavx512vbmi -mfma; runs only
// where the processor has them.
#define DSBENCH_LANES 16
#define DSBENCH_ACCUMULATORS 24
#define DSBENCH_TABLE kAvx512Bf16Kernels
#define DSBENCH_NAME "avx512bf16"
#include "engine/kernels/cpu/kernels.inc"
