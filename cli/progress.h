// How far a deployment is, on standard error: a bar that is drawn over itself on a terminal, one
// line per tenth elsewhere. Threading: one thread. Invariant: after finish() the cursor is at the
// start of a line.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace rekindle::cli {

class Progress {
public:
    explicit Progress(bool shown);
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    ~Progress() { finish(); }

    void update(std::string_view phase, uint64_t done, uint64_t total);
    void finish();

private:
    bool shown_;
    bool terminal_;
    bool drawn_ = false;  // A bar stands on the current line.
    std::string phase_;
    unsigned percent_ = 0;
};

}  // namespace rekindle::cli
