// What happened to a request, when, and what it cost: kept in memory for the last kTracesMax
// requests, running ones included. Of older ones the ledger still knows the bill.
// Threading: the io thread. Ownership: shared by the ring and the request, either of which may end
// first.
#pragma once
#include "base/clock.h"
#include "base/json.h"
#include "billing/usage_event.h"
#include "daemon/cold_trace.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace rekindle::daemon {

// Some 600 bytes each, and for a cold start 60 bytes more for each layer.
inline constexpr size_t kTracesMax = 4096;

struct RequestTrace {
    billing::RequestId id;
    std::string model;
    std::string revision;
    std::string project;
    bool streamed = false;
    int64_t accepted_unix_ms = 0;
    Nanoseconds accepted_at{};  // The node was asked; all that follow are later, or absent.

    std::optional<Nanoseconds> admitted_at;  // Gate 1 let it in.
    std::optional<Nanoseconds> worker_at;    // It was handed to a worker.
    std::optional<Nanoseconds> assigned_at;  // The worker accepted the image.
    std::optional<Nanoseconds> restored_at;  // The image is whole.
    std::optional<Nanoseconds> tokenized_at;
    std::optional<Nanoseconds> go_at;  // Gate 2: the input is debited.
    std::optional<Nanoseconds> first_token_at;
    std::optional<Nanoseconds> last_token_at;
    std::optional<Nanoseconds> ended_at;
    std::optional<Nanoseconds> durable_at;  // The final record is on disk.

    bool cold = false;           // It found the model without a worker, or not yet whole.
    std::string tier;            // Of the image when it was cold: "memory" or "disk".
    uint64_t restore_bytes = 0;  // Read from disk.
    Nanoseconds weights_wait{};  // Of the worker, until the first token.
    // Of the cold start that it waited for; shared with the others who did.
    std::shared_ptr<const ColdTrace> cold_start;
    uint32_t tries = 0;
    uint32_t prompt_tokens = 0;
    uint32_t cached_tokens = 0;
    uint32_t completion_tokens = 0;
    std::string error;  // Code of what ended it, if anything did.
    std::optional<billing::UsageFinal> bill;
};

class TraceRing {
public:
    // The oldest one leaves when there are kTracesMax.
    std::shared_ptr<RequestTrace> add(RequestTrace trace);
    // Null when it is not among the last ones.
    std::shared_ptr<RequestTrace> find(const billing::RequestId& id) const;

    size_t size() const noexcept { return order_.size(); }

private:
    std::deque<billing::RequestId> order_;
    std::map<billing::RequestId, std::shared_ptr<RequestTrace>> by_id_;
};

// The trace's wire form (docs/admin-api.md); times in milliseconds since it was accepted.
json::object trace_json(const RequestTrace& trace);
// What the ledger alone knows of an older request.
json::object trace_json(const billing::UsageFinal& usage);

}  // namespace rekindle::daemon
