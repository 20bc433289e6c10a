dsbench_test(loadgen_machine_test SOURCES unit/loadgen_machine_test.cc unit/loadgen_retry_test.cc LIBS dsbench::loadgen)
