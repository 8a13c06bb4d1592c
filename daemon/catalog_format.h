// What stands in the catalog's files (docs/formats/catalog.md): version 2 is written, versions 1
// and 2 are read. Pure.
#pragma once
#include "base/result.h"
#include "daemon/catalog.h"

#include <map>
#include <string>
#include <string_view>

namespace rekindle::daemon {

std::string entry_text(const DeploymentEntry& entry);
// kUnsupported for a version that this program does not know, kCorrupt names what is wrong.
Result<DeploymentEntry> parse_entry(std::string_view text);

using AliasMap = std::map<std::string, std::string, std::less<>>;
std::string aliases_text(const AliasMap& aliases);
Result<AliasMap> parse_aliases(std::string_view text);

}  // namespace rekindle::daemon
