# Language, build types and warnings. One compiler is supported for coroutines: clang >= 19
# (g++ 12 miscompiles co_await; base/async/compiler.h refuses it).

if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "Dev, Release, Asan, Tsan or Fuzz" FORCE)
endif()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
    set(CMAKE_CXX_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
endif()

set(frame_pointers "-fno-omit-frame-pointer")
set(hardening "-fstack-protector-strong -fstack-clash-protection -fcf-protection")
set(CMAKE_CXX_FLAGS_DEV "-Og -g1 ${frame_pointers} -D_GLIBCXX_ASSERTIONS")
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1 ${frame_pointers} ${hardening} -D_FORTIFY_SOURCE=2 -D_GLIBCXX_ASSERTIONS")
set(CMAKE_CXX_FLAGS_ASAN
    "-O1 -g1 ${frame_pointers} -fsanitize=address,undefined -fno-sanitize-recover=all -D_GLIBCXX_ASSERTIONS")
set(CMAKE_CXX_FLAGS_TSAN "-O1 -g1 ${frame_pointers} -fsanitize=thread")
set(CMAKE_CXX_FLAGS_FUZZ
    "-O1 -g1 ${frame_pointers} -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -D_GLIBCXX_ASSERTIONS")

add_link_options(-fuse-ld=lld-19 "LINKER:-z,relro,-z,now")
add_link_options("$<$<CONFIG:Asan>:-fsanitize=address,undefined>"
                 "$<$<CONFIG:Tsan>:-fsanitize=thread>"
                 "$<$<CONFIG:Fuzz>:-fsanitize=address,undefined>")

# Asio and Beast are compiled once, in base/async/asio_impl.cpp and base/async/beast_impl.cpp.
add_compile_definitions(BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION
                        BOOST_ASIO_NO_DEPRECATED BOOST_BEAST_USE_STD_STRING_VIEW)

add_library(rekindle_warnings INTERFACE)
target_compile_options(
    rekindle_warnings
    # Options structs leave members at their defaults on purpose.
    INTERFACE -Wall -Wextra -Wno-missing-designated-field-initializers -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast
              -Wnon-virtual-dtor -Woverloaded-virtual -Wnull-dereference -Wunused-result -Werror)
