#include "tests/billing/billing_facts.h"

namespace rekindle::billing {

RequestId id_of(uint64_t number) {
    RequestId id;
    for (size_t i = 0; i < 8; ++i) {
        id.bytes[15 - i] = static_cast<std::byte>(number >> (8 * i));
    }
    return id;
}

RequestFacts facts_of(uint64_t number) {
    RequestFacts facts;
    facts.id = id_of(number);
    facts.model = "smol";
    facts.revision = "r1";
    facts.price_input = 1000;
    facts.price_cached = 100;
    facts.price_output = 3000;
    facts.prompt_tokens = 100;
    facts.cached_tokens = 20;
    facts.streamed = true;
    facts.started_unix_ms = 1'700'000'000'000;
    return facts;
}

UsageFinal final_of(uint64_t number, Outcome outcome, uint32_t completion, uint32_t delivered) {
    UsageFinal usage = settle(facts_of(number), outcome, completion, delivered, true);
    usage.finished_unix_ms = 1'700'003'600'000;
    return usage;
}

}  // namespace rekindle::billing
