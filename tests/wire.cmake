dsbench_test(wire_test
  SOURCES unit/wire_sse_test.cc unit/wire_codec_test.cc unit/wire_text_test.cc unit/wire_transport_test.cc unit/wire_batches_test.cc unit/wire_curl_alarms_test.cc unit/wire_preflight_test.cc unit/wire_receive_stamps_test.cc unit/wire_curl_memory_test.cc
    unit/wire_output_counter_test.cc unit/wire_runner_test.cc unit/wire_response_parser_test.cc unit/wire_request_table_test.cc unit/wire_nginx_test.cc fakes/scripted_http_server.cc
  LIBS dsbench::wire nlohmann_json::nlohmann_json)

# The fuzz target, replaying its corpus; a crash that was found becomes a file there.
add_executable(wire_stream_fuzz fuzz/wire_stream_fuzz.cc)
target_link_libraries(wire_stream_fuzz PRIVATE dsbench::wire dsbench_warnings)
add_test(NAME wire_stream_fuzz COMMAND wire_stream_fuzz "${CMAKE_CURRENT_SOURCE_DIR}/fuzz/wire_sse_corpus")
set_tests_properties(wire_stream_fuzz PROPERTIES LABELS host TIMEOUT 60)

# A measurement, not a test.
add_executable(wire_capacity EXCLUDE_FROM_ALL unit/wire_capacity.cc
  ${PROJECT_SOURCE_DIR}/engine/server/null_server.cc ${PROJECT_SOURCE_DIR}/engine/server/null_answer.cc
  ${PROJECT_SOURCE_DIR}/engine/server/http_head.cc)
target_link_libraries(wire_capacity PRIVATE dsbench::wire dsbench_warnings)

dsbench_test(host_checks_test SOURCES unit/host_checks_test.cc LIBS dsbench::wire)

# Both wires on the same random bytes; more scripts with an argument.
add_executable(wire_differential_test fuzz/wire_differential_test.cc)
target_link_libraries(wire_differential_test PRIVATE dsbench::wire dsbench_warnings)
add_test(NAME wire_differential_test COMMAND wire_differential_test)
set_tests_properties(wire_differential_test PROPERTIES LABELS host TIMEOUT 120)
