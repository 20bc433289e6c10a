// Four lanes: SSE2 on x86-64, NEON on arm64, plain code elsewhere.
#define DSBENCH_LANES 4
#define DSBENCH_ACCUMULATORS 12
#define DSBENCH_TABLE kBaselineKernels
#define DSBENCH_NAME "baseline"
#include "engine/kernels/cpu/kernels.inc"
