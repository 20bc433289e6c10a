dsbench_test(gate_test
  SOURCES unit/gate_statistics_test.cc unit/gate_evidence_test.cc unit/gate_outputs_test.cc unit/gate_history_test.cc unit/gate_page_test.cc unit/gate_selftest_plan_test.cc property/gate_test.cc
    fakes/xml_check.cc
  LIBS dsbench::gate nlohmann_json::nlohmann_json fmt::fmt)

# In virtual time and on files, so beside others; the servers are real, and measured alone.
add_test(NAME e2e_gate COMMAND "${Python3_EXECUTABLE}" -B "${CMAKE_CURRENT_SOURCE_DIR}/e2e/gate_test.py" -v)
set_tests_properties(e2e_gate PROPERTIES LABELS "host;e2e" TIMEOUT 480 ENVIRONMENT "DSBENCH=$<TARGET_FILE:dsbench>")
dsbench_e2e(gate_servers)

# scripts/bench_gate prints what this finds; a small run of it is a test that it holds.
add_executable(gate_power unit/gate_power.cc)
target_link_libraries(gate_power PRIVATE dsbench::gate fmt::fmt dsbench_warnings)
target_include_directories(gate_power PRIVATE "${PROJECT_SOURCE_DIR}")
add_test(NAME gate_power COMMAND "${PROJECT_SOURCE_DIR}/scripts/bench_gate" --gates 1000 --check "$<TARGET_FILE:gate_power>")
set_tests_properties(gate_power PROPERTIES LABELS host TIMEOUT 120)
add_test(NAME e2e_gate_ci COMMAND "${Python3_EXECUTABLE}" -B "${CMAKE_CURRENT_SOURCE_DIR}/e2e/gate_ci_test.py" -v)
set_tests_properties(e2e_gate_ci PROPERTIES LABELS "host;e2e" TIMEOUT 480 ENVIRONMENT "DSBENCH=$<TARGET_FILE:dsbench>")

dsbench_test(cli_command_words_test SOURCES unit/cli_command_words_test.cc "${PROJECT_SOURCE_DIR}/cli/command_words.cc" LIBS dsbench::core)
