dsbench_test(profiles_json_test SOURCES unit/profiles_json_test.cc LIBS dsbench::profiles)
dsbench_test(profiles_workload_test SOURCES unit/profiles_workload_test.cc LIBS dsbench::profiles)
dsbench_test(profiles_tokenizer_test SOURCES unit/profiles_tokenizer_test.cc
  LIBS dsbench::profiles_tokenizer nlohmann_json::nlohmann_json)
dsbench_test(profiles_step_law_test SOURCES unit/profiles_step_law_test.cc LIBS dsbench::profiles)
