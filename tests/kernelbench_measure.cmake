dsbench_test(kernelbench_measure_test SOURCES unit/kernelbench_measure_test.cc unit/kernelbench_compare_test.cc unit/kernelbench_step_law_test.cc
  LIBS dsbench::kernelbench)
