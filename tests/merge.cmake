# Several processes as one load: who is who, when they begin, and their runs as one.
dsbench_test(merge_test SOURCES unit/results_merge_test.cc LIBS dsbench::results)
dsbench_test(rendezvous_test SOURCES unit/wire_rendezvous_test.cc LIBS dsbench::wire)
dsbench_test(worker_identity_test SOURCES unit/cli_worker_identity_test.cc "${PROJECT_SOURCE_DIR}/cli/worker_identity.cc"
  LIBS dsbench::core)
dsbench_test(worker_start_test SOURCES unit/cli_worker_start_test.cc "${PROJECT_SOURCE_DIR}/cli/worker_start.cc"
    "${PROJECT_SOURCE_DIR}/cli/progress.cc" "${PROJECT_SOURCE_DIR}/cli/terminal_width.cc"
  LIBS dsbench::wire CLI11::CLI11)
dsbench_e2e(workers)
dsbench_e2e(slurm)
set_tests_properties(e2e_slurm PROPERTIES TIMEOUT 330)
# Files and virtual time: it need not run alone.
dsbench_e2e(interop)
set_tests_properties(e2e_interop PROPERTIES RUN_SERIAL OFF)
dsbench_e2e(launcher)
