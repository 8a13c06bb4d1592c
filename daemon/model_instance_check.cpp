// A model instance and the self-check of its worker: asked for, kept, or a reason not to serve.
#include "base/log.h"
#include "base/version.h"
#include "daemon/model_instance.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

namespace rekindle::daemon {

void ModelInstance::begin_check() {
    if (!check_.pending()) {
        return;
    }
    CheckKey key{.build = std::string(version()),
                 .kernels = link_->kernels(),
                 .kv_type = record_.manifest.kv_type};
    auto recorded = check_.mode() == CheckMode::kRecord ? std::nullopt
                                                        : services_.checks.find(record_.image, key);
    link_->send(check_.begin(std::move(recorded), std::move(key), services_.clock.monotonic()));
}

void ModelInstance::end_check() {
    if (!check_.over()) {
        return;
    }
    auto outcome = check_.take();
    check_first_ = CheckMode::kNone;
    const bool unchecked = !outcome && outcome.error().code == ErrorCode::kUnsupported;
    if (unchecked && !record_.manifest.verify_on_restore) {
        log_warning("self_check_not_recorded",
                    {{"model", record_.name}, {"reason", outcome.error().message}});
        changed_.notify();
        return;
    }
    services_.watch.metrics.own.self_checks.add({record_.name, outcome ? "passed" : "failed"}, 1);
    if (unchecked) {
        refuse_to_serve(outcome.error().with_context(
            fmt::format("model {}: runtime.verify_on_restore", record_.name)));
        return;
    }
    if (!outcome) {
        // What is in memory is not what was deployed: nobody gets it again.
        services_.tier.drop(record_.image);
        refuse_to_serve(check_error(outcome.error()));
        return;
    }
    if (outcome->recorded) {
        keep_check(*outcome->recorded);
    }
    watch_.checked(outcome->begun);
    for (const Frame& held : outcome->held) {
        link_->send(held);
    }
    changed_.notify();
}

void ModelInstance::keep_check(const SelfCheck& check) {
    const auto kept = services_.checks.put(record_.image, check);
    if (!kept) {  // The next one is recorded instead of compared; that is no reason to refuse.
        log_warning("self_check_not_kept",
                    {{"model", record_.name}, {"reason", kept.error().message}});
    }
}

Error ModelInstance::check_error(const Error& error) const {
    return Error{error.code,
                 fmt::format("model {}: {}: what is in memory is not what was deployed, and is not "
                             "served; the next request reads the image again. If that fails, too: "
                             "`rekindle verify {}`, then deploy it again",
                             record_.name, error.message, record_.name)};
}

}  // namespace rekindle::daemon
