// One step of one row, as a stream takes it: on torch's weights as they lie, since packing them
// would take longer than the step, and packed ones kept for later could be out of date.
#pragma once

#include "normalized.h"
#include "scratch.h"

namespace elman::ELMAN_ISA {

// sums[l] += products, lane by lane, of row l of the weights with one vector, for `count` rows from
// 1 to all lanes; what a row's lanes come to is the row's product.
ELMAN_INLINE void add_products(Vec (&sums)[lanes], const float* weights, long num_columns, int count,
                               const float* vector) {
  const long whole = num_columns / lanes * lanes;
  if (count == lanes) {
    for (long k = 0; k < whole; k += lanes) {
      const Vec v = load(vector + k);
#pragma GCC unroll 16
      for (int l = 0; l < lanes; ++l) {
        sums[l] = fma(load(weights + l * num_columns + k), v, sums[l]);
      }
    }
  } else {
    for (long k = 0; k < whole; k += lanes) {
      const Vec v = load(vector + k);
#pragma GCC unroll 16
      for (int l = 0; l < lanes; ++l) {
        if (l < count) sums[l] = fma(load(weights + l * num_columns + k), v, sums[l]);
      }
    }
  }
  if (whole < num_columns) {
    const int rest = (int)(num_columns - whole);
    const Vec v = load(vector + whole, rest);
#pragma GCC unroll 16
    for (int l = 0; l < lanes; ++l) {
      if (l < count) {
        sums[l] = fma(load(weights + l * num_columns + whole, rest), v, sums[l]);
      }
    }
  }
}

// A matrix of weights (rows, columns), its bias or null, and what it multiplies or null.
struct Side {
  const float* weights;
  const float* bias;
  long num_columns;
  const float* vector;
};

// What both sides add to `count` sums from a row of theirs on; either may be left out.
ELMAN_INLINE Vec sums_of(const Side& a, long a_row, const Side& b, long b_row, int count) {
  Vec sums[lanes];
#pragma GCC unroll 16
  for (int l = 0; l < lanes; ++l) sums[l] = zero();
  Vec bias = zero();
  const auto add = [&](const Side& side, long row) ELMAN_INLINE_BODY {
    if (side.vector == nullptr) return;
    add_products(sums, side.weights + row * side.num_columns, side.num_columns, count, side.vector);
    if (side.bias != nullptr) bias = bias + load(side.bias + row, count);
  };
  add(a, a_row);
  add(b, b_row);
  return sum_each(sums) + bias;
}

// All products of one side, normalised; in torch's layout.
template <class C>
void normalized_side(float* sums, const Side& side, const float* gains, long H) {
  constexpr int num_gates = C::vectors_are_units ? 1 : C::x_count;
  const Side products{side.weights, nullptr, side.num_columns, side.vector}, none{};
  for_units(num_gates * H, [&](long row, int count) {
    store(sums + row, sums_of(products, row, none, 0, count), count);
  });
  for (int gate = 0, end; gate < num_gates; gate = end) {
    for (end = gate + 1; end < num_gates && C::norm_group[end] == C::norm_group[gate];) ++end;
    const long from = gate * H, size = (end - gate) * H;
    const Moments m = moments_of(sums + from, size);
    for_units(size, [&](long at, int count) {
      const long row = from + at;
      const Vec bias = side.bias == nullptr ? zero() : load(side.bias + row, count);
      store(sums + row,
            fma(load(gains + row, count), m.normalize(load(sums + row, count)), bias), count);
    });
  }
}

template <class C>
void single_step(const Sizes& s, const Weights& w, const float* x, const float* h, const float* c,
                 float* h_new, float* c_new) {
  const bool projected = s.P != s.H;
  // New states go here first: every unit reads the old ones.
  constexpr long on_stack = 512;
  float stack[on_stack];
  constexpr int num_gates = C::vectors_are_units ? 1 : C::x_count;
  const bool normalized = is_normalized(w);
  const long num_sums = normalized ? num_gates * s.H : 0;
  const long size = s.H + (C::reset_before ? 2 * s.H + lanes : 0) + 2 * num_sums;
  const Scratch heap(size > on_stack ? size : 0);
  float* fresh = size > on_stack ? heap.data() : stack;
  float *seen = fresh + s.H, *updates = seen + s.H;  // r * h and z
  float *x_sums = fresh + s.H, *h_sums = x_sums + num_sums;

  const Side input{w.ih, w.bias_ih, s.I, x}, state{w.hh, w.bias_hh, s.P, h}, none{};
  if (normalized) {
    normalized_side<C>(x_sums, input, w.norm_ih, s.H);
    normalized_side<C>(h_sums, state, w.norm_hh, s.H);
  }
  const auto sum_at = [&](bool has_x, long x_row, bool has_h, long h_row, int count) {
    if (!normalized) return sums_of(has_x ? input : none, x_row, has_h ? state : none, h_row, count);
    return (has_x ? load(x_sums + x_row, count) : zero()) +
           (has_h ? load(h_sums + h_row, count) : zero());
  };
  for (long unit = 0; unit < s.H; unit += lanes) {
    const int count = Panels<C>::units_from(s.H, unit);
    Vec sums[C::vectors];
    if constexpr (C::vectors_are_units) {
      store(fresh + unit, C::activate(sum_at(true, unit, true, unit, count)), count);
    } else {
      for (int v = 0; v < C::vectors; ++v) {
        const int from_x = v - C::x_first, from_h = v - C::h_first;
        const bool has_x = from_x >= 0 && from_x < C::x_count;
        const bool has_h = from_h >= 0 && from_h < C::h_count;
        sums[v] = sum_at(has_x, has_x ? C::x_gate[from_x] * s.H + unit : 0, has_h,
                         has_h ? C::h_gate[from_h] * s.H + unit : 0, count);
      }
      if constexpr (C::reset_before) {
        C::gates(sums);
        store(seen + unit, sums[1] * load(h + unit, count), count);
        store(updates + unit, sums[2], count);
        store(fresh + unit, sums[0], count);
      } else {
        Vec h_old{}, c_old{}, c_now{};
        if constexpr (C::reads_h_old) h_old = load(h + unit, count);
        if constexpr (C::has_c) c_old = load(c + unit, count);
        Vec output = C::forward(sums, h_old, c_old, c_now,
                                      peepholes<C>(w.peephole, s.H, unit, count));
        // What the memory gives is known only once all of it is.
        if (C::has_c && normalized) output = sums[3];
        store(fresh + unit, output, count);
        if constexpr (C::has_c) store(c_new + unit, c_now, count);
      }
    }
  }
  if constexpr (C::has_c) {
    if (normalized) {
      const Moments m = moments_of(c_new, s.H);
      for_units(s.H, [&](long unit, int count) {
        const Vec read = read_memory(w, load(c_new + unit, count), m, unit, count);
        store(fresh + unit, load(fresh + unit, count) * tanh(read), count);
      });
    }
  }
  if constexpr (C::reset_before) {
    for (long unit = 0; unit < s.H; unit += lanes) {
      const int count = Panels<C>::units_from(s.H, unit);
      Vec sums[C::vectors], unused{};
      sums[0] = load(fresh + unit, count) +
                sums_of({w.hh, w.bias_hh, s.H, seen}, n_gate[0] * s.H + unit, none, 0, count);
      sums[2] = load(updates + unit, count);
      store(fresh + unit, C::forward(sums, load(h + unit, count), unused, unused, {}), count);
    }
  }
  if (!projected) {
    std::memcpy(h_new, fresh, sizeof(float) * (std::size_t)s.H);
    return;
  }
  for (long unit = 0; unit < s.P; unit += lanes) {
    const int count = (int)lesser(lanes, s.P - unit);
    store(h_new + unit, sums_of({w.hr, nullptr, s.H, fresh}, unit, none, 0, count), count);
  }
}

}  // namespace elman::ELMAN_ISA
