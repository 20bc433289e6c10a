dsbench_test(gate_test
  SOURCES unit/gate_statistics_test.cc unit/gate_evidence_test.cc unit/gate_outputs_test.cc unit/gate_history_test.cc property/gate_test.cc
    fakes/xml_check.cc
  LIBS dsbench::gate nlohmann_json::nlohmann_json fmt::fmt)
