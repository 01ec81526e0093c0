// One step of one row, as a stream takes it: on torch's weights as they lie, since packing them
// would take longer than the step, and packed ones kept for later could be out of date.
#pragma once

#include "packing.h"
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
  const auto add = [&](const Side& side, long row) __attribute__((always_inline)) {
    if (side.vector == nullptr) return;
    add_products(sums, side.weights + row * side.num_columns, side.num_columns, count, side.vector);
    if (side.bias != nullptr) bias = bias + load(side.bias + row, count);
  };
  add(a, a_row);
  add(b, b_row);
  return sum_each(sums) + bias;
}

template <class C>
void single_step(const Sizes& s, const Weights& w, const float* x, const float* h, const float* c,
                 float* h_new, float* c_new) {
  const bool projected = s.P != s.H;
  // New states go here first: every unit reads the old ones.
  constexpr long on_stack = 512;
  float stack[on_stack];
  const long size = s.H + (C::reset_before ? 2 * s.H + lanes : 0);
  const Scratch heap(size > on_stack ? size : 0);
  float* fresh = size > on_stack ? heap.data() : stack;
  float *seen = fresh + s.H, *updates = seen + s.H;  // r * h and z

  const Side input{w.ih, w.bias_ih, s.I, x}, state{w.hh, w.bias_hh, s.P, h}, none{};
  for (long unit = 0; unit < s.H; unit += lanes) {
    const int count = Panels<C>::units_from(s.H, unit);
    Vec sums[C::vectors];
    if constexpr (C::vectors_are_units) {
      store(fresh + unit, C::activate(sums_of(input, unit, state, unit, count)), count);
    } else {
      for (int v = 0; v < C::vectors; ++v) {
        const int from_x = v - C::x_first, from_h = v - C::h_first;
        const bool has_x = from_x >= 0 && from_x < C::x_count;
        const bool has_h = from_h >= 0 && from_h < C::h_count;
        sums[v] = sums_of(has_x ? input : none, has_x ? C::x_gate[from_x] * s.H + unit : 0,
                          has_h ? state : none, has_h ? C::h_gate[from_h] * s.H + unit : 0, count);
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
        const Vec output = C::forward(sums, h_old, c_old, c_now,
                                      peepholes<C>(w.peephole, s.H, unit, count));
        store(fresh + unit, output, count);
        if constexpr (C::has_c) store(c_new + unit, c_now, count);
      }
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
