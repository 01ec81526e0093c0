// Matrix products in pieces that fit in registers, on weights packed for them.
//
// A piece ("tile") is R rows by V vectors of sums. Every sum is taken in the order of k, whatever
// the tile, so results do not depend on how work is cut or on the number of threads.
// Packed weights: panels of up to `panel_vectors` vectors of columns; a panel holds its K rows one
// after another, each `vectors * lanes` floats.
#pragma once

#include "simd.h"

namespace elman::ELMAN_ISA {

constexpr int panel_vectors = 4;
constexpr int panel_width = panel_vectors * lanes;

// How many rows a tile of V vectors may have; enough sums in flight to hide the latency of fma.
template <int V>
constexpr int max_rows = max_accumulators / (V < 2 ? 2 : V);

// sums[r][First + v] += sum over k of a[r][k] * w[k][v], for v below N.
template <int First, int N, int R, int V>
ELMAN_INLINE void accumulate(Vec (&sums)[R][V], const float* const (&a)[R], const float* w,
                             long num_k) {
  for (long k = 0; k < num_k; ++k, w += N * lanes) {
    Vec row[N];
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) row[v] = load(w + v * lanes);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const Vec factor = splat(a[r][k]);
#pragma GCC unroll 4
      for (int v = 0; v < N; ++v) sums[r][First + v] = fma(factor, row[v], sums[r][First + v]);
    }
  }
}

// sums[r][v] += sum over k of rows[k][r] * w[k][v]: the same with the left matrix transposed, its
// rows wherever they lie. Steps in w are `step` floats.
template <int R, int N>
ELMAN_INLINE void accumulate_transposed(Vec (&sums)[R][N], const float* const* rows, long column,
                                        const float* w, long step, long num_k) {
  for (long k = 0; k < num_k; ++k, w += step) {
    const float* from = rows[k] + column;
    Vec row[N];
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) row[v] = load(w + v * lanes);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const Vec factor = splat(from[r]);
#pragma GCC unroll 4
      for (int v = 0; v < N; ++v) sums[r][v] = fma(factor, row[v], sums[r][v]);
    }
  }
}

template <int Value>
struct Constant {
  static constexpr int value = Value;
};

// Call body(Constant<n>) for n from 1 to Max.
template <int Max, class Body>
ELMAN_INLINE void with_constant(int n, Body&& body) {
  if constexpr (Max > 1) {
    if (n < Max) return with_constant<Max - 1>(n, body);
  }
  body(Constant<Max>{});
}

// Call body(first, Constant<R>) for tiles of nearly equal height, at most Max, that cover n rows.
template <int Max, class Body>
ELMAN_INLINE void for_tiles(long n, Body&& body) {
  for (long tiles = (n + Max - 1) / Max, first = 0; tiles > 0; --tiles) {
    const long height = (n - first + tiles - 1) / tiles;
    with_constant<Max>((int)height, [&](auto rows) { body(first, rows); });
    first += height;
  }
}

}  // namespace elman::ELMAN_ISA
