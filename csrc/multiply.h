// Rows times packed columns, each result where it is wanted.
#pragma once

#include "packing.h"

namespace elman::ELMAN_ISA {

// A row of the left side may come in runs, as gates do: one run a panel.
struct Runs {
  long count, length, last, stride;  // `last`: the length of the last run
  static Runs one(long length) { return {1, length, length, 0}; }
};

// Where a row's results go: to = times * (row . columns) + plus.
struct Result {
  float* to;
  const float* times;  // null: 1
  const float* plus;   // null: 0; may be `to`
};

template <int R, int V>
__attribute__((noinline)) void multiply_tile(const float* const* rows, const Runs& runs,
                                             const float* columns, const Result* results, long first,
                                             int last_count) {
  Vec sums[R][V];
  const float* a[R];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    a[r] = rows[r];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) sums[r][v] = zero();
  }
  for (long i = 0; i < runs.count; ++i) {
    const long length = i + 1 < runs.count ? runs.length : runs.last;
    accumulate<0, V>(sums, a, columns, length);
    columns += length * V * lanes;
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) a[r] += runs.stride;
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    const Result& result = results[r];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const long column = first + v * lanes;
      const int count = v + 1 < V ? lanes : last_count;
      Vec value = sums[r][v];
      if (result.times != nullptr) value = value * load(result.times + column, count);
      if (result.plus != nullptr) value = value + load(result.plus + column, count);
      store(result.to + column, value, count);
    }
  }
}

// Panels [first_panel, last_panel) of the product of all rows.
inline void multiply(const float* const* rows, long num_rows, const Runs& runs,
                     const Columns& columns, long first_panel, long last_panel,
                     const Result* results) {
  for (long j = first_panel; j < last_panel; ++j) {
    with_constant<panel_vectors>(columns.vectors(j), [&](auto vectors) {
      constexpr int V = decltype(vectors)::value;
      const long column = j * columns.width;
      const int last_count = (int)lesser(lanes, columns.num_columns - column - (V - 1) * lanes);
      for_tiles<max_rows<V>>(num_rows, [&](long first, auto height) {
        multiply_tile<decltype(height)::value, V>(rows + first, runs, columns.panel(j),
                                                  results + first, column, last_count);
      });
    });
  }
}

}  // namespace elman::ELMAN_ISA
