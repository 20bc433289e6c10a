dsbench_test(results_test
  SOURCES unit/results_hdr_test.cc unit/results_statistics_test.cc unit/results_verdicts_test.cc unit/results_outage_test.cc unit/results_threshold_test.cc unit/results_recorder_test.cc
    unit/results_run_directory_test.cc property/results_histogram_test.cc property/results_run_file_test.cc
    fakes/sample_run.cc
  LIBS dsbench::results SQLite::SQLite3)
