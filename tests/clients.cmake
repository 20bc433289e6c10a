dsbench_test(loadgen_clients_test
  SOURCES unit/loadgen_clients_test.cc property/loadgen_router_test.cc unit/loadgen_hedging_test.cc unit/loadgen_failover_test.cc LIBS dsbench::loadgen)
dsbench_test(results_failover_test SOURCES unit/results_failover_test.cc LIBS dsbench::results)
