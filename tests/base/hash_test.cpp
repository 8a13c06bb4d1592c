#include "base/hash.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test.

namespace {

std::string sha(std::string_view text) {
    return to_hex(sha256(as_bytes(text)));
}

}  // namespace

TEST_CASE("SHA-256 gives FIPS 180-4's examples") {
    CHECK(sha("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(sha("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(sha("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    CHECK(sha("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmno"
              "ijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu") ==
          "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
    CHECK(sha(std::string(1'000'000, 'a')) ==
          "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("a hash in parts is the hash of the whole") {
    const std::string text(1000, 'x');
    for (const size_t cut : {0U, 1U, 63U, 64U, 65U, 999U, 1000U}) {
        Sha256 hash;
        hash.update(as_bytes(std::string_view(text).substr(0, cut)));
        hash.update(as_bytes(std::string_view(text).substr(cut)));
        CHECK(hash.finish() == sha256(as_bytes(text)));
    }
}

TEST_CASE("HMAC-SHA-256 gives RFC 4231's examples") {
    const std::vector<std::byte> key(20, std::byte{0x0B});
    CHECK(to_hex(hmac_sha256(key, as_bytes("Hi There"))) ==
          "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    CHECK(to_hex(hmac_sha256(as_bytes("Jefe"), as_bytes("what do ya want for nothing?"))) ==
          "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    const std::vector<std::byte> long_key(131, std::byte{0xAA});
    CHECK(to_hex(hmac_sha256(long_key,
                             as_bytes("Test Using Larger Than Block-Size Key - Hash Key First"))) ==
          "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST_CASE("XXH3 gives its published values") {
    CHECK(xxh3({}) == 0x2D06800538D394C2ULL);
    CHECK(xxh3(as_bytes("a")) == 0xE6C632B61E964E1FULL);
    CHECK(xxh3(as_bytes("abc")) == 0x78AF5F94892F3950ULL);
}

TEST_CASE("a digest reads back from its text, in either case, and from nothing else") {
    const Sha256Digest digest = sha256(as_bytes("abc"));
    std::string hex = to_hex(digest);
    CHECK(*parse_sha256(hex) == digest);
    for (char& c : hex) {
        c = static_cast<char>(std::toupper(c));
    }
    CHECK(*parse_sha256(hex) == digest);
    CHECK(parse_sha256(hex.substr(1)).error().code == ErrorCode::kInvalidArgument);
    CHECK(parse_sha256(hex + "0").error().code == ErrorCode::kInvalidArgument);
    hex[13] = 'g';
    CHECK(parse_sha256(hex).error().code == ErrorCode::kInvalidArgument);
}

TEST_CASE("constant-time comparison compares") {
    CHECK(equal_constant_time(as_bytes("abc"), as_bytes("abc")));
    CHECK(equal_constant_time({}, {}));
    CHECK_FALSE(equal_constant_time(as_bytes("abc"), as_bytes("abd")));
    CHECK_FALSE(equal_constant_time(as_bytes("abc"), as_bytes("ab")));
}
