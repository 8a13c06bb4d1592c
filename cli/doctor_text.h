// What the doctor found, for people: a line for each check, then the machine's limits. Pure.
#pragma once
#include "base/json.h"

#include <string>

namespace rekindle::cli {

// `report` as docs/cli.md describes it; members that are missing are left out.
std::string doctor_text(const json::object& report);

}  // namespace rekindle::cli
