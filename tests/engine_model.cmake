dsbench_test(engine_model_profile_test SOURCES unit/engine_model_profile_test.cc LIBS dsbench::engine_model)
dsbench_test(engine_kernels_test
  SOURCES unit/engine_kernels_attention_test.cc unit/engine_kernels_gate_test.cc unit/engine_kernels_pointwise_test.cc
    unit/engine_kernels_products_test.cc unit/engine_kernels_rope_test.cc unit/engine_kernels_threads_test.cc
  LIBS dsbench::engine_kernels)
dsbench_test(engine_model_decoder_test SOURCES unit/engine_model_decoder_test.cc LIBS dsbench::engine_model)
dsbench_test(engine_kv_type_test SOURCES unit/engine_kv_type_test.cc LIBS dsbench::engine_model)
dsbench_test(engine_mtp_test SOURCES unit/engine_mtp_test.cc LIBS dsbench::engine_model)
dsbench_test(engine_model_executor_test SOURCES unit/engine_model_executor_test.cc LIBS dsbench::engine_model)
dsbench_test(engine_model_throughput_test SOURCES unit/engine_model_throughput_test.cc LIBS dsbench::engine_model)

# What scripts/bench_engine runs. With oneDNN, where it is installed, beside our products; dsbench itself does not link it.
add_executable(engine_speed EXCLUDE_FROM_ALL unit/engine_speed.cc unit/engine_speed_machine.cc)
target_link_libraries(engine_speed PRIVATE dsbench::engine_model dsbench_warnings)
target_include_directories(engine_speed PRIVATE "${PROJECT_SOURCE_DIR}")
find_path(DNNL_INCLUDE_DIR oneapi/dnnl/dnnl.hpp)
find_library(DNNL_LIBRARY dnnl)  # Debian's own CMake package asks for OpenCL, which we do not need
if(DNNL_INCLUDE_DIR AND DNNL_LIBRARY)
  target_sources(engine_speed PRIVATE unit/engine_speed_dnnl.cc)
  target_compile_definitions(engine_speed PRIVATE DSBENCH_HAVE_DNNL)
  target_include_directories(engine_speed SYSTEM PRIVATE "${DNNL_INCLUDE_DIR}")
  target_link_libraries(engine_speed PRIVATE "${DNNL_LIBRARY}")
endif()
