# The CUDA kernels on the host: their planners, and the kernels themselves over the emulation. Fibers and sanitizers do not go together.
dsbench_test(cuda_plans_test SOURCES unit/cuda_plans_test.cc LIBS dsbench::cuda_plans dsbench::cuda_emulation)
if(NOT DSBENCH_SANITIZE)
  dsbench_test(cuda_emulation_test SOURCES unit/cuda_emulation_test.cc unit/cuda_growing_scores_test.cc unit/cuda_hopper_test.cc unit/cuda_pieces_test.cc
      unit/cuda_simt_test.cc unit/cuda_swapped_test.cc
    LIBS dsbench::cuda_adapters dsbench::cuda_emulation)
  # The lists that a GPU run starts with and the long kernels are tests of their own: they take as long as all the rest.
  add_test(NAME cuda_emulation_lists_test COMMAND cuda_emulation_test)
  add_test(NAME cuda_emulation_kernels_test COMMAND cuda_emulation_test)
  set_tests_properties(cuda_emulation_test PROPERTIES ENVIRONMENT "GTEST_FILTER=-*EmulatedList*:*Products*:*Attention*")
  set_tests_properties(cuda_emulation_kernels_test PROPERTIES ENVIRONMENT "GTEST_FILTER=*Products/*:*Attention/*" LABELS host TIMEOUT 300)
  set_tests_properties(cuda_emulation_lists_test PROPERTIES ENVIRONMENT "GTEST_FILTER=*EmulatedList*" LABELS host TIMEOUT 300)
endif()

# What accesses to memory cost, counted with the same kernels compiled once more.
if(TARGET dsbench::cuda_watched)
  dsbench_test(cuda_memory_cost_test SOURCES unit/cuda_memory_cost_test.cc LIBS dsbench::cuda_adapters dsbench::cuda_watched)
endif()

dsbench_test(cuda_device_test SOURCES unit/cuda_device_test.cc
  LIBS dsbench::kernels_cuda dsbench::cuda_adapters $<$<NOT:$<BOOL:${DSBENCH_HAVE_CUDA}>>:dsbench::cuda_emulation>)
find_package(Python3 COMPONENTS Interpreter REQUIRED)
foreach(name check_issue_slots check_ptxas check_wgmma_order device_check device_peers)
  add_test(NAME cuda_${name}_test COMMAND "${Python3_EXECUTABLE}" -B "${CMAKE_CURRENT_SOURCE_DIR}/e2e/${name}_test.py" -v)
  set_tests_properties(cuda_${name}_test PROPERTIES LABELS host ENVIRONMENT "DSBENCH=$<TARGET_FILE:dsbench>")
endforeach()
if(DSBENCH_HAVE_CUDA)
  target_compile_definitions(cuda_device_test PRIVATE DSBENCH_HAVE_CUDA)
  # Registers and spills of what was built, against the committed table.
  add_test(NAME cuda_ptxas COMMAND "${Python3_EXECUTABLE}" "${PROJECT_SOURCE_DIR}/scripts/check-ptxas" "${PROJECT_BINARY_DIR}")
  # What the compiler did around products.
  add_test(NAME cuda_wgmma_order COMMAND "${Python3_EXECUTABLE}" "${PROJECT_SOURCE_DIR}/scripts/check-wgmma-order" "${CMAKE_CUDA_COMPILER}")
  # What bounds the hot loops of what was built; skipped where there is no disassembler (scripts/setup --test brings it).
  add_test(NAME cuda_issue_slots COMMAND "${Python3_EXECUTABLE}" "${PROJECT_SOURCE_DIR}/scripts/check-issue-slots" "${PROJECT_BINARY_DIR}")
  set_tests_properties(cuda_issue_slots PROPERTIES SKIP_RETURN_CODE 77)
  set_tests_properties(cuda_ptxas cuda_wgmma_order cuda_issue_slots PROPERTIES LABELS host)
endif()

# The engine's executor on a device: over the emulation, and for a device, where all of it is skipped when there is none.
if(NOT DSBENCH_SANITIZE)
  dsbench_test(engine_device_test SOURCES unit/device_executor_test.cc LIBS dsbench::engine_emulated_device)
endif()
if(DSBENCH_HAVE_CUDA)
  dsbench_test(engine_cuda_test SOURCES unit/device_executor_test.cc LIBS dsbench::engine_cuda)
  target_compile_definitions(engine_cuda_test PRIVATE DSBENCH_ON_DEVICE)
endif()
