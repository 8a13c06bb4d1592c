#include "base/result.h"

#include <doctest/doctest.h>

#include <cerrno>
#include <memory>

using rekindle::Error;
using rekindle::ErrorCode;
using rekindle::Result;

TEST_CASE("a Result holds either its value or its error, and says which") {
    const Result<int> value = 7;
    const Result<int> error = Error{ErrorCode::kNotFound, "model x: not deployed"};

    REQUIRE(value.ok());
    CHECK(*value == 7);
    REQUIRE_FALSE(error.ok());
    CHECK(error.error().code == ErrorCode::kNotFound);
}

TEST_CASE("context goes in front of the message and keeps the code") {
    Result<void> failed = Error{ErrorCode::kCorrupt, "wrong magic"};
    const Result<void> with_context = std::move(failed).with_context("chunk 3");

    REQUIRE_FALSE(with_context.ok());
    CHECK(with_context.error().message == "chunk 3: wrong magic");
    CHECK(with_context.error().code == ErrorCode::kCorrupt);
}

TEST_CASE("a move-only value can be taken out") {
    Result<std::unique_ptr<int>> result = std::make_unique<int>(3);
    const std::unique_ptr<int> taken = std::move(result).value();
    CHECK(*taken == 3);
}

TEST_CASE("errno becomes the code that callers act on") {
    CHECK(rekindle::errno_error("write", ENOSPC).code == ErrorCode::kNoSpace);
    CHECK(rekindle::errno_error("open", ENOENT).code == ErrorCode::kNotFound);
    CHECK(rekindle::errno_error("open", EMFILE).code == ErrorCode::kResourceExhausted);
    CHECK(rekindle::errno_error("read", EIO).code == ErrorCode::kIo);
}
