// Money as integers. One currency unit is 10^12 pico-units; a price per million tokens with up to
// six decimals is therefore a whole number of pico-units per token, and cost = tokens x price never
// rounds. Totals are 128-bit, so that no sum of 64-bit records can overflow.
#pragma once
#include "base/result.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace rekindle {

__extension__ using Int128 = __int128;

using PicoPerToken = int64_t;  // Pico-units for one token; "0.05" per million tokens is 50,000.
using PicoAmount = Int128;     // Pico-units.

// "0.05" (currency units per million tokens) to pico-units per token. At most 6 decimals and 9
// digits before the point; a sign, exponent or stray character is kInvalidArgument.
Result<PicoPerToken> parse_price_per_million(std::string_view text);
// The exact inverse, without trailing zeros: "0.05".
std::string format_price_per_million(PicoPerToken price);
// Exact decimal in currency units, without trailing zeros: "0.000000650001"; "0" for nothing.
std::string format_amount(PicoAmount amount);

}  // namespace rekindle
