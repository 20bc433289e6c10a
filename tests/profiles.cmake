dsbench_test(profiles_json_test SOURCES unit/profiles_json_test.cc LIBS dsbench::profiles)
dsbench_test(profiles_workload_test SOURCES unit/profiles_workload_test.cc LIBS dsbench::profiles)
