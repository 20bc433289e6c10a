/* dsbench_kernel.h: how a kernel presents itself to `dsbench kernels`. Plain C, no CUDA header needed.
 *
 * Everything that dsbench measures comes through this table: its own CPU and CUDA kernels, the library
 * baselines, and yours. A shared library that exports dsbench_kernel_table() is measured with
 *
 *     dsbench kernels --plugin ./libmine.so
 *
 * in a process of its own. docs/kernels.md lists the operands of each op, in order, with shapes and types.
 *
 * Life of one cell:  supports → workspace_bytes → prepare → run × many → release.
 *   prepare  untimed: repack weights, make tensor maps, plan. It may read `in` and write `workspace`.
 *   run      timed: does the work on call->stream. On a GPU it only enqueues: it may not synchronise,
 * allocate, or use another stream, and it must be capturable in a CUDA graph. `out` must be whole after it.
 * The operands of run() are those of the last prepare(): same addresses, but the bytes of `out` (and, where
 * the sampler rotates buffers, the addresses too: then prepare() was called for each set with its own
 * `slot`). Each call returns 0, or another number after which last_error() says what went wrong.
 */
#ifndef DSBENCH_KERNEL_H
#define DSBENCH_KERNEL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DSB_KERNEL_ABI_VERSION 1u
#define DSB_MAX_DIMS 6

/* Element types. The names in brackets are those of problem files and reports. */
enum dsb_dtype {
  DSB_F64 = 1,  /* [f64] */
  DSB_F32 = 2,  /* [f32] */
  DSB_BF16 = 3, /* [bf16] */
  DSB_F16 = 4,  /* [f16] */
  DSB_E4M3 = 5, /* [e4m3] FP8 e4m3fn: 448 is the largest, no infinities */
  DSB_I8 = 6,   /* [i8] */
  DSB_U8 = 7,   /* [u8] */
  DSB_I32 = 8   /* [i32] */
};

enum dsb_device { DSB_CPU = 1, DSB_CUDA = 2 };

typedef struct dsb_tensor {
  void* data;
  int32_t dtype;  /* enum dsb_dtype */
  int32_t device; /* enum dsb_device: where data lives */
  int32_t ndim;
  int32_t reserved;
  int64_t shape[DSB_MAX_DIMS];
  int64_t strides[DSB_MAX_DIMS]; /* in elements; the last is 1 */
} dsb_tensor;

typedef struct dsb_call {
  uint32_t size;    /* sizeof(dsb_call) of the caller */
  uint32_t version; /* DSB_KERNEL_ABI_VERSION of the caller */
  void* stream;     /* cudaStream_t; null on the CPU */
  void* workspace;  /* workspace_bytes() bytes on the kernel's device, 256-byte aligned; kept from prepare to
                       release */
  uint64_t workspace_bytes;
  const dsb_tensor* in; /* in the order of docs/kernels.md */
  int32_t n_in;
  int32_t n_out;
  dsb_tensor* out;
  const char* problem_json; /* {"op", "dtype", "params": {…}, …}: docs/kernels.md */
  int32_t threads;          /* on the CPU: how many threads the kernel may use; else 0 */
  int32_t slot;             /* which set of rotated operands this is, from 0 */
} dsb_call;

typedef struct dsb_kernel {
  uint32_t size;        /* sizeof(dsb_kernel) of the library */
  uint32_t abi_version; /* DSB_KERNEL_ABI_VERSION of the library */
  const char* name;     /* what the report calls it, e.g. "splitkv_mma" */
  const char* op;       /* "mla_decode", "fp8_gemm", … */
  const char* author;
  int32_t device; /* enum dsb_device: where it wants its operands */
  int32_t role;   /* 0: a kernel; 1: a baseline, printed as the other side of the ratio column */
  /* Not 0 when it can do this problem on this architecture (sm_arch: 90 for Hopper; 0 on the CPU). */
  int (*supports)(const char* problem_json, int sm_arch);
  uint64_t (*workspace_bytes)(const char* problem_json); /* may be null: none */
  int (*prepare)(const dsb_call* call);                  /* may be null: nothing to do */
  int (*run)(const dsb_call* call);
  void (*release)(void);           /* may be null; frees what prepare() took, for all slots */
  const char* (*last_error)(void); /* may be null */
} dsb_kernel;

/* The one symbol of a plug-in: its kernels, `*n` of them, alive as long as the library is loaded. */
#if defined(_WIN32)
const dsb_kernel* dsbench_kernel_table(int* n);
#else
__attribute__((visibility("default"))) const dsb_kernel* dsbench_kernel_table(int* n);
#endif

#ifdef __cplusplus
}
#endif
#endif
