// What every part of one rendering shares: the arena its values live in, its budgets, and the first
// error. After an error every operation gives an undefined value at once, so that a run unwinds
// without checks at each call; the output of a failed run is thrown away.
// Threading: one thread. Lifetime: one render.
#pragma once
#include "runtime/template/chat_template.h"
#include "runtime/template/value.h"

#include <memory_resource>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rekindle::runtime::jinja {

// Bytes of text that one step pays for: long texts are not free, copies of them are cheap.
inline constexpr uint64_t kBytesPerStep = 64;
// Values of a run together, as a multiple of the output's limit: a template may hold its messages
// a few times over.
inline constexpr uint64_t kArenaOutputs = 16;
// Levels of lists within lists that printing and comparing follow; requests have at most 64.
inline constexpr uint32_t kValueDepthMax = 200;

class RunState {
public:
    explicit RunState(const TemplateLimits& limits) : limits_(limits) {}

    bool failed() const noexcept { return error_.has_value(); }

    Error take_error() { return std::move(*error_); }

    const TemplateLimits& limits() const noexcept { return limits_; }

    // Keeps the first error only. Gives an undefined value for `return state.fail(…)`.
    Value fail(ErrorCode code, const std::string& what);

    Value bad_argument(const std::string& what) { return fail(ErrorCode::kInvalidArgument, what); }

    // An error in the template's own words, without a line.
    Value raise(std::string_view message);

    void set_line(uint32_t line) noexcept { line_ = line; }

    // False once the steps are spent or an error stands.
    bool step() { return charge(1); }

    bool charge(uint64_t steps);

    bool charge_bytes(uint64_t bytes) { return charge(bytes / kBytesPerStep); }

    uint64_t steps_left() const noexcept { return limits_.steps_max - steps_; }

    // Copies into the arena; each pays for its size. Undefined when that fails.
    Value text(std::string_view text);
    Value list(std::span<const Value> elements);
    Value tuple(std::span<const Value> elements);
    Value dict(std::span<const Entry> entries);

    template <typename T>
    T* make(T value) {
        return allocated(sizeof(T))
                   ? std::pmr::polymorphic_allocator<>(&arena_).new_object<T>(std::move(value))
                   : nullptr;
    }

    std::pmr::memory_resource* arena() noexcept { return &arena_; }

    // One level of recursion into a value while it lives; false when that is too deep.
    class [[nodiscard]] Descent {
    public:
        explicit Descent(RunState& state) : state_(state) {
            if (++state_.value_depth_ > kValueDepthMax) {
                state_.fail(ErrorCode::kTooLarge, "a value is nested deeper than " +
                                                      std::to_string(kValueDepthMax) + " levels");
            }
        }

        Descent(const Descent&) = delete;
        Descent& operator=(const Descent&) = delete;

        ~Descent() { --state_.value_depth_; }

        explicit operator bool() const noexcept { return !state_.failed(); }

    private:
        RunState& state_;
    };

private:
    bool allocated(uint64_t bytes);

    TemplateLimits limits_;
    std::pmr::monotonic_buffer_resource arena_;
    uint64_t arena_bytes_ = 0;
    uint64_t steps_ = 0;
    uint32_t line_ = 0;
    uint32_t value_depth_ = 0;
    std::optional<Error> error_;
};

}  // namespace rekindle::runtime::jinja
