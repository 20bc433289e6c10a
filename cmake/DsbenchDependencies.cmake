# Everything is found on the machine; nothing is fetched. scripts/setup installs it.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(CLI11 REQUIRED)
find_package(CURL 7.80 REQUIRED)
find_package(nlohmann_json 3.10 REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(ZLIB REQUIRED)
find_package(benchmark 1.6 REQUIRED)
find_package(Boost 1.81 REQUIRED)  # headers only: Beast, Asio, Math
find_package(prometheus-cpp CONFIG REQUIRED COMPONENTS core)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)  # the Unicode patterns of tokenizers
find_path(DSBENCH_EXPECTED_INCLUDE tl/expected.hpp REQUIRED)
find_file(DSBENCH_DYGRAPHS_JS dygraph.min.js PATHS /usr/share/javascript/dygraphs /usr/share/javascript/dygraphs/dist REQUIRED)
find_file(DSBENCH_DYGRAPHS_CSS dygraph.min.css PATHS /usr/share/javascript/dygraphs /usr/share/javascript/dygraphs/dist REQUIRED)
if(DSBENCH_TESTS)
  find_package(GTest REQUIRED)
endif()

# The git commit that goes into --version and into every run file; "unknown" outside a checkout.
execute_process(COMMAND git -C "${PROJECT_SOURCE_DIR}" rev-parse --short=12 HEAD
  OUTPUT_VARIABLE DSBENCH_COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT DSBENCH_COMMIT)
  set(DSBENCH_COMMIT "unknown")
endif()
