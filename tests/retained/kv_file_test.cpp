#include "snapshot/retained/kv_file.h"

#include "tests/retained/retained_fixture.h"

#include <doctest/doctest.h>

#include <cstring>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test.
using snapshot::KvFileHead;
using snapshot::parse_kv_file;
using snapshot::write_kv_file_head;

namespace {

KvFileHead head_of(std::vector<uint32_t> pages) {
    KvFileHead head{.key = test::key_of(1), .memory_bytes = test::kMemory, .pages = {}};
    for (const uint32_t page : pages) {
        head.pages.push_back({.page = page, .entry = {}, .xxh3 = page});
    }
    return head;
}

bool refused(const KvFileHead& head) {
    const auto parsed = parse_kv_file(write_kv_file_head(head), head.file_bytes());
    return !parsed && parsed.error().code == ErrorCode::kCorrupt;
}

}  // namespace

TEST_CASE("a head says again what was written") {
    const KvFileHead head = head_of({3, 1});
    const auto parsed = parse_kv_file(write_kv_file_head(head), head.file_bytes());
    REQUIRE(parsed.ok());
    CHECK(parsed->key == head.key);
    CHECK(parsed->memory_bytes == test::kMemory);
    CHECK(parsed->pages.at(0).page == 3);
    CHECK(parsed->pages.at(1).xxh3 == 1);
    CHECK(parsed->place(1) - parsed->place(0) == 8192);  // Whole system pages.
}

TEST_CASE("a head that cannot be is refused though its checksum matches") {
    CHECK_FALSE(refused(head_of({0, 7})));
    CHECK(refused(head_of({0, 8})));     // Beyond the memory.
    CHECK(refused(head_of({2, 5, 2})));  // Twice.
    KvFileHead head = head_of({0});
    head.key.page_bytes = 0;
    CHECK(refused(head));
    head.key.page_bytes = test::kMemory + 1;
    CHECK(refused(head));
    head = head_of({0});
    head.key.pages = test::kPages + 1;  // More than the memory holds.
    CHECK(refused(head));
    head = head_of({0});
    head.memory_bytes = UINT64_MAX;
    CHECK(refused(head));
}

TEST_CASE("a head of another length than the file is refused") {
    const KvFileHead head = head_of({0, 1});
    const auto bytes = write_kv_file_head(head);
    CHECK(parse_kv_file(bytes, head.file_bytes()).ok());
    CHECK_FALSE(parse_kv_file(bytes, head.file_bytes() + 1).ok());
    CHECK_FALSE(parse_kv_file(bytes, head.file_bytes() - 1).ok());
    CHECK_FALSE(parse_kv_file(std::span(bytes).first(bytes.size() - 1), head.file_bytes()).ok());
    CHECK_FALSE(parse_kv_file({}, 0).ok());
}
