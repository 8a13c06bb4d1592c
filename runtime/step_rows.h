// One step's work, flat: a row per token, in entry order. Graphs see rows only, so that a row's
// result cannot depend on which sequences share the step.
#pragma once
#include "runtime/kv_pages.h"
#include "runtime/tokenizer/tokenizer.h"

#include <cstdint>
#include <vector>

namespace rekindle::runtime {

struct StepRows {
    std::vector<TokenId> tokens;               // [rows]
    std::vector<uint32_t> positions;           // [rows] of the token in its sequence
    std::vector<const KvSequence*> sequences;  // [rows]
    std::vector<uint32_t> logit_rows;          // Rows whose logits are wanted, ascending.

    uint32_t count() const noexcept { return static_cast<uint32_t>(tokens.size()); }

    void clear() noexcept {
        tokens.clear();
        positions.clear();
        sequences.clear();
        logit_rows.clear();
    }
};

}  // namespace rekindle::runtime
