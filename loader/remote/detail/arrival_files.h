// What is on its way, remembered across restarts: a file for each image under one folder, with its
// index and where it comes from (docs/formats/remote.md). Threading: any thread, one for an image.
#pragma once
#include "base/result.h"

#include <string>
#include <string_view>
#include <vector>

namespace rekindle::remote {

struct ArrivalRecord {
    std::string digest;
    std::string remote;
    std::string index_json;
};

// Durable, whole or not at all.
Result<void> write_arrival(const std::string& folder, const ArrivalRecord& record);
void remove_arrival(const std::string& folder, const std::string& digest);
// Those that are whole; what else lies there is logged.
std::vector<ArrivalRecord> read_arrivals(const std::string& folder);

// The content of a file. kCorrupt.
std::string arrival_text(const ArrivalRecord& record);
Result<ArrivalRecord> parse_arrival(std::string_view text);

}  // namespace rekindle::remote
