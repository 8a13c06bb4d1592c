// Attention over paged keys and values, for any register width and type of page: `V` is the Vector
// of an instruction set, `N` says how a page keeps its numbers (kv_numbers.inl). A tile of queries
// (rows of one sequence x the heads of one KV head) goes through the pages together, so that a page
// is read once for all of them. It is converted in registers, for each block of at most six
// queries: that runs beside the fused multiply-adds.
//
// A query's bits depend on its position and window alone. For each page from position 0 on:
//     score[p]  = fma over d ascending of (query[d] * scale * log2 e) * key[d][p], then times the
//                 scale of p's keys where the type has such
//     max, sum  = of the scores up to here, the sum in one partial sum a lane
//     out[d]    = out[d] * 2^(max before - max), then fma over visible p ascending of
//                 (2^(score[p] - max) * the scale of p's values) * value[p][d]
// and out / sum at the end. Tiles only choose how many such chains run side by side.
// For files that are compiled for one instruction set; internal linkage, see README.md.
#pragma once
#include "kernels/detail/kv_numbers.inl"
#include "kernels/kernel_table.h"

#include <immintrin.h>

namespace rekindle::kernels {
namespace {

constexpr uint32_t kQueryBlock = 6;    // x 2 vectors: 12 of AVX2's 16 registers accumulate.
constexpr uint32_t kTileQueries = 48;  // Reading a page into the first-level cache is 2 % then.
constexpr uint32_t kHeadDimStep = 16;  // head_dim is a multiple of it.
// A constant stride spares address arithmetic; not a power of two, so that cache sets are shared
// evenly.
constexpr uint32_t kQueryStride = kHeadDimMax + 16;

// What the tile reads next, fetched while it computes: pages lie far apart, so that the processor's
// own prefetching stops at the end of each piece of one. The cost of fetching what is there already
// is one instruction of some twenty.
struct PageAhead {
    static constexpr size_t kLine = 64;

    const std::byte* place;
    size_t step;  // Bytes for each step of a loop; 0: nothing more to fetch.

    [[gnu::always_inline]] void fetch() {
        for (size_t line = 0; line == 0 || line < step; line += kLine) {
            _mm_prefetch(reinterpret_cast<const char*>(place + line), _MM_HINT_T0);
        }
        place += step;
    }
};

template <typename V>
struct AttentionTile {
    static constexpr uint32_t kPageVectors = kPageTokens / V::kLanes;

