#include "daemon/api/deploy_types.h"

#include "daemon/api/fields.h"

namespace rekindle::daemon::api {
namespace {

json::object to_json(const Price& price) {
    return {{"input", price.input},
            {"output", price.output},
            {"cached", price.cached},
            {"currency", price.currency}};
}

json::object to_json(const Guesses& guesses) {
    return {{"computed", guesses.computed},
            {"right", guesses.right},
            {"of_draft", guesses.of_draft},
            {"of_draft_right", guesses.of_draft_right}};
}

Result<Guesses> parse_guesses(const json::value& value) {
    Fields fields(value, "deployment: guesses");
    const Guesses out{.computed = fields.count("computed"),
                      .right = fields.count("right"),
                      .of_draft = fields.count("of_draft"),
                      .of_draft_right = fields.count("of_draft_right")};
    return fields.error() ? Result<Guesses>(*fields.error()) : Result<Guesses>(out);
}

json::value to_json(const std::optional<Deployment::Arriving>& arriving) {
    if (!arriving) {
        return nullptr;
    }
    return json::object{{"bytes_here", arriving->bytes_here},
                        {"bytes", arriving->bytes},
                        {"remote", arriving->remote},
                        {"problem", arriving->problem}};
}

Result<std::optional<Deployment::Arriving>> parse_arriving(const json::value& value) {
    if (value.is_null()) {
        return std::optional<Deployment::Arriving>();
    }
    Fields fields(value, "deployment: arriving");
    Deployment::Arriving out{.bytes_here = fields.count("bytes_here"),
                             .bytes = fields.count("bytes"),
                             .remote = fields.text("remote"),
                             .problem = fields.text("problem")};
    if (fields.error()) {
        return *fields.error();
    }
    return std::optional(std::move(out));
}

}  // namespace

json::object to_json(const Deployment& deployment) {
    json::array aliases;
    for (const std::string& alias : deployment.aliases) {
        aliases.emplace_back(alias);
    }
    return {{"name", deployment.name},
            {"revision", deployment.revision},
            {"image", deployment.image},
            {"architecture", deployment.architecture},
            {"image_bytes", deployment.image_bytes},
            {"context", deployment.context},
            {"kv_type", deployment.kv_type},
            {"created", deployment.created_unix_s},
            {"price", to_json(deployment.price)},
            {"aliases", std::move(aliases)},
            {"tier", deployment.tier},
            {"resident_bytes", deployment.resident_bytes},
            {"active_requests", deployment.active_requests},
            {"idle_ms", deployment.idle_ms ? json::value(*deployment.idle_ms) : json::value()},
            {"worker_pid", deployment.worker_pid},
            {"restoring", deployment.restoring},
            {"guesses", to_json(deployment.guesses)},
            {"draft_image", deployment.draft_image},
            {"draft_state", deployment.draft_state},
            {"arriving", to_json(deployment.arriving)}};
}

Result<Deployment> parse_deployment(const json::value& value) {
    Fields fields(value, "deployment");
    Deployment out;
    out.name = fields.text("name");
    out.revision = fields.text("revision");
    out.image = fields.text("image");
    out.architecture = fields.text("architecture");
    out.image_bytes = fields.count("image_bytes");
    out.context = static_cast<uint32_t>(fields.count("context"));
    out.kv_type = fields.text("kv_type");
    out.created_unix_s = static_cast<int64_t>(fields.count("created"));
    out.tier = fields.text("tier");
    out.resident_bytes = fields.count("resident_bytes");
    out.active_requests = static_cast<uint32_t>(fields.count("active_requests"));
    out.idle_ms = fields.integer_or_null("idle_ms");
    out.worker_pid = static_cast<int32_t>(fields.count("worker_pid"));
    out.restoring = fields.flag("restoring");
    out.draft_image = fields.text("draft_image");
    out.draft_state = fields.text("draft_state");
    auto arriving = parse_arriving(fields.member("arriving"));
    if (!arriving) {
        return std::move(arriving).error();
    }
    out.arriving = std::move(arriving).value();
    if (const json::array* aliases = fields.member("aliases").if_array()) {
        for (const json::value& alias : *aliases) {
            if (!alias.is_string()) {
                fields.fail("aliases", "a list of strings");
                break;
            }
            out.aliases.emplace_back(alias.get_string());
        }
    } else {
        fields.fail("aliases", "a list of strings");
    }
    if (fields.error()) {
        return *fields.error();
    }
    const auto guesses = parse_guesses(fields.member("guesses"));
    if (!guesses) {
        return guesses.error();
    }
    out.guesses = *guesses;
    Fields price(fields.member("price"), "deployment: price");
    out.price = Price{price.text("input"), price.text("output"), price.text("cached"),
                      price.text("currency")};
    if (price.error()) {
        return *price.error();
    }
    return out;
}

}  // namespace rekindle::daemon::api
