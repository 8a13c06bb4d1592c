// Parses each line of standard input as a manifest and answers with "ok REVISION" or "error TEXT".
// With --schema prints the JSON Schema instead.
#include "daemon/api/manifest.h"
#include "daemon/api/manifest_schema.h"

#include <iostream>
#include <string>
#include <string_view>

int main(int argc, char** argv) {
    namespace api = rekindle::daemon::api;
    if (argc == 2 && std::string_view(argv[1]) == "--schema") {
        std::cout << api::manifest_schema_text();
        return 0;
    }
    const std::string image(64, 'a');
    for (std::string line; std::getline(std::cin, line);) {
        const auto manifest = api::parse_manifest(line);
        std::cout << (manifest ? "ok " + api::manifest_revision(*manifest, image)
                               : "error " + manifest.error().message)
                  << '\n';
    }
    return 0;
}
