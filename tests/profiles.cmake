dsbench_test(profiles_json_test SOURCES unit/profiles_json_test.cc LIBS dsbench::profiles)
