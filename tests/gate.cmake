dsbench_test(gate_test
  SOURCES unit/gate_statistics_test.cc unit/gate_evidence_test.cc unit/gate_outputs_test.cc unit/gate_history_test.cc property/gate_test.cc
    fakes/xml_check.cc
  LIBS dsbench::gate nlohmann_json::nlohmann_json fmt::fmt)

# In virtual time and on files, so beside others; the servers are real, and measured alone.
add_test(NAME e2e_gate COMMAND "${Python3_EXECUTABLE}" -B "${CMAKE_CURRENT_SOURCE_DIR}/e2e/gate_test.py" -v)
set_tests_properties(e2e_gate PROPERTIES LABELS "host;e2e" TIMEOUT 240 ENVIRONMENT "DSBENCH=$<TARGET_FILE:dsbench>")
dsbench_e2e(gate_servers)
