#include "billing/detail/record.h"

#include "tests/billing/billing_facts.h"

#include <doctest/doctest.h>

using namespace rekindle;           // NOLINT(google-build-using-namespace): a test.
using namespace rekindle::billing;  // NOLINT(google-build-using-namespace): a test.

namespace {

LedgerRecord example(bool final_record) {
    LedgerRecord record;
    record.sequence = 9;
    record.previous = sha256(as_bytes("before"));
    if (final_record) {
        record.body = final_of(1, Outcome::kDisconnected, 9, 4);
    } else {
        record.body = facts_of(1);
    }
    return record;
}

}  // namespace

TEST_CASE("a record reads back as it was written") {
    for (const bool final_record : {false, true}) {
        const LedgerRecord record = example(final_record);

        const auto back = decode_record(encode_record(record));

        REQUIRE(back.ok());
        CHECK(back->sequence == record.sequence);
        CHECK(back->previous == record.previous);
        CHECK(back->body == record.body);
    }
}

TEST_CASE("a record cut short anywhere is corrupt") {
    for (const bool final_record : {false, true}) {
        const auto bytes = encode_record(example(final_record));
        for (size_t size = 0; size < bytes.size(); ++size) {
            CAPTURE(size);
            const auto cut = decode_record(std::span(bytes).first(size));
            REQUIRE_FALSE(cut.ok());
            REQUIRE(cut.error().code == ErrorCode::kCorrupt);
        }
        auto longer = bytes;
        longer.push_back(std::byte{0});
        CHECK(decode_record(longer).error().code == ErrorCode::kCorrupt);
    }
}

TEST_CASE("whatever byte is changed, a record that still reads is written the same") {
    const auto bytes = encode_record(example(true));
    for (size_t at = 0; at < bytes.size(); ++at) {
        for (const int flip : {1, 0x80, 0xFF}) {
            auto changed = bytes;
            changed[at] ^= static_cast<std::byte>(flip);
            const auto record = decode_record(changed);
            if (record) {
                REQUIRE(encode_record(*record) == changed);
            }
        }
    }
}

TEST_CASE("a record of a newer version is unsupported, one of no known kind corrupt") {
    auto bytes = encode_record(example(true));
    bytes[1] = std::byte{3};
    CHECK(decode_record(bytes).error().code == ErrorCode::kCorrupt);
    bytes[0] = std::byte{2};
    CHECK(decode_record(bytes).error().code == ErrorCode::kUnsupported);
}

TEST_CASE("amounts beyond 64 bits and below zero keep all their bits") {
    LedgerRecord record = example(true);
    auto& usage = std::get<UsageFinal>(record.body);
    usage.facts.prompt_tokens = UINT32_MAX;
    usage.facts.price_input = INT64_MAX;
    usage = settle(usage.facts, Outcome::kCompleted, 5, 5, true);

    const auto back = decode_record(encode_record(record));

    REQUIRE(back.ok());
    CHECK(std::get<UsageFinal>(back->body).cost == usage.cost);
}
