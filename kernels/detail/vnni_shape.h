// What the products of a quantised type need where VNNI computes them (detail/vnni_tile.inl).
#pragma once

namespace rekindle::kernels::vnni {

struct Shape {
    bool biased = false;   // kBias is not 0.
    bool factors = false;  // factors() instead of 1.
    bool offsets = false;
    bool mins = false;  // mins() instead of 1; with offsets only.
    bool inputs16 = false;
};

constexpr Shape with_inputs16(Shape shape) {
    shape.inputs16 = true;
    return shape;
}

}  // namespace rekindle::kernels::vnni
