dsbench_test(loadgen_machine_test SOURCES unit/loadgen_machine_test.cc unit/loadgen_retry_test.cc LIBS dsbench::loadgen)
dsbench_test(loadgen_profiles_test SOURCES unit/loadgen_traffic_profile_test.cc LIBS dsbench::loadgen)
dsbench_test(loadgen_schedule_test SOURCES property/loadgen_schedule_test.cc LIBS dsbench::loadgen)
dsbench_test(loadgen_virtual_test SOURCES unit/loadgen_virtual_runner_test.cc LIBS dsbench::loadgen)
