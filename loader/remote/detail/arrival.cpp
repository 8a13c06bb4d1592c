#include "loader/remote/detail/arrival.h"

#include <utility>

namespace rekindle::remote {

Arrival::Arrival(std::vector<loader::ImageChunk> chunks)
    : chunks_(std::move(chunks)), states_(chunks_.size()) {
    for (size_t i = 0; i < chunks_.size(); ++i) {
        places_.emplace(chunks_[i].id, i);
        bytes_ += chunks_[i].bytes;
    }
}

void Arrival::want(const std::vector<loader::ImageChunk>& chunks, const OnChunk& on_chunk) {
    for (const loader::ImageChunk& chunk : chunks) {
        const auto at = places_.find(chunk.id);
        if (at != places_.end()) {
            State& state = states_[at->second];
            waiting_ += state.waiting.empty() ? 1 : 0;
            state.waiting.push_back(on_chunk);
        }
    }
}

std::optional<size_t> Arrival::take_wanted() {
    for (size_t i = 0; waiting_ > 0 && i < states_.size(); ++i) {
        if (!states_[i].waiting.empty() && !states_[i].taken) {
            states_[i].taken = true;
            return i;
        }
    }
    return std::nullopt;
}

std::optional<size_t> Arrival::take_missing() {
    for (size_t i = 0; !complete() && i < states_.size(); ++i) {
        if (!states_[i].here && !states_[i].taken) {
            states_[i].taken = true;
            return i;
        }
    }
    return std::nullopt;
}

std::vector<Arrival::OnChunk> Arrival::take_waiters(size_t chunk) {
    waiting_ -= states_[chunk].waiting.empty() ? 0 : 1;
    return std::exchange(states_[chunk].waiting, {});
}

std::vector<Arrival::Waiter> Arrival::take_all_waiters(size_t first) {
    std::vector<Waiter> all;
    const auto take = [&](size_t chunk) {
        for (OnChunk& on_chunk : take_waiters(chunk)) {
            all.push_back({.chunk = chunk, .on_chunk = std::move(on_chunk)});
        }
    };
    take(first);
    for (size_t i = 0; i < states_.size(); ++i) {
        take(i);
    }
    return all;
}

void Arrival::put_back(size_t chunk, bool here) {
    REKINDLE_CHECK(states_[chunk].taken, "a chunk is given back by who took it");
    states_[chunk].taken = false;
    set_here(chunk, here);
}

void Arrival::set_here(size_t chunk, bool here) {
    State& state = states_[chunk];
    if (state.here != here) {
        state.here = here;
        here_ = here ? here_ + 1 : here_ - 1;
        bytes_here_ =
            here ? bytes_here_ + chunks_[chunk].bytes : bytes_here_ - chunks_[chunk].bytes;
    }
}

}  // namespace rekindle::remote
