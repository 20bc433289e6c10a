dsbench_test(traces_test
  SOURCES unit/traces_readers_test.cc unit/traces_gzip_test.cc unit/traces_demand_test.cc unit/traces_servegen_test.cc unit/traces_statistics_test.cc property/traces_transform_test.cc
  LIBS dsbench::traces ZLIB::ZLIB)
dsbench_test(traces_fit_test SOURCES property/traces_fit_test.cc property/traces_sessions_test.cc LIBS dsbench::traces)
