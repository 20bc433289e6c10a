dsbench_test(kernelbench_ops_test SOURCES unit/kernelbench_ops_test.cc LIBS dsbench::kernel_problems)
dsbench_test(kernelbench_cpu_kernels_test SOURCES unit/kernelbench_cpu_kernels_test.cc LIBS dsbench::kernel_problems dsbench::kernels_cpu)
dsbench_test(kernelbench_work_test SOURCES unit/kernelbench_work_test.cc LIBS dsbench::kernel_problems)
dsbench_test(kernelbench_planted_bugs_test
  SOURCES unit/kernelbench_planted_attention_test.cc unit/kernelbench_planted_choices_test.cc unit/kernelbench_planted_products_test.cc
    unit/kernelbench_planted_rows_test.cc unit/kernelbench_planted_v4_test.cc unit/kernelbench_right_results_test.cc
  LIBS dsbench::kernel_problems dsbench::kernels_cpu)
dsbench_test(engine_kernels_half_test SOURCES unit/engine_kernels_half_test.cc LIBS dsbench::engine_kernels)
dsbench_test(engine_kernels_rows_test SOURCES unit/engine_kernels_rows_test.cc LIBS dsbench::engine_kernels)
dsbench_test(engine_kernels_blocked_test SOURCES unit/engine_kernels_blocked_test.cc LIBS dsbench::engine_kernels)
