dsbench_test(codec_test
  SOURCES unit/codec_scan_test.cc unit/codec_streams_test.cc unit/codec_request_test.cc unit/codec_http_test.cc unit/codec_text_test.cc fakes/codec_streams.cc
  LIBS dsbench::codec nlohmann_json::nlohmann_json)

# The fuzz target of every reader, replaying its corpus; a crash that was found becomes a file there.
add_executable(codec_fuzz fuzz/codec_fuzz.cc)
target_link_libraries(codec_fuzz PRIVATE dsbench::codec dsbench_warnings)
target_include_directories(codec_fuzz PRIVATE "${PROJECT_SOURCE_DIR}")
add_test(NAME codec_fuzz COMMAND codec_fuzz "${CMAKE_CURRENT_SOURCE_DIR}/fuzz/codec_corpus"
  "${CMAKE_CURRENT_SOURCE_DIR}/fuzz/wire_sse_corpus")
set_tests_properties(codec_fuzz PROPERTIES LABELS host TIMEOUT 60)

# A measurement, not a test: nanoseconds for each event of each API.
add_executable(codec_speed EXCLUDE_FROM_ALL unit/codec_speed.cc fakes/codec_streams.cc)
target_link_libraries(codec_speed PRIVATE dsbench::codec dsbench_warnings)
target_include_directories(codec_speed PRIVATE "${PROJECT_SOURCE_DIR}")

find_package(Python3 COMPONENTS Interpreter REQUIRED)
# Beside others: what was asked and recorded is no less true of a generator that was late.
add_test(NAME e2e_protocols
  COMMAND "${Python3_EXECUTABLE}" -B "${CMAKE_CURRENT_SOURCE_DIR}/e2e/protocols_test.py" -v)
set_tests_properties(e2e_protocols PROPERTIES LABELS "host;e2e" TIMEOUT 240
  ENVIRONMENT "DSBENCH=$<TARGET_FILE:dsbench>")
