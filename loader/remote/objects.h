// A flat store of named objects: a directory, an S3-compatible bucket, or any web server to read
// from. Invariant: an object appears whole or not at all. Threading: one thread at a time; each
// thread of a transfer opens its own.
#pragma once
#include "base/result.h"
#include "loader/remote/remote_settings.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rekindle::remote {

// Where images are pushed to and pulled from: file:///FOLDER, s3://BUCKET[/PREFIX], or
// http(s)://HOST/PREFIX to pull from.
struct RemotePlace {
    std::string address;
    SourceContext context;
    Cancelled cancelled;
};

class Objects {
public:
    // kInvalidArgument for an address of another form.
    static Result<std::unique_ptr<Objects>> open(const RemotePlace& place);
    virtual ~Objects() = default;

    virtual Result<bool> exists(const std::string& key) = 0;
    // kNotFound, kTooLarge.
    virtual Result<std::vector<std::byte>> get(const std::string& key, uint64_t bytes_max) = 0;
    // Replaces what has that name.
    virtual Result<void> put(const std::string& key, std::span<const std::byte> bytes) = 0;
};

// Whether `address` names a folder of the daemon's machine.
bool is_folder_address(std::string_view address) noexcept;

}  // namespace rekindle::remote
