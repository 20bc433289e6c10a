dsbench_test(report_test
  SOURCES unit/report_axis_test.cc unit/report_chart_test.cc unit/report_page_test.cc unit/report_latency_picture_test.cc fakes/sample_runs.cc fakes/xml_check.cc
  LIBS dsbench::report fmt::fmt)

add_executable(report_browser_pages e2e/report_browser_pages.cc fakes/sample_runs.cc)
target_link_libraries(report_browser_pages PRIVATE dsbench::gate dsbench::report fmt::fmt dsbench_warnings)
target_include_directories(report_browser_pages PRIVATE "${PROJECT_SOURCE_DIR}")
find_package(Python3 COMPONENTS Interpreter REQUIRED)
add_test(NAME report_browser COMMAND "${Python3_EXECUTABLE}" -B "${CMAKE_CURRENT_SOURCE_DIR}/e2e/report_browser_test.py" "$<TARGET_FILE:report_browser_pages>")
set_tests_properties(report_browser PROPERTIES LABELS browser TIMEOUT 600 SKIP_RETURN_CODE 77)

dsbench_test(breakdown_test SOURCES unit/results_breakdown_test.cc LIBS dsbench::report dsbench::results)
