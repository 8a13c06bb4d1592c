// Reads members of one JSON object that must be there, within bounds. The first failure sticks in
// the shared Outcome and later reads give zeros, so that a parser checks once per object.
// Threading: one thread. Ownership: refers to object and outcome, which must outlive it.
#pragma once
#include "base/json.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rekindle::snapshot {

using Outcome = std::optional<Error>;

class FieldReader {
public:
    // `where` names the object in messages: "tensor 3".
    FieldReader(const json::object& object, std::string where, Outcome& outcome)
        : object_(object), where_(std::move(where)), outcome_(outcome) {}

    uint64_t integer(std::string_view key, uint64_t min, uint64_t max);
    // Finite and > 0.
    double positive(std::string_view key);
    bool boolean(std::string_view key);
    std::string string(std::string_view key, size_t bytes_max);
    // nullptr after failing.
    const json::object* object(std::string_view key);
    const json::array* array(std::string_view key, size_t count_max);

    void fail(std::string_view reason);

    const std::string& where() const noexcept { return where_; }

private:
    const json::value* find(std::string_view key);

    const json::object& object_;
    std::string where_;
    Outcome& outcome_;
};

}  // namespace rekindle::snapshot
