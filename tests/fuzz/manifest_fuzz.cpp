// Deployment manifests, YAML and JSON. What is accepted keeps its canonical form when it is parsed
// again, as JSON and as the YAML that is shown; what is refused says why.
#include "base/check.h"
#include "daemon/api/canonical_json.h"
#include "daemon/api/manifest.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    namespace api = rekindle::daemon::api;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto manifest = api::parse_manifest(text);
    if (!manifest) {
        REKINDLE_CHECK(!manifest.error().message.empty(), "a refusal says why");
        return 0;
    }
    REKINDLE_CHECK(api::is_deployment_name(manifest->name), "a name is safe as a file name");
    REKINDLE_CHECK(manifest->image().empty() != manifest->file().empty(),
                   "a model is a file or an image");
    const std::string image(64, 'a');
    const std::string canonical = api::canonical_manifest(*manifest, image);
    for (const std::string& form : {canonical, api::block_yaml(manifest->with_image(image))}) {
        const auto again = api::parse_manifest(form);
        REKINDLE_CHECK(again.ok(), "the canonical form is a manifest");
        REKINDLE_CHECK(api::canonical_manifest(*again, image) == canonical,
                       "the canonical form is its own canonical form");
    }
    return 0;
}
