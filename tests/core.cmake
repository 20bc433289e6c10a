dsbench_test(core_test SOURCES unit/core_text_test.cc unit/core_utf8_test.cc unit/core_rng_test.cc unit/core_descriptors_test.cc unit/core_files_test.cc LIBS dsbench::core)
add_test(NAME include_directions COMMAND "${PROJECT_SOURCE_DIR}/scripts/check-includes")
set_tests_properties(include_directions PROPERTIES LABELS host)

# What the types are for: these must be refused by the compiler.
foreach(case RANGE 0 4)
  add_test(NAME must_not_compile_units_${case}
    COMMAND ${CMAKE_CXX_COMPILER} -std=c++20 -fsyntax-only -DCASE=${case} -I "${PROJECT_SOURCE_DIR}"
      "${CMAKE_CURRENT_SOURCE_DIR}/must_not_compile/units.cc")
  set_tests_properties(must_not_compile_units_${case} PROPERTIES LABELS host)
  if(case GREATER 0)
    set_tests_properties(must_not_compile_units_${case} PROPERTIES WILL_FAIL ON)
  endif()
endforeach()
