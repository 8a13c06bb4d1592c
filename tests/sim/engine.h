// An engine that computes nothing but keeps every rule of one: it reads the image only through its
// latches, keeps each position's state in the pages of its sequence (the real pool), and chooses
// each token by the whole prefix, so that a lost, shared or stale page changes the answer.
#pragma once
#include "runtime/engine.h"
#include "tests/sim/images.h"

#include <memory>

namespace rekindle::sim {

std::unique_ptr<runtime::Engine> make_engine(const snapshot::ImageView& image,
                                             const runtime::EngineOptions& options,
                                             runtime::TokenId end);
// True when a step would not block on a latch.
bool weights_decided(const snapshot::ImageView& image);

}  // namespace rekindle::sim
