dsbench_test(kernelbench_measure_test SOURCES unit/kernelbench_measure_test.cc unit/kernelbench_compare_test.cc unit/kernelbench_step_law_test.cc
  LIBS dsbench::kernelbench dsbench::gate)

# Plug-ins for the end-to-end test: one that works, and one for each way to go wrong.
set(plugin_dir "${CMAKE_CURRENT_BINARY_DIR}/plugins")
function(dsbench_test_plugin name source)
  add_library(plugin_${name} MODULE "${source}")
  set_target_properties(plugin_${name} PROPERTIES PREFIX "" OUTPUT_NAME ${name} LIBRARY_OUTPUT_DIRECTORY "${plugin_dir}" C_STANDARD 11)
  target_include_directories(plugin_${name} PRIVATE "${PROJECT_SOURCE_DIR}/kernelbench/include")
  target_compile_definitions(plugin_${name} PRIVATE ${ARGN})
  target_link_libraries(plugin_${name} PRIVATE m)
endfunction()
dsbench_test_plugin(example "${PROJECT_SOURCE_DIR}/kernelbench/examples/rmsnorm.c")
foreach(bad crash late_crash hang wrong exit chatty abi op empty)
  string(TOUPPER ${bad} upper)
  dsbench_test_plugin(${bad} fakes/bad_plugin.c BAD_${upper})
endforeach()

add_test(NAME e2e_kernels COMMAND "${Python3_EXECUTABLE}" -B "${CMAKE_CURRENT_SOURCE_DIR}/e2e/kernels_test.py" -v)
set_tests_properties(e2e_kernels PROPERTIES LABELS "host;e2e" TIMEOUT 240
  ENVIRONMENT "DSBENCH=$<TARGET_FILE:dsbench>;DSBENCH_PLUGINS=${plugin_dir}")
