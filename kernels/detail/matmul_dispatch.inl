// matmul of one instruction set: from the type that a matrix names to the struct that reads it.
// Included inside the namespace of an instruction set, whose compute_panels and types it uses; as a
// template it would have to name all of them once more.

void matmul(const PackedMatrix& w, uint32_t panel_begin, uint32_t panel_end, const Activations& x,
            float* out, size_t out_stride) noexcept {
    const auto run = [&]<typename Type>() __attribute__((always_inline)) {
        const uint64_t panel_bytes = packed_bytes(w.type, 1, w.columns);
        if constexpr (Type::kQuantised) {
            if (x.quants16 != nullptr) {
                return compute_panels<Inputs16<Type>>(w, panel_bytes, panel_begin, panel_end, x,
                                                      out, out_stride);
            }
        }
        compute_panels<Type>(w, panel_bytes, panel_begin, panel_end, x, out, out_stride);
    };
    switch (w.type) {
        case WeightType::kF32:
            return run.operator()<F32>();
        case WeightType::kF16:
            return run.operator()<F16>();
        case WeightType::kBF16:
            return run.operator()<BF16>();
        case WeightType::kQ4_0:
            return run.operator()<Q4_0>();
        case WeightType::kQ4_1:
            return run.operator()<Q4_1>();
        case WeightType::kQ5_0:
            return run.operator()<Q5_0>();
        case WeightType::kQ5_1:
            return run.operator()<Q5_1>();
        case WeightType::kQ8_0:
            return run.operator()<Q8_0>();
        case WeightType::kQ2_K:
            return run.operator()<Q2_K>();
        case WeightType::kQ3_K:
            return run.operator()<Q3_K>();
        case WeightType::kQ4_K:
            return run.operator()<Q4_K>();
        case WeightType::kQ5_K:
            return run.operator()<Q5_K>();
        case WeightType::kQ6_K:
            return run.operator()<Q6_K>();
        case WeightType::kIQ4_NL:
            return run.operator()<IQ4_NL>();
        case WeightType::kIQ4_XS:
            return run.operator()<IQ4_XS>();
    }
}
