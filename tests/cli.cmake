# The binary as a user meets it. Python's standard library drives it; nothing of the product needs Python.
find_package(Python3 COMPONENTS Interpreter REQUIRED)

function(dsbench_e2e name)
  cmake_parse_arguments(ARG "PARALLEL" "TIMEOUT" "LABELS" ${ARGN})
  add_test(NAME e2e_${name} COMMAND "${Python3_EXECUTABLE}" -B "${CMAKE_CURRENT_SOURCE_DIR}/e2e/${name}_test.py" -v)
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 240)
  endif()
  # Those that measure run alone; PARALLEL ones run in virtual time, or look at what is said and not at when.
  set(alone ON)
  if(ARG_PARALLEL)
    set(alone OFF)
  endif()
  set_tests_properties(e2e_${name} PROPERTIES LABELS "host;e2e" TIMEOUT ${ARG_TIMEOUT} RUN_SERIAL ${alone}
    ENVIRONMENT "DSBENCH=$<TARGET_FILE:dsbench>")
endfunction()

dsbench_e2e(serve)
dsbench_e2e(models PARALLEL)
dsbench_e2e(speculation PARALLEL)
dsbench_e2e(manners)
dsbench_e2e(faults TIMEOUT 400)
dsbench_e2e(events PARALLEL)
dsbench_e2e(doctor PARALLEL)
dsbench_e2e(load)
dsbench_e2e(cut_off)
dsbench_e2e(failover)
dsbench_e2e(traffic PARALLEL)
dsbench_e2e(overload)
dsbench_e2e(ablation PARALLEL)
dsbench_e2e(secrets)
dsbench_e2e(prompts)
dsbench_e2e(proxy)
dsbench_e2e(tls)
dsbench_e2e(workload)
dsbench_e2e(rehearse TIMEOUT 400)

add_test(NAME cli_help COMMAND "${PROJECT_SOURCE_DIR}/scripts/update-help" --check)
set_tests_properties(cli_help PROPERTIES LABELS host ENVIRONMENT "DSBENCH=$<TARGET_FILE:dsbench>")

dsbench_test(cli_ceiling_test SOURCES unit/cli_ceiling_test.cc "${PROJECT_SOURCE_DIR}/cli/ceiling.cc"
  LIBS dsbench::core nlohmann_json::nlohmann_json)
dsbench_test(cli_metrics_observer_test
  SOURCES unit/cli_metrics_observer_test.cc "${PROJECT_SOURCE_DIR}/cli/metrics_observer.cc" LIBS dsbench::wire)
