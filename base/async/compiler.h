// The compilers that may build coroutines. g++ 12.2 takes wrong branches on `if (co_await …)` and
// destroys temporaries of a co_await expression twice; tests/base/compiler_test.cpp pins both.
#pragma once

#if defined(__clang__)
#if __clang_major__ < 17
#error "Rekindle's coroutines need clang >= 17 (clang-19 is what scripts/install-deps installs)"
#endif
#elif defined(__GNUC__) && __GNUC__ < 13
#error "g++ before 13 miscompiles coroutines: configure with -DCMAKE_CXX_COMPILER=clang++-19"
#endif
