# Device code, when there is an nvcc: on the PATH, named by CMAKE_CUDA_COMPILER or CUDACXX, or where the toolkit installs itself. Without
# one everything else builds, and dsbench says that it has no CUDA kernels.
option(DSBENCH_CUDA "Build the CUDA kernels when nvcc is found" ON)
set(DSBENCH_HAVE_CUDA OFF)

if(DSBENCH_CUDA)
  include(CheckLanguage)
  if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    find_program(DSBENCH_NVCC nvcc HINTS /usr/local/cuda/bin)
    if(DSBENCH_NVCC)
      set(CMAKE_CUDA_COMPILER "${DSBENCH_NVCC}")
    endif()
  endif()
  # wgmma and TMA exist only for the "a" of sm_90a.
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 90a CACHE STRING "GPU architectures to compile for")
  endif()
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.9)
      message(STATUS "dsbench: nvcc ${CMAKE_CUDA_COMPILER_VERSION} is older than 12.9; building without CUDA kernels")
    else()
      find_package(CUDAToolkit REQUIRED)
      set(DSBENCH_HAVE_CUDA ON)
    endif()
  else()
    message(STATUS "dsbench: no nvcc; building without CUDA kernels")
  endif()
endif()

if(CMAKE_CXX_COMPILER_LAUNCHER AND NOT DEFINED CMAKE_CUDA_COMPILER_LAUNCHER)
  set(CMAKE_CUDA_COMPILER_LAUNCHER "${CMAKE_CXX_COMPILER_LAUNCHER}")
endif()
# CMake 3.25 does not know how to say C++20 to this nvcc.
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
endif()
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)

# dsbench_cuda_library(NAME SOURCES … PUBLIC …): a static library dsbench::NAME of device code. What ptxas says of each kernel (registers,
# spills) is kept in *.ptxas.txt beside the object file, where scripts/check-ptxas reads it.
function(dsbench_cuda_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC" ${ARGN})
  list(GET CMAKE_CUDA_ARCHITECTURES 0 arch)
  string(REGEX MATCH "^[0-9]+" arch "${arch}")
  add_library(dsbench_${name} STATIC ${ARG_SOURCES})
  add_library(dsbench::${name} ALIAS dsbench_${name})
  target_include_directories(dsbench_${name} PRIVATE "${PROJECT_SOURCE_DIR}")
  target_compile_definitions(dsbench_${name} PRIVATE DSBENCH_CUDA_ARCH=${arch})
  target_compile_options(dsbench_${name} PRIVATE
    "$<$<COMPILE_LANGUAGE:CUDA>:SHELL:-O3 -Xptxas -v -Xcompiler=-Wall,-Wextra --expt-relaxed-constexpr>"
    "$<$<AND:$<COMPILE_LANGUAGE:CUDA>,$<BOOL:${DSBENCH_WERROR}>>:SHELL:-Werror all-warnings>")
  set_target_properties(dsbench_${name} PROPERTIES
    CUDA_SEPARABLE_COMPILATION OFF
    CUDA_RUNTIME_LIBRARY Static
    RULE_LAUNCH_COMPILE "\"${PROJECT_SOURCE_DIR}/scripts/with-ptxas-log\" <OBJECT>")
  target_link_libraries(dsbench_${name} PUBLIC ${ARG_PUBLIC} CUDA::cudart_static)
endfunction()
