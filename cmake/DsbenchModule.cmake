# Warnings, sanitizers and the one function that declares a module.

add_library(dsbench_warnings INTERFACE)
target_compile_options(dsbench_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor -Woverloaded-virtual>
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<BOOL:${DSBENCH_WERROR}>>:-Werror>)

# GCC 12 reports false positives from the inlined standard library at -O2 with these three; they say nothing of our code.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(dsbench_warnings INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-Wno-maybe-uninitialized -Wno-restrict -Wno-array-bounds>)
endif()

if(DSBENCH_SANITIZE)
  add_compile_options(-fsanitize=${DSBENCH_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${DSBENCH_SANITIZE})
  if(DSBENCH_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
endif()

# dsbench_module(NAME SOURCES … HEADERS … PUBLIC … PRIVATE …): a static library dsbench::NAME whose headers compile alone
# (target all_verify_interface_header_sets).
function(dsbench_module name)
  cmake_parse_arguments(ARG "" "" "SOURCES;HEADERS;PUBLIC;PRIVATE" ${ARGN})
  if(ARG_SOURCES)
    add_library(dsbench_${name} STATIC ${ARG_SOURCES})
    set(scope PUBLIC)
  else()
    add_library(dsbench_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  add_library(dsbench::${name} ALIAS dsbench_${name})
  target_sources(dsbench_${name} ${scope} FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}" FILES ${ARG_HEADERS})
  target_compile_features(dsbench_${name} ${scope} cxx_std_20)
  target_link_libraries(dsbench_${name} ${scope} ${ARG_PUBLIC})
  if(ARG_SOURCES)
    target_link_libraries(dsbench_${name} PRIVATE dsbench_warnings ${ARG_PRIVATE})
  endif()
endfunction()

# dsbench_runs_once(TARGET): what its code does is done once in a run or a report. -O1 takes a third less time to compile, which
# with what this code is made of (JSON, formatting, flags) is most of what a build takes.
function(dsbench_runs_once target)
  if(CMAKE_BUILD_TYPE STREQUAL "Release")
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-O1 -Wno-stringop-overflow>)  # see dsbench_test
  endif()
endfunction()

# dsbench_test(NAME SOURCES … LIBS … [LABELS …] [TIMEOUT s]): a GoogleTest program, one ctest entry, label host by default.
#
# Tests are compiled with -O1, half the time of -O3 and fast enough for what they do; what they test keeps its own flags. GoogleTest's
# headers, which cost more than most tests, are compiled once.
function(dsbench_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LIBS;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} GTest::gmock GTest::gtest GTest::gtest_main dsbench_warnings)
  target_compile_definitions(${name} PRIVATE DSBENCH_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}")
  if(CMAKE_BUILD_TYPE STREQUAL "Release")
    target_compile_options(${name} PRIVATE -O1 -Wno-stringop-overflow)  # at -O1 GCC 12 sees overflows in std::string's own code
  elseif(DSBENCH_SANITIZE)
    target_compile_options(${name} PRIVATE -Wno-stringop-overflow)  # as it does beside a sanitizer
  endif()
  if(NOT TARGET dsbench_test_headers)
    file(CONFIGURE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/test_headers.cc" CONTENT "int main() {}\n")
    add_executable(dsbench_test_headers EXCLUDE_FROM_ALL "${CMAKE_CURRENT_BINARY_DIR}/test_headers.cc")
    target_link_libraries(dsbench_test_headers PRIVATE GTest::gmock GTest::gtest dsbench_warnings)
    target_compile_features(dsbench_test_headers PRIVATE cxx_std_20)
    if(CMAKE_BUILD_TYPE STREQUAL "Release")
      target_compile_options(dsbench_test_headers PRIVATE -O1)
    endif()
    target_precompile_headers(dsbench_test_headers PRIVATE <gmock/gmock.h> <gtest/gtest.h>)
  endif()
  target_precompile_headers(${name} REUSE_FROM dsbench_test_headers)
  add_test(NAME ${name} COMMAND ${name})
  if(NOT ARG_LABELS)
    set(ARG_LABELS host)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT})
endfunction()
