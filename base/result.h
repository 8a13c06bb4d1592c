// Result<T>: a value, or an Error with a code and one sentence. For everything that outside input,
// disks, peers and limits can cause. It cannot be ignored ([[nodiscard]]) and never converts to T.
// Reading the value of a failed Result is a bug and aborts.
#pragma once
#include "base/check.h"

#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

namespace rekindle {

// What kind of failure it is; daemon/openai_api.cpp maps each to an HTTP status and error type.
enum class ErrorCode {
    kInvalidArgument,    // The caller's input is wrong: fix the request.
    kUnauthorized,       // No key, or one that is unknown, expired or revoked.
    kForbidden,          // A known key that may not do this.
    kNotFound,           // The named thing does not exist here.
    kAlreadyExists,      // The name is taken.
    kConflict,           // The state does not allow it now (busy, second daemon, version).
    kTooLarge,           // Beyond a stated limit.
    kUnsupported,        // Well-formed, but nothing here can do it.
    kTruncated,          // Input ended early.
    kCorrupt,            // Bytes contradict their checksum or format.
    kRateLimited,        // Too many requests or tokens for this key.
    kBudgetExhausted,    // A hard budget is spent.
    kOverloaded,         // Queues are full: try again later.
    kUnavailable,        // A part that is needed is not there now (worker died, restore failed).
    kDeadline,           // Time is up.
    kCancelled,          // The one who asked is gone.
    kResourceExhausted,  // Memory or descriptors.
    kNoSpace,            // The disk is full.
    kIo,                 // The system call failed for another reason.
    kInternal,           // A bug that was caught.
};

// Stable lower-case name, for instance "not_found"; used in logs, JSON and exit messages.
std::string_view error_code_name(ErrorCode code) noexcept;

struct [[nodiscard]] Error {
    ErrorCode code = ErrorCode::kInternal;
    std::string message;  // One sentence: what is wrong, with names and numbers, and what to do.

    // The same error with "context: " before the message.
    Error with_context(std::string_view context) const {
        return Error{code, std::string(context) + ": " + message};
    }
};

// Error for a failed system call: "open /x: No such file or directory"; ENOSPC and EDQUOT become
// kNoSpace, ENOENT kNotFound, EMFILE, ENFILE and ENOMEM kResourceExhausted, all others kIo.
Error errno_error(std::string_view what, int error_number);

template <typename T>
class [[nodiscard]] Result {
    static_assert(!std::is_reference_v<T> && !std::is_same_v<std::remove_cv_t<T>, Error>);

public:
    using Value = T;

    // NOLINTNEXTLINE(google-explicit-constructor): `return value;` is the point.
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    // NOLINTNEXTLINE(google-explicit-constructor): `return Error{…};` is the point.
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

    bool ok() const noexcept { return state_.index() == 0; }
    explicit operator bool() const noexcept { return ok(); }

    T& value() & {
        REKINDLE_CHECK(ok(), "value() of a failed Result");
        return *std::get_if<0>(&state_);
    }
    const T& value() const& {
        REKINDLE_CHECK(ok(), "value() of a failed Result");
        return *std::get_if<0>(&state_);
    }
    T&& value() && {
        REKINDLE_CHECK(ok(), "value() of a failed Result");
        return std::move(*std::get_if<0>(&state_));
    }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T&& operator*() && { return std::move(*this).value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }

    const Error& error() const& {
        REKINDLE_CHECK(!ok(), "error() of a Result that holds a value");
        return *std::get_if<1>(&state_);
    }
    Error&& error() && {
        REKINDLE_CHECK(!ok(), "error() of a Result that holds a value");
        return std::move(*std::get_if<1>(&state_));
    }

    Result with_context(std::string_view context) && {
        if (ok()) {
            return std::move(*this);
        }
        return error().with_context(context);
    }

private:
    std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
public:
    Result() = default;
    // NOLINTNEXTLINE(google-explicit-constructor): `return Error{…};` is the point.
    Result(Error error) : error_(std::move(error)) {}

    bool ok() const noexcept { return !error_.has_value(); }
    explicit operator bool() const noexcept { return ok(); }
    void value() const { REKINDLE_CHECK(ok(), "value() of a failed Result"); }

    const Error& error() const& {
        REKINDLE_CHECK(!ok(), "error() of a Result that holds a value");
        return *error_;
    }
    Error&& error() && {
        REKINDLE_CHECK(!ok(), "error() of a Result that holds a value");
        return std::move(*error_);
    }

    Result with_context(std::string_view context) && {
        if (ok()) {
            return {};
        }
        return error_->with_context(context);
    }

private:
    std::optional<Error> error_;
};

}  // namespace rekindle