    alignas(64) float queries[kTileQueries][kQueryStride];  // [queries][head_dim], scaled
    // Scores, then 2^(score - max) times the scale of the position's values.
    alignas(64) float weights[kTileQueries][kPageTokens];
    alignas(64) float sums[kTileQueries][V::kLanes];
    float max[kTileQueries];
    float shrink[kTileQueries];  // Of what was accumulated before this page.
    float* out[kTileQueries];    // [head_dim] of each query
};

// Accumulators of a query, so that a block has at most 12.
constexpr uint32_t block_vectors(uint32_t queries) {
    return queries <= kQueryBlock / 2 ? 4 : 2;
}

// run<n>(first) for blocks of at most kQueryBlock queries, as equal as can be.
template <typename Run>
[[gnu::always_inline]] inline void for_query_blocks(uint32_t first, uint32_t end, const Run& run) {
    uint32_t blocks = (end - first + kQueryBlock - 1) / kQueryBlock;
    for (; blocks > 0; --blocks) {
        const uint32_t count = (end - first) / blocks;
        switch (count) {
            case 1:
                run.template operator()<1>(first);
                break;
            case 2:
                run.template operator()<2>(first);
                break;
            case 3:
                run.template operator()<3>(first);
                break;
            case 4:
                run.template operator()<4>(first);
                break;
            case 5:
                run.template operator()<5>(first);
                break;
            default:
                run.template operator()<6>(first);
                break;
        }
        first += count;
    }
}

// acc[q][v] += factors[q * stride] * load(v). The fewer of factors and vectors are held in
// registers.
template <typename V, uint32_t kQueries, uint32_t kVectors, typename Load>
[[gnu::always_inline]] inline void accumulate(typename V::Floats (&acc)[kQueries][kVectors],
                                              const float* factors, size_t stride,
                                              const Load& load) {
    if constexpr (kQueries < kVectors) {
        typename V::Floats factor[kQueries];
        for (uint32_t q = 0; q < kQueries; ++q) {
            factor[q] = V::all(factors[q * stride]);
        }
#pragma clang loop unroll(full)
        for (uint32_t v = 0; v < kVectors; ++v) {
            const auto vector = load(v);
#pragma clang loop unroll(full)
            for (uint32_t q = 0; q < kQueries; ++q) {
                acc[q][v] = V::fma(factor[q], vector, acc[q][v]);
            }
            if constexpr (kQueries == 3) {
                V::settle(acc[0][v], acc[1][v], acc[2][v]);
            }
        }
    } else {
        typename V::Floats vector[kVectors];
        for (uint32_t v = 0; v < kVectors; ++v) {
            vector[v] = load(v);
        }
#pragma clang loop unroll(full)
        for (uint32_t q = 0; q < kQueries; ++q) {
            const auto factor = V::all(factors[q * stride]);
#pragma clang loop unroll(full)
            for (uint32_t v = 0; v < kVectors; ++v) {
                acc[q][v] = V::fma(factor, vector[v], acc[q][v]);
            }
        }
    }
}

// Scores of kQueries queries for the whole page; what a row does not see is masked later.
template <typename V, typename N, uint32_t kQueries>
void score_block(AttentionTile<V>& tile, const std::byte* keys, uint32_t head_dim, uint32_t query,
                 PageAhead ahead) {
    constexpr uint32_t kPageVectors = AttentionTile<V>::kPageVectors;
    constexpr uint32_t kWanted = block_vectors(kQueries);
    constexpr uint32_t kVectors = kWanted < kPageVectors ? kWanted : kPageVectors;
    for (uint32_t first = 0; first < kPageTokens; first += kVectors * V::kLanes) {
        ahead.step = first == 0 ? ahead.step : 0;
        typename V::Floats acc[kQueries][kVectors];
        for (auto& row : acc) {
            for (auto& sum : row) {
                sum = V::all(0);
            }
        }
        const float* factors = tile.queries[query];
        const std::byte* key = keys + static_cast<size_t>(first) * N::kBytes;
        for (uint32_t d = 0; d < head_dim; ++d, key += kPageTokens * N::kBytes) {
            ahead.fetch();
            accumulate<V>(acc, factors + d, kQueryStride,
                          [&](uint32_t v) __attribute__((always_inline)) {
                              return N::load(key + v * V::kLanes * N::kBytes);
                          });
        }
        for (uint32_t q = 0; q < kQueries; ++q) {
            for (uint32_t v = 0; v < kVectors; ++v) {
                const uint32_t at = first + v * V::kLanes;
                V::store(tile.weights[query + q] + at, N::scale(acc[q][v], keys, head_dim, at));
            }
        }
    }
}

// Positions of one page that a row sees: [begin, end), counted from the page's first.
struct PageView {
    uint32_t begin;
    uint32_t end;
};

// Values d to d + kVectors * kLanes - 1 of kQueries queries, over the positions of `view`.
template <typename V, typename N, uint32_t kQueries, uint32_t kVectors>
[[gnu::always_inline]] inline void add_values(AttentionTile<V>& tile, const std::byte* values,
                                              uint32_t head_dim, uint32_t query, uint32_t d,
                                              PageView view, PageAhead ahead) {
    typename V::Floats acc[kQueries][kVectors];
    for (uint32_t q = 0; q < kQueries; ++q) {
        const auto shrink = V::all(tile.shrink[query + q]);
        for (uint32_t v = 0; v < kVectors; ++v) {
            acc[q][v] = V::mul(V::load(tile.out[query + q] + d + v * V::kLanes), shrink);
        }
    }
    const float* weights = tile.weights[query];
    const size_t row_bytes = static_cast<size_t>(head_dim) * N::kBytes;
    const std::byte* value = values + view.begin * row_bytes + d * N::kBytes;
    for (uint32_t p = view.begin; p < view.end; ++p, value += row_bytes) {
        ahead.fetch();
        accumulate<V>(acc, weights + p, kPageTokens,
                      [&](uint32_t v) __attribute__((always_inline)) {
                          return N::load(value + v * V::kLanes * N::kBytes);
                      });
    }
    for (uint32_t q = 0; q < kQueries; ++q) {
        for (uint32_t v = 0; v < kVectors; ++v) {
            V::store(tile.out[query + q] + d + v * V::kLanes, acc[q][v]);
        }
    }
}

template <typename V, typename N, uint32_t kQueries>
void value_block(AttentionTile<V>& tile, const std::byte* values, uint32_t head_dim, uint32_t query,
                 PageView view, PageAhead ahead) {
    constexpr uint32_t kVectors = block_vectors(kQueries);
    constexpr uint32_t kLastVectors = kHeadDimStep / V::kLanes;
    uint32_t d = 0;
    for (; d + kVectors * V::kLanes <= head_dim; d += kVectors * V::kLanes) {
        add_values<V, N, kQueries, kVectors>(tile, values, head_dim, query, d, view, ahead);
        ahead.step = 0;
    }
    for (; d < head_dim; d += kLastVectors * V::kLanes) {
        add_values<V, N, kQueries, kLastVectors>(tile, values, head_dim, query, d, view, ahead);
        ahead.step = 0;
    }
}

// Turns a query's scores into weights of the visible positions of the page (what becomes of the
// others does not matter), and brings its maximum and sums up to date.
template <typename V, typename N>
[[gnu::always_inline]] inline void absorb_scores(AttentionTile<V>& tile, uint32_t query,
                                                 PageView view, const std::byte* values,
                                                 uint32_t head_dim) {
    constexpr uint32_t kVectors = AttentionTile<V>::kPageVectors;
    float* scores = tile.weights[query];
    typename V::Floats x[kVectors];
    for (uint32_t v = 0; v < kVectors; ++v) {
        x[v] = V::load(scores + v * V::kLanes);
    }
    if (view.end - view.begin < kPageTokens) {
        for (uint32_t v = 0; v < kVectors; ++v) {
            const uint32_t first = v * V::kLanes;
            x[v] = V::keep(x[v], view.begin > first ? view.begin - first : 0,
                           view.end > first ? view.end - first : 0);
        }
    }
    auto largest = x[0];
    for (uint32_t v = 1; v < kVectors; ++v) {
        largest = V::max(largest, x[v]);
    }
    const float before = tile.max[query];
    largest = V::max(V::max_lanes(largest), V::all(before));
    const float max = V::first_lane(largest);
    auto sum = V::load(tile.sums[query]);
    tile.shrink[query] = 1;
    if (max != before) {
        const auto shrink = V::exp2_negative(V::sub(V::all(before), largest));
        sum = V::mul(sum, shrink);
        tile.shrink[query] = V::first_lane(shrink);
        tile.max[query] = max;
    }
    for (uint32_t v = 0; v < kVectors; ++v) {
        const auto weight = V::exp2_negative(V::sub(x[v], largest));
        V::store(scores + v * V::kLanes, N::scale(weight, values, head_dim, v * V::kLanes));
        sum = V::add(sum, weight);
    }
    V::store(tile.sums[query], sum);
}

// `row_position` sees up to itself, and the last `window` of these where that is not 0.
[[gnu::always_inline]] inline PageView page_view(uint32_t row_position, uint32_t window,
                                                 uint32_t page_position) {
    const uint32_t context = row_position + 1;
    const uint32_t oldest = window != 0 && context > window ? context - window : 0;
    PageView view{oldest > page_position ? oldest - page_position : 0, 0};
    view.end = context > page_position ? context - page_position : 0;
    view.end = view.end < kPageTokens ? view.end : kPageTokens;
    view.begin = view.begin < view.end ? view.begin : view.end;
    return view;
}

template <typename V, typename N>
void score_queries(AttentionTile<V>& tile, const std::byte* keys, uint32_t head_dim,
                   uint32_t queries, PageAhead ahead) {
    for_query_blocks(0, queries, [&]<uint32_t kQueries>(uint32_t query) {
        score_block<V, N, kQueries>(tile, keys, head_dim, query, ahead);
        ahead.step = 0;
    });
}

// A row that does not see the whole page takes its values alone: what it does not see must not
// touch it, be it NaN. Rows that see all of it are taken together.
template <typename V, typename N>
void add_rows_values(AttentionTile<V>& tile, const AttentionArgs& args, uint32_t page_position,
                     const std::byte* values, PageAhead ahead) {
    const auto add = [&](uint32_t first_row, uint32_t end_row, PageView view) {
        for_query_blocks(
            first_row * args.group, end_row * args.group, [&]<uint32_t kQueries>(uint32_t query) {
                value_block<V, N, kQueries>(tile, values, args.head_dim, query, view, ahead);
                ahead.step = 0;
            });
    };
    uint32_t whole = 0;  // Rows just before `row` that see the whole page.
    for (uint32_t row = 0; row < args.rows; ++row) {
        const PageView view = page_view(args.position + row, args.window, page_position);
        if (view.end - view.begin == kPageTokens) {
            ++whole;
            continue;
        }
        add(row - whole, row, {0, kPageTokens});
        whole = 0;
        if (view.begin < view.end) {
            add(row, row + 1, view);
        }
    }
    add(args.rows - whole, args.rows, {0, kPageTokens});
}

// args: the rows of one tile.
template <typename V, typename N>
void attend_page(AttentionTile<V>& tile, const AttentionArgs& args, uint32_t page_position) {
    const uint32_t index = page_position / kPageTokens;
    const std::byte* page = args.pages[index];
    const uint32_t queries = args.rows * args.group;
    const std::byte* values = page + args.value_offset;
    // Keys and values of a page are equally long: a line of values for each dimension of the keys,
    // and a row of the next keys for each position of the values.
    score_queries<V, N>(tile, page + args.key_offset, args.head_dim, queries,
                        {values, kPageTokens * N::kBytes});
    for (uint32_t query = 0; query < queries; ++query) {
        const uint32_t position = args.position + query / args.group;
        const PageView view = page_view(position, args.window, page_position);
        if (view.begin < view.end) {
            absorb_scores<V, N>(tile, query, view, values, args.head_dim);
        }
    }
    const bool last = page_position + kPageTokens > args.position + args.rows - 1;
    const std::byte* next = last ? values : args.pages[index + 1] + args.key_offset;
    add_rows_values<V, N>(tile, args, page_position, values,
                          {next, last ? 0 : static_cast<size_t>(args.head_dim) * N::kBytes});
}

// The tile's queries before the first page.
template <typename V>
void start_tile(AttentionTile<V>& tile, const AttentionArgs& args) {
    const auto scale = V::all(args.scale * 0x1.715476p0F);  // log2(e)
    for (uint32_t query = 0; query < args.rows * args.group; ++query) {
        const uint32_t row = query / args.group;
        const size_t in_row = static_cast<size_t>(query % args.group) * args.head_dim;
        const float* values = args.query + row * args.query_stride + in_row;
        float* out = args.out + row * args.out_stride + in_row;
        for (uint32_t d = 0; d < args.head_dim; d += V::kLanes) {
            V::store(tile.queries[query] + d, V::mul(V::load(values + d), scale));
            V::store(out + d, V::all(0));
        }
        tile.out[query] = out;
        tile.max[query] = -__builtin_inff();
        V::store(tile.sums[query], V::all(0));
    }
}

template <typename V, typename N>
void attend_tile(AttentionTile<V>& tile, const AttentionArgs& args) {
    start_tile(tile, args);
    const uint32_t last = args.position + args.rows - 1;
    uint32_t page_position = 0;
    if (args.window != 0 && args.position + 1 > args.window) {
        page_position = (args.position + 1 - args.window) / kPageTokens * kPageTokens;
    }
    for (; page_position <= last; page_position += kPageTokens) {
        attend_page<V, N>(tile, args, page_position);
    }
    for (uint32_t query = 0; query < args.rows * args.group; ++query) {
        const auto sum = V::all(V::sum_lanes(V::load(tile.sums[query])));
        for (uint32_t d = 0; d < args.head_dim; d += V::kLanes) {
            V::store(tile.out[query] + d, V::div(V::load(tile.out[query] + d), sum));
        }
    }
}

template <typename V, typename N>
void attend_tiles(const AttentionArgs& args) {
    AttentionTile<V> tile;
    const uint32_t rows_max = kTileQueries / args.group;
    AttentionArgs part = args;
    for (uint32_t row = 0; row < args.rows; row += part.rows) {
        part.rows = args.rows - row < rows_max ? args.rows - row : rows_max;
        part.position = args.position + row;
        part.query = args.query + row * args.query_stride;
        part.out = args.out + row * args.out_stride;
        attend_tile<V, N>(tile, part);
    }
}

template <typename V>
void attend_rows(const AttentionArgs& args) {
    switch (args.type) {
        case KvType::kF16:
            attend_tiles<V, F16Numbers<V>>(args);
            break;
        case KvType::kBF16:
            attend_tiles<V, BF16Numbers<V>>(args);
            break;
        case KvType::kQ8_0:
            attend_tiles<V, Q8Numbers<V>>(args);
            break;
    }
}

}  // namespace
}  // namespace rekindle::kernels
