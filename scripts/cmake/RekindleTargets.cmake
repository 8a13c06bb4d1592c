# rekindle_library(<box> SOURCES … [DEPS …] [PRIVATE_DEPS …]): one static library per box of the
# layer diagram, with the alias rekindle::<box>. scripts/check_layers.py checks the same edges.
function(rekindle_library box)
    cmake_parse_arguments(arg "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
    add_library(rekindle_${box} STATIC ${arg_SOURCES})
    add_library(rekindle::${box} ALIAS rekindle_${box})
    target_include_directories(rekindle_${box} PUBLIC "${CMAKE_SOURCE_DIR}")
    target_link_libraries(
        rekindle_${box}
        PUBLIC ${arg_DEPS}
        PRIVATE rekindle_warnings ${arg_PRIVATE_DEPS})
endfunction()

# rekindle_executable(<name> SOURCES … DEPS …)
function(rekindle_executable name)
    cmake_parse_arguments(arg "" "" "SOURCES;DEPS" ${ARGN})
    add_executable(${name} ${arg_SOURCES})
    target_include_directories(${name} PRIVATE "${CMAKE_SOURCE_DIR}")
    target_link_libraries(${name} PRIVATE rekindle_warnings ${arg_DEPS})
endfunction()

# rekindle_test(<library> SOURCES … [DEPS …]): the doctest binary <library>_test, one CTest entry.
function(rekindle_test name)
    cmake_parse_arguments(arg "" "" "SOURCES;DEPS" ${ARGN})
    add_executable(${name}_test ${arg_SOURCES} "${CMAKE_SOURCE_DIR}/tests/doctest_main.cpp")
    target_link_libraries(${name}_test PRIVATE rekindle_warnings doctest::doctest ${arg_DEPS})
    target_include_directories(${name}_test PRIVATE "${CMAKE_SOURCE_DIR}")
    target_compile_definitions(
        ${name}_test PRIVATE REKINDLE_TEST_DATA="${CMAKE_SOURCE_DIR}/tests"
                             DOCTEST_CONFIG_SUPER_FAST_ASSERTS)
    add_test(NAME ${name} COMMAND ${name}_test)
    # Sanitizers slow a test by up to 20 times, and the simulation takes a quarter minute without them.
    set(seconds 300)
    if(CMAKE_BUILD_TYPE MATCHES "Asan|Tsan")
        set(seconds 1800)
    endif()
    set_tests_properties(${name} PROPERTIES TIMEOUT ${seconds})
endfunction()

# rekindle_fuzzer(<name> SOURCES … DEPS …): under the fuzz preset a libFuzzer binary; everywhere
# else a program that replays the committed corpus tests/fuzz/corpus/<name>, as a CTest entry.
function(rekindle_fuzzer name)
    cmake_parse_arguments(arg "" "" "SOURCES;DEPS" ${ARGN})
    set(driver "")
    if(NOT CMAKE_BUILD_TYPE STREQUAL "Fuzz")
        set(driver "${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.cpp")
    endif()
    add_executable(${name}_fuzz ${arg_SOURCES} ${driver})
    target_link_libraries(${name}_fuzz PRIVATE rekindle_warnings ${arg_DEPS})
    target_include_directories(${name}_fuzz PRIVATE "${CMAKE_SOURCE_DIR}")
    if(CMAKE_BUILD_TYPE STREQUAL "Fuzz")
        target_link_options(${name}_fuzz PRIVATE -fsanitize=fuzzer)
        add_test(NAME ${name}_fuzz COMMAND ${name}_fuzz -max_total_time=1
                                           "${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name}")
    else()
        add_test(NAME ${name}_fuzz COMMAND ${name}_fuzz
                                           "${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name}")
    endif()
    set_tests_properties(${name}_fuzz PROPERTIES TIMEOUT 120)
endfunction()
