dsbench_test(core_test SOURCES unit/core_text_test.cc unit/core_rng_test.cc unit/core_files_test.cc LIBS dsbench::core)
add_test(NAME include_directions COMMAND "${PROJECT_SOURCE_DIR}/scripts/check-includes")
set_tests_properties(include_directions PROPERTIES LABELS host)
