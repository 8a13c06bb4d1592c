#include "daemon/worker_assign.h"

#include <utility>

namespace rekindle::daemon {

Result<WorkerAssignment> make_assignment(const snapshot::ResidentImage& image,
                                         const snapshot::KvFiles& kv) {
    auto descriptors = image.descriptors();
    if (!descriptors) {
        return descriptors.error();
    }
    auto kv_memory = kv.memory_descriptor();
    if (!kv_memory) {
        return kv_memory.error();
    }
    auto kv_table = kv.table_descriptor();
    if (!kv_table) {
        return kv_table.error();
    }
    WorkerAssignment assignment{.frame = {.index_json = image.index_json(),
                                          .extent_bytes = descriptors->extent_bytes,
                                          .kv_bytes = kv.bytes(),
                                          .kv_table_bytes = kv.table_bytes()},
                                .files = {}};
    assignment.files.push_back(std::move(descriptors->latches));
    assignment.files.push_back(std::move(kv_memory).value());
    assignment.files.push_back(std::move(kv_table).value());
    for (UniqueFd& extent : descriptors->extents) {
        assignment.files.push_back(std::move(extent));
    }
    return assignment;
}

Result<DraftAssignment> make_draft_assignment(const snapshot::ResidentImage& image,
                                              uint64_t kv_bytes) {
    auto descriptors = image.descriptors();
    if (!descriptors) {
        return descriptors.error();
    }
    auto kv_memory = create_memory_file("rekindle-draft-kv", kv_bytes);
    if (!kv_memory) {
        return kv_memory.error();
    }
    DraftAssignment assignment{.frame = {.index_json = image.index_json(),
                                         .extent_bytes = descriptors->extent_bytes,
                                         .kv_bytes = kv_bytes},
                               .files = {}};
    assignment.files.push_back(std::move(descriptors->latches));
    assignment.files.push_back(std::move(kv_memory).value());
    for (UniqueFd& extent : descriptors->extents) {
        assignment.files.push_back(std::move(extent));
    }
    return assignment;
}

}  // namespace rekindle::daemon
