// The named points at which a simulated daemon can crash. Each stands at a seam: before or after an
// effect that somebody else can see. Once the daemon is dead, the seams suppress every effect, so
// it does not matter what its code still does until it is torn down. Threading: one thread.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace rekindle::sim {

enum class Point : uint8_t {
    kWalBeforeWrite,
    kWalAfterWrite,
    kWalBeforeSync,
    kWalAfterSync,
    kStoreWrite,  // Tables and manifests: opening and compacting.
    kMarkBeforeWrite,
    kMarkAfterWrite,
    kMarkBeforeSync,
    kMarkAfterSync,
    kLedgerBeforeDone,
    kLedgerOpened,
    kFrameHelloIn,
    kFrameAssignedIn,
    kFrameTokenizedIn,
    kFrameTokensIn,
    kFrameStepIn,
    kFrameFailedIn,
    kFrameAssignOut,
    kFrameSubmitOut,
    kFrameGoOut,
    kFrameRefuseOut,
    kFrameLeaseOut,
    kFrameCancelOut,
    kClientAccepted,
    kClientBeforeWrite,
    kClientAfterWrite,
    kClientCloseSeen,
    kClientBeforeFinish,
    kClientAfterFinish,
    kClientBeforeLast,
    kClientAfterLast,
    kRestoreAcquired,
    kRestoreRead,
    kRestoreDone,
    kWorkerStart,
    kWorkerKill,
    kWorkerReaped,
    kTimerCooling,
    kTimerRetry,
    kDrainBegun,
    kStopped,
};

inline constexpr size_t kPoints = static_cast<size_t>(Point::kStopped) + 1;

std::string_view name_of(Point point) noexcept;
std::optional<Point> point_named(std::string_view name) noexcept;

enum class CrashKind : uint8_t { kKill, kPowerLoss };

// How often each point was reached by a living daemon, and how often one died there.
struct PointHits {
    std::array<uint64_t, kPoints> reached{};
    std::array<uint64_t, kPoints> crashed{};

    void add(const PointHits& other) noexcept;
};

class Points {
public:
    // The daemon dies when it reaches `point` for the `count`-th time from now.
    void arm(Point point, uint32_t count, CrashKind kind) noexcept {
        armed_ = {point, count, kind};
    }
    void disarm() noexcept { armed_.reset(); }
    bool armed() const noexcept { return armed_.has_value(); }
    // The daemon comes to `point`; true when it is dead, from now or from before: the effect that
    // would follow does not take place.
    bool hit(Point point) noexcept;
    bool dead() const noexcept { return dead_.has_value(); }
    std::optional<CrashKind> how() const noexcept { return dead_; }
    // A new daemon.
    void revive() noexcept { dead_.reset(); }

    const PointHits& hits() const noexcept { return hits_; }

private:
    struct Armed {
        Point point;
        uint32_t left;
        CrashKind kind;
    };

    std::optional<Armed> armed_;
    std::optional<CrashKind> dead_;
    PointHits hits_;
};

}  // namespace rekindle::sim
