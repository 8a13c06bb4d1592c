// The one translation unit that holds Beast's non-template code (BOOST_BEAST_SEPARATE_COMPILATION).
#include "base/async/compiler.h"

#include <boost/beast/src.hpp>
