# The CUDA kernels on the host: their planners, and the kernels themselves over the emulation. Fibers and sanitizers do not go together.
dsbench_test(cuda_plans_test SOURCES unit/cuda_plans_test.cc LIBS dsbench::cuda_plans dsbench::cuda_emulation)
if(NOT DSBENCH_SANITIZE)
  dsbench_test(cuda_emulation_test SOURCES unit/cuda_emulation_test.cc unit/cuda_simt_test.cc
    LIBS dsbench::cuda_adapters dsbench::cuda_emulation)
endif()

dsbench_test(cuda_device_test SOURCES unit/cuda_device_test.cc
  LIBS dsbench::kernels_cuda dsbench::cuda_adapters $<$<NOT:$<BOOL:${DSBENCH_HAVE_CUDA}>>:dsbench::cuda_emulation>)
find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
  add_test(NAME cuda_ptxas_check_test COMMAND Python3::Interpreter "${CMAKE_CURRENT_SOURCE_DIR}/e2e/check_ptxas_test.py")
  set_tests_properties(cuda_ptxas_check_test PROPERTIES LABELS host)
endif()
if(DSBENCH_HAVE_CUDA)
  target_compile_definitions(cuda_device_test PRIVATE DSBENCH_HAVE_CUDA)
  if(Python3_FOUND)
    # Registers and spills of what was built, against the committed table.
    add_test(NAME cuda_ptxas COMMAND Python3::Interpreter "${PROJECT_SOURCE_DIR}/scripts/check-ptxas" "${PROJECT_BINARY_DIR}")
    set_tests_properties(cuda_ptxas PROPERTIES LABELS host)
  endif()
endif()
