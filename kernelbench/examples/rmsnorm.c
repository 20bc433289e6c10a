/* A kernel of yours, measured beside ours: RMSNorm of f32 rows, plain C on one thread. Copy this file to begin with.
 *
 * The operands of op "rmsnorm" are in docs/kernels.md: in[0] = x [tokens, hidden], in[1] = weight [hidden],
 * out[0] = y [tokens, hidden]; eps is 1e-6. */
#include <math.h>
#include <string.h>

#include "dsbench_kernel.h"

/* The problem comes as JSON; what this kernel must know of it is its type. The shapes are in the tensors. */
static int supports(const char* problem_json, int sm_arch) {
  (void)sm_arch;
  return strstr(problem_json, "\"dtype\":\"f32\"") != 0;
}

static int run(const dsb_call* call) {
  const float* x = (const float*)call->in[0].data;
  const float* weight = (const float*)call->in[1].data;
  float* y = (float*)call->out[0].data;
  const int64_t tokens = call->in[0].shape[0], hidden = call->in[0].shape[1];
  for (int64_t t = 0; t < tokens; ++t) {
    const float* row = x + t * hidden;
    float squares = 0;
    for (int64_t i = 0; i < hidden; ++i) squares += row[i] * row[i];
    const float inverse = 1.0f / sqrtf(squares / (float)hidden + 1e-6f);
    for (int64_t i = 0; i < hidden; ++i) y[t * hidden + i] = row[i] * inverse * weight[i];
  }
  return 0;
}

static const dsb_kernel kernels[] = {{.size = sizeof(dsb_kernel),
                                      .abi_version = DSB_KERNEL_ABI_VERSION,
                                      .name = "example_c",
                                      .op = "rmsnorm",
                                      .author = "you",
                                      .device = DSB_CPU,
                                      .supports = supports,
                                      .run = run}};

const dsb_kernel* dsbench_kernel_table(int* n) {
  *n = (int)(sizeof(kernels) / sizeof(kernels[0]));
  return kernels;
}
