#include "base/decimal.h"

#include "base/random.h"

#include <doctest/doctest.h>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test.

TEST_CASE("a price per million tokens is a whole number of pico-units per token") {
    CHECK(*parse_price_per_million("0.05") == 50'000);
    CHECK(*parse_price_per_million("0") == 0);
    CHECK(*parse_price_per_million("1") == 1'000'000);
    CHECK(*parse_price_per_million("0.000001") == 1);
    CHECK(*parse_price_per_million("007.5") == 7'500'000);
    CHECK(*parse_price_per_million("999999999.999999") == 999'999'999'999'999);
}

TEST_CASE("a price that is not a plain decimal, or finer or larger than the limit, is refused") {
    for (const char* text : {"", ".", "1.", ".5", "-1", "+1", "1e3", "0x1", " 1", "1 ", "1,5",
                             "nan", "1.2.3", "0.0000001", "1000000000", "١"}) {
        CAPTURE(text);
        const auto price = parse_price_per_million(text);
        REQUIRE_FALSE(price.ok());
        CHECK(price.error().code == ErrorCode::kInvalidArgument);
        CHECK(price.error().message.find(text) != std::string::npos);
    }
}

TEST_CASE("every price is written as it reads") {
    for (uint64_t i = 0; i < 2000; ++i) {
        const auto price =
            static_cast<PicoPerToken>(counter_random(4, 0, i) % 1'000'000'000'000'000);
        REQUIRE(*parse_price_per_million(format_price_per_million(price)) == price);
    }
    CHECK(format_price_per_million(50'000) == "0.05");
    CHECK(format_price_per_million(0) == "0");
    CHECK(format_price_per_million(1'000'000) == "1");
    CHECK(format_price_per_million(1) == "0.000001");
}

TEST_CASE("amounts are exact decimals without trailing zeros, also beyond 64 bits") {
    CHECK(format_amount(0) == "0");
    CHECK(format_amount(650'001) == "0.000000650001");
    CHECK(format_amount(1'000'000'000'000) == "1");
    CHECK(format_amount(1'500'000'000'000) == "1.5");
    CHECK(format_amount(-1) == "-0.000000000001");
    CHECK(format_amount(PicoAmount{4'294'967'295} * 999'999'999'999'999) ==
          "4294967294999.995705032705");
}
