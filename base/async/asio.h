// Asio, as the whole project includes it: awaitables that complete with a tuple (error_code, …)
// instead of throwing. Only base/async and daemon/ may include this.
#pragma once
#include "base/async/compiler.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace rekindle {

namespace asio = boost::asio;

template <typename T = void>
using Task = asio::awaitable<T>;

// `auto out = co_await op(…, kAsTuple); auto& [ec, n] = out;`
inline constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);

}  // namespace rekindle
