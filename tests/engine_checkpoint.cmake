dsbench_test(engine_checkpoint_parity_test SOURCES unit/engine_checkpoint_parity_test.cc
  LIBS dsbench::engine_checkpoint nlohmann_json::nlohmann_json)
dsbench_test(engine_checkpoint_test SOURCES unit/engine_checkpoint_test.cc
  LIBS dsbench::engine_checkpoint nlohmann_json::nlohmann_json)
