// Layer normalisation inside the recurrence (Ba, Kiros and Hinton, 2016): the arithmetic of one
// row, forward and backward. The equations stand in src/elman/cells/gated.py.
//
// The sums of the input, and those of the state, lie side by side for each row, panel after panel,
// as they come from their product: without gains, biases, or anything else added. Gains and biases
// are read as they lie in torch's layout.
#pragma once

#include "packing.h"

namespace elman::ELMAN_ISA {

constexpr float norm_epsilon = 1e-5f;

ELMAN_INLINE float inverse_root(float variance) {
  return 1.0f / __builtin_sqrtf(variance + norm_epsilon);
}

// Of numbers that are normalised together; scale is 1 / sqrt(variance + epsilon).
struct Moments {
  float mean, scale;
  ELMAN_INLINE Vec normalize(Vec v) const { return (v - mean) * scale; }
};

// What the backward pass needs of a row at a step. A GRU's n is normalised apart from r and z.
template <class C>
struct RowMoments {
  Moments x[C::norm_groups], h[C::norm_groups], c;
  static constexpr long floats = (4 * C::norm_groups + 2);
};

// One of the two matrices' sums: where they lie among a cell's vectors, and what belongs to them.
struct NormSide {
  int first;
  const int* gate;
  const float* gains;  // (G H)
  const float* bias;   // (G H), or null
};
template <class C>
NormSide input_side(const Weights& w) {
  return {C::x_first, C::x_gate, w.norm_ih, w.bias_ih};
}
template <class C>
NormSide state_side(const Weights& w) {
  return {C::h_first, C::h_gate, w.norm_hh, w.bias_hh};
}

// How many floats the sums of one row take, of either matrix.
template <class C>
long sums_row(long H) {
  static_assert(C::reset_before || C::x_count == C::h_count);
  return window_rows<C>(x_window<C>(), H);
}

// How many a memory takes where it lies by whole vectors.
inline long memory_row(long H) { return divide_up(H, lanes) * lanes; }

// How many panels have all their units, so that no load and no store of theirs needs a mask.
template <class C>
ELMAN_INLINE long whole_panels(long H) {
  return H / Panels<C>::panel_units;
}
template <class C, bool Whole>
ELMAN_INLINE int units_in(long H, long unit) {
  return Whole ? lanes : Panels<C>::units_from(H, unit);
}

// Call body(Cell, Constant<whether whole>) for panel p; as `with_panel`.
template <class C, class Body>
ELMAN_INLINE void with_units(long H, long p, Body&& body) {
  if (p < whole_panels<C>(H)) return body(C{}, Constant<true>{});
  with_panel<C>(H, p, [&](auto cell) ELMAN_INLINE_BODY {
    body(cell, Constant<false>{});
  });
}

// Call body(unit, count) for each vector of a memory.
template <class Body>
ELMAN_INLINE void for_units(long H, Body&& body) {
  const long whole = H / lanes * lanes;
  for (long unit = 0; unit < whole; unit += lanes) body(unit, lanes);
  if (whole < H) body(whole, (int)(H - whole));
}

// Call body(p, v, unit, count) for each vector of the panels: its first unit, and how many exist.
template <class C, class Body>
ELMAN_INLINE void for_vectors(long H, long p_first, long p_last, Body&& body) {
  const long whole = lesser(p_last, whole_panels<C>(H));
  for (; p_first < whole; ++p_first) {
#pragma GCC unroll 4
    for (int v = 0; v < C::x_count; ++v) {
      body(p_first, v, Panels<C>::first_unit(p_first, v), lanes);
    }
  }
  for (long p = p_first; p < p_last; ++p) {
#pragma GCC unroll 4
    for (int v = 0; v < C::x_count; ++v) {
      const long unit = Panels<C>::first_unit(p, v);
      if (C::vectors_are_units && unit >= H) break;
      body(p, v, unit, Panels<C>::units_from(H, unit));
    }
  }
}

// Sums over each group, from those of each vector of a panel; divided by how many there are.
template <class C>
ELMAN_INLINE void group_means(const Vec (&each)[C::x_count], const int* gate, long H,
                              float (&means)[C::norm_groups]) {
  Vec total[C::norm_groups]{};
  int gates[C::norm_groups]{};
#pragma GCC unroll 4
  for (int v = 0; v < C::x_count; ++v) {
    const int group = C::norm_group[gate[v]];
    total[group] = total[group] + each[v];
    gates[group] += C::vectors_are_units && v > 0 ? 0 : 1;
  }
  for (int g = 0; g < C::norm_groups; ++g) means[g] = sum(total[g]) / (float)(gates[g] * H);
}

template <class C>
__attribute__((noinline)) void find_moments(const float* sums, const int* gate, long H,
                                            Moments (&to)[C::norm_groups]) {
  constexpr int V = C::x_count;
  float means[C::norm_groups];
  Vec each[V]{}, squares[V]{};
  for_vectors<C>(H, 0, Panels<C>::count(H), [&](long p, int v, long, int count) ELMAN_INLINE_BODY {
    each[v] = each[v] + first_lanes(load(sums + (p * V + v) * lanes), count);
  });
  group_means<C>(each, gate, H, means);
  for (int g = 0; g < C::norm_groups; ++g) to[g].mean = means[g];
  for_vectors<C>(H, 0, Panels<C>::count(H), [&](long p, int v, long, int count) ELMAN_INLINE_BODY {
    const Vec mean = splat(to[C::norm_group[gate[v]]].mean);
    const Vec d = first_lanes(load(sums + (p * V + v) * lanes) - mean, count);
    squares[v] = fma(d, d, squares[v]);
  });
  group_means<C>(squares, gate, H, means);
  for (int g = 0; g < C::norm_groups; ++g) to[g].scale = inverse_root(means[g]);
}

// Of numbers that lie side by side.
inline Moments moments_of(const float* c, long H) {
  Vec total = zero(), squares = zero();
  for_units(H, [&](long unit, int count) ELMAN_INLINE_BODY {
    total = total + load(c + unit, count);
  });
  const float mean = sum(total) / (float)H;
  for_units(H, [&](long unit, int count) ELMAN_INLINE_BODY {
    const Vec d = first_lanes(load(c + unit, count) - mean, count);
    squares = fma(d, d, squares);
  });
  return {mean, inverse_root(sum(squares) / (float)H)};
}

// A cell's sums in panel p, from both matrices' of that row.
template <class C, class Cell, bool Whole>
ELMAN_INLINE void normalized_sums(Vec (&s)[Cell::vectors], const Weights& w, long H, long p,
                                  const float* x_sums, const float* h_sums,
                                  const RowMoments<C>& m) {
#pragma GCC unroll 4
  for (int v = 0; v < Cell::vectors; ++v) s[v] = zero();
  const auto add = [&](const NormSide& side, const float* sums, const Moments* moments)
                       ELMAN_INLINE_BODY {
#pragma GCC unroll 4
    for (int v = 0; v < Cell::x_count; ++v) {
      const long unit = Panels<C>::first_unit(p, v), at = side.gate[v] * H + unit;
      const int count = units_in<C, Whole>(H, unit);
      const Moments& of = moments[C::norm_group[side.gate[v]]];
      Vec& to = s[side.first + v];
      if (side.bias != nullptr) to = to + load(side.bias + at, count);
      const Vec n = of.normalize(load(sums + (p * C::x_count + v) * lanes));
      to = fma(load(side.gains + at, count), n, to);
    }
  };
  add(input_side<C>(w), x_sums, m.x);
  add(state_side<C>(w), h_sums, m.h);
}

// What the output reads of the memory.
ELMAN_INLINE Vec read_memory(const Weights& w, Vec c, const Moments& m, long unit, int count) {
  const Vec bias = w.bias_c == nullptr ? zero() : load(w.bias_c + unit, count);
  return fma(load(w.norm_c + unit, count), m.normalize(c), bias);
}

// From the gradient d of what a gain made of normalised numbers n: scale * (gd - mean of gd - n *
// mean of gd n), where gd is gain * d.
struct GradientMeans {
  float d, d_n;
  ELMAN_INLINE Vec of(Vec gd, Vec n, const Moments& m) const {
    return m.scale * (gd - d - n * d_n);
  }
};

inline GradientMeans memory_gradient_means(const Weights& w, const float* d_read, const float* c,
                                           const Moments& m, long H) {
  Vec total = zero(), along = zero();
  for_units(H, [&](long unit, int count) ELMAN_INLINE_BODY {
    const Vec gd = load(w.norm_c + unit, count) * load(d_read + unit, count);
    total = total + gd;
    along = fma(gd, m.normalize(load(c + unit, count)), along);
  });
  return {sum(total) / (float)H, sum(along) / (float)H};
}

// The gradients of one matrix's sums in panels [p_first, p_last), from those of the cell's sums of
// all panels; panel p of both begins at p * step. They may be the same memory.
template <class C>
__attribute__((noinline)) void sums_gradient(const NormSide& side, const float* d_sums, long step,
                                             const float* sums, const Moments* moments, long H,
                                             long p_first, long p_last, float* to) {
  constexpr int V = C::x_count;
  Vec total[V]{}, along[V]{};
  const auto at = [&](long p, int v, long unit, int count, Vec& n) ELMAN_INLINE_BODY {
    n = moments[C::norm_group[side.gate[v]]].normalize(load(sums + (p * V + v) * lanes));
    return load(side.gains + side.gate[v] * H + unit, count) *
           load(d_sums + p * step + (side.first + v) * lanes);
  };
  for_vectors<C>(H, 0, Panels<C>::count(H), [&](long p, int v, long unit,
                                                int count) ELMAN_INLINE_BODY {
    Vec n;
    const Vec gd = at(p, v, unit, count, n);
    total[v] = total[v] + gd;
    along[v] = fma(gd, n, along[v]);
  });
  float means[C::norm_groups], means_n[C::norm_groups];
  group_means<C>(total, side.gate, H, means);
  group_means<C>(along, side.gate, H, means_n);
  for_vectors<C>(H, p_first, p_last, [&](long p, int v, long unit,
                                         int count) ELMAN_INLINE_BODY {
    Vec n;
    const Vec gd = at(p, v, unit, count, n);
    const int group = C::norm_group[side.gate[v]];
    const GradientMeans mean{means[group], means_n[group]};
    store(to + p * step + (side.first + v) * lanes,
          first_lanes(mean.of(gd, n, moments[group]), count));
  });
}

}  // namespace elman::ELMAN_ISA
