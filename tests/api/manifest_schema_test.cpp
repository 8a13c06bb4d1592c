#include "daemon/api/manifest_schema.h"

#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <string>

using namespace rekindle::daemon::api;  // NOLINT(google-build-using-namespace): test file.

TEST_CASE("the published JSON Schema is the one that the table of fields makes") {
    std::ifstream file(REKINDLE_DOCS "/schema/deployment-manifest.json");
    const std::string published{std::istreambuf_iterator<char>(file), {}};
    // `manifest_check --schema` (tests/api) writes it anew.
    CHECK(published == manifest_schema_text());
}
