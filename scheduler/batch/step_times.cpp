#include "scheduler/batch/step_times.h"

#include <algorithm>
#include <cmath>

namespace rekindle::scheduler {
namespace {

// What another row adds while nobody has measured it. Less than on any machine so far (13 % for the
// second row of a 135M model on two Zen 3 cores), so that it is tried.
constexpr double kRowGuess = 0.05;
// One step that was held up counts for at most so many times what was expected of it.
constexpr double kSurpriseMax = 4;
// How much of a surprise is the machine's pace; the rest of a size's own is 1 / count.
constexpr double kOfPace = 0.25;
constexpr uint32_t kCountMax = 32;
// A size that was not seen for so many steps comes to be thought cheaper, by so much of what it
// could be each time that its turn comes.
constexpr uint64_t kLongUnseen = 32;
constexpr double kCurious = 1.0 / 32;

}  // namespace

// From the next smaller size that is known; never more than the next larger one.
double StepTimes::guess(uint32_t rows) const noexcept {
    double guess = 1 + kRowGuess * (rows - 1);
    for (uint32_t below = rows - 1; below > 0; --below) {
        if (sizes_[below].count > 0) {
            guess = sizes_[below].time * (1 + kRowGuess * (rows - below));
            break;
        }
    }
    for (uint32_t above = rows + 1; above <= kRowsMax; ++above) {
        if (sizes_[above].count > 0) {
            return std::min(guess, sizes_[above].time);
        }
    }
    return guess;
}

double StepTimes::of(uint32_t rows) const noexcept {
    rows = std::clamp(rows, 1U, kRowsMax);
    return sizes_[rows].count > 0 ? sizes_[rows].time : guess(rows);
}

void StepTimes::measured(uint32_t rows, Nanoseconds time) noexcept {
    const auto ns = static_cast<double>(time.count());
    if (rows == 0 || rows > kRowsMax || ns <= 0) {
        return;
    }
    Size& size = sizes_[rows];
    size.seen = ++steps_;
    if (pace_ns_ == 0) {
        pace_ns_ = ns / of(rows);
    }
    if (size.count == 0) {
        size.time = std::min(ns / pace_ns_, kSurpriseMax * of(rows));
        size.count = 1;
        return;
    }
    const double surprise = std::clamp(ns / (pace_ns_ * size.time), 1 / kSurpriseMax, kSurpriseMax);
    size.count = std::min(size.count + 1, kCountMax);
    size.time *= std::pow(surprise, 1.0 / size.count);
    pace_ns_ *= std::pow(surprise, kOfPace);
    grow_curious();
}

void StepTimes::grow_curious() noexcept {
    do {  // Ends: one size was just measured.
        curious_ = curious_ % kRowsMax + 1;
    } while (sizes_[curious_].count == 0);
    Size& size = sizes_[curious_];
    const double least = guess(curious_);
    if (steps_ - size.seen > kLongUnseen && curious_ > 1 && least < size.time) {
        size.time -= kCurious * (size.time - least);
        size.count = (size.count + 1) / 2;  // What is measured next counts for more.
    }
}

}  // namespace rekindle::scheduler
