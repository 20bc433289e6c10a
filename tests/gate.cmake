dsbench_test(gate_test
  SOURCES unit/gate_statistics_test.cc property/gate_test.cc
  LIBS dsbench::gate)
