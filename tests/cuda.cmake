# The CUDA kernels on the host: their planners, and the kernels themselves over the emulation. Fibers and sanitizers do not go together.
dsbench_test(cuda_plans_test SOURCES unit/cuda_plans_test.cc LIBS dsbench::cuda_plans)
if(NOT DSBENCH_SANITIZE)
  dsbench_test(cuda_emulation_test SOURCES unit/cuda_emulation_test.cc unit/cuda_simt_test.cc
    LIBS dsbench::cuda_adapters dsbench::cuda_emulation)
endif()
