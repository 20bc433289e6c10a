dsbench_test(engine_scheduler_test SOURCES unit/engine_scheduler_test.cc property/engine_scheduler_test.cc LIBS dsbench::engine)
dsbench_test(engine_cost_test SOURCES unit/engine_cost_test.cc LIBS dsbench::engine)
dsbench_test(engine_loop_test SOURCES unit/engine_loop_test.cc LIBS dsbench::engine)
dsbench_test(engine_fleet_test SOURCES unit/engine_fleet_test.cc LIBS dsbench::engine)
