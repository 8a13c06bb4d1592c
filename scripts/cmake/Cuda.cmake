# The only build option: REKINDLE_CUDA = auto (when a toolkit >= 12 is found), on, off.
# CMake 3.25 does not know CUDA20, so -std=c++20 is passed by hand to CUDA sources.

set(REKINDLE_CUDA auto CACHE STRING "Build the CUDA backend: auto, on or off")
set_property(CACHE REKINDLE_CUDA PROPERTY STRINGS auto on off)
set(rekindle_cuda_found OFF)
if(NOT REKINDLE_CUDA MATCHES "^(auto|on|off)$")
    message(FATAL_ERROR "REKINDLE_CUDA is '${REKINDLE_CUDA}': choose auto, on or off")
endif()
if(NOT REKINDLE_CUDA STREQUAL "off")
    find_package(CUDAToolkit 12 QUIET)
    set(rekindle_cuda_found ${CUDAToolkit_FOUND})
    if(REKINDLE_CUDA STREQUAL "on" AND NOT CUDAToolkit_FOUND)
        message(FATAL_ERROR "REKINDLE_CUDA=on, but no CUDA Toolkit >= 12 was found: "
                            "install one or configure with REKINDLE_CUDA=auto")
    endif()
endif()
if(rekindle_cuda_found)
    message(STATUS "CUDA Toolkit ${CUDAToolkit_VERSION} found (no CUDA backend in this version yet)")
else()
    message(STATUS "CUDA backend: not built (REKINDLE_CUDA=${REKINDLE_CUDA})")
endif()
