// Weights rearranged from torch's layout into the panels that the products read, and back.
#pragma once

#include "cells.h"
#include "problem.h"
#include "product.h"

namespace elman::ELMAN_ISA {

ELMAN_INLINE long divide_up(long a, long b) { return (a + b - 1) / b; }
ELMAN_INLINE long lesser(long a, long b) { return a < b ? a : b; }
ELMAN_INLINE long greater(long a, long b) { return a > b ? a : b; }

// How a cell's hidden units are cut into panels.
template <class C>
struct Panels {
  static constexpr int width = C::vectors * lanes;  // floats of gates a row has in a panel
  static constexpr long panel_units = C::units * lanes;

  static long count(long H) { return divide_up(H, panel_units); }
  // Vectors in panel p: fewer only in the last of a cell whose vectors are units.
  static int vectors(long H, long p) {
    return !C::vectors_are_units ? C::vectors
                         : (int)lesser(C::vectors, divide_up(H - p * panel_units, lanes));
  }
  static long first_unit(long p, int v) { return p * panel_units + (!C::vectors_are_units ? 0 : v * lanes); }
  // Of the `lanes` units from `unit` on, those that exist.
  static int units_from(long H, long unit) { return (int)lesser(lanes, H - unit); }
};

// Call body(Cell) with the cell as it is in panel p: in a plain RNN's last, of fewer vectors.
template <class C, class Body>
ELMAN_INLINE void with_panel(long H, long p, Body&& body) {
  if constexpr (!C::vectors_are_units) {
    body(C{});
  } else {
    with_constant<C::vectors>(Panels<C>::vectors(H, p), [&](auto vectors) {
      body(typename C::template Narrow<decltype(vectors)::value>{});
    });
  }
}

// dst[k][l] = src[l][k] for l < count, else 0: rows of torch's weights become columns of a panel.
inline void transpose_in(float* dst, long dst_step, const float* src, long src_step, int count,
                         long num_k) {
  const long whole = num_k / lanes * lanes;
  for (long k = 0; k < whole; k += lanes) {
    Vec v[lanes];
#pragma GCC unroll 16
    for (int l = 0; l < lanes; ++l) v[l] = l < count ? load(src + l * src_step + k) : zero();
    transpose(v);
#pragma GCC unroll 16
    for (int l = 0; l < lanes; ++l) store(dst + (k + l) * dst_step, v[l]);
  }
  for (int l = 0; l < lanes; ++l) {
    for (long k = whole; k < num_k; ++k) {
      dst[k * dst_step + l] = l < count ? src[l * src_step + k] : 0.0f;
    }
  }
}

// dst[l][k] = src[k][l] for l < count: the way back.
inline void transpose_out(float* dst, long dst_step, const float* src, long src_step, int count,
                          long num_k) {
  const long whole = num_k / lanes * lanes;
  for (long k = 0; k < whole; k += lanes) {
    Vec v[lanes];
#pragma GCC unroll 16
    for (int l = 0; l < lanes; ++l) v[l] = load(src + (k + l) * src_step);
    transpose(v);
#pragma GCC unroll 16
    for (int l = 0; l < lanes; ++l) {
      if (l < count) store(dst + l * dst_step + k, v[l]);
    }
  }
  for (int l = 0; l < count; ++l) {
    for (long k = whole; k < num_k; ++k) dst[l * dst_step + k] = src[k * src_step + l];
  }
}

// Which of a panel's vectors one matrix of weights feeds, and their gates among torch's rows.
struct Window {
  int first, count;
  const int* gate;
};

template <class C>
Window x_window() {
  return {C::x_first, C::x_count, C::x_gate};
}
template <class C>
Window h_window() {
  return {C::h_first, C::h_count, C::h_gate};
}
// Of the GRU that resets before the product: n, from r * h.
inline constexpr int n_gate[] = {2};
inline Window n_window() { return {0, 1, n_gate}; }

// Vectors of the window in panel p; only a cell whose vectors are units has panels of fewer.
template <class C>
int window_count(Window window, long H, long p) {
  return !C::vectors_are_units ? window.count : Panels<C>::vectors(H, p);
}
template <class C>
long window_rows(Window window, long H) {  // rows of all panels together, with those of no unit
  const long last = Panels<C>::count(H) - 1;
  return (last * window.count + window_count<C>(window, H, last)) * lanes;
}

// Weights (G H, K) for products that give sums: panel p begins at p * K * window.count * lanes.
template <class C>
void pack_forward(float* dst, Window window, const float* weights, long H, long K, long first,
                  long last) {
  for (long p = first; p < last; ++p) {
    const int count = window_count<C>(window, H, p);
    float* panel = dst + p * K * window.count * lanes;
    for (int v = 0; v < count; ++v) {
      const long unit = Panels<C>::first_unit(p, window.first + v);
      transpose_in(panel + v * lanes, count * lanes, weights + (window.gate[v] * H + unit) * K, K,
                   Panels<C>::units_from(H, unit), K);
    }
  }
}

// Gradients as `pack_forward` lays out weights, back into torch's layout.
template <class C>
void unpack_forward(float* weights, Window window, const float* src, long H, long K, long first,
                    long last) {
  for (long p = first; p < last; ++p) {
    const int count = window_count<C>(window, H, p);
    const float* panel = src + p * K * window.count * lanes;
    for (int v = 0; v < count; ++v) {
      const long unit = Panels<C>::first_unit(p, window.first + v);
      transpose_out(weights + (window.gate[v] * H + unit) * K, K, panel + v * lanes, count * lanes,
                    Panels<C>::units_from(H, unit), K);
    }
  }
}

// The right side of a product with N columns, in panels of columns.
struct Columns {
  const float* data;
  long num_k, num_columns;
  long width = panel_width;  // of a panel; at most that
  int vectors(long j) const {
    return (int)lesser(width / lanes, divide_up(num_columns - j * width, lanes));
  }
  long num_panels() const { return divide_up(num_columns, width); }
  const float* panel(long j) const { return data + j * num_k * width; }
  static long size(long num_k, long num_columns) {
    return num_k * divide_up(num_columns, lanes) * lanes;
  }
};

// One row of the right side: row k of every panel.
inline void pack_row(float* dst, const Columns& shape, long k, const float* src) {
  for (long j = 0; j < shape.num_panels(); ++j) {
    const long width = shape.vectors(j) * lanes, from = j * panel_width;
    const long count = src == nullptr ? 0 : lesser(width, shape.num_columns - from);
    float* to = dst + j * shape.num_k * panel_width + k * width;
    if (count > 0) std::memcpy(to, src + from, sizeof(float) * (std::size_t)count);
    for (long c = count; c < width; ++c) to[c] = 0.0f;
  }
}

// Weights (G H, N) for products with gradients of sums, in the order in which those lie; of panels
// [first, last).
template <class C>
void pack_backward(float* dst, Window window, const float* weights, long H, long N, long first,
                   long last) {
  const Columns shape{dst, window_rows<C>(window, H), N};
  long k = first * window.count * lanes;
  for (long p = first; p < last; ++p) {
    for (int v = 0; v < window_count<C>(window, H, p); ++v) {
      const long unit = Panels<C>::first_unit(p, window.first + v);
      for (int l = 0; l < lanes; ++l, ++k) {
        const float* row = weights + (window.gate[v] * H + unit + l) * N;
        pack_row(dst, shape, k, unit + l < H ? row : nullptr);
      }
    }
  }
}

// Weights (K, N) as they are, and weights (N, K) turned round.
inline void pack_plain(float* dst, const float* weights, long K, long N) {
  const Columns shape{dst, K, N};
  for (long k = 0; k < K; ++k) pack_row(dst, shape, k, weights + k * N);
}
inline void pack_turned(float* dst, const float* weights, long K, long N) {
  const Columns shape{dst, K, N};
  for (long j = 0; j < shape.num_panels(); ++j) {
    const int vectors = shape.vectors(j);
    for (int v = 0; v < vectors; ++v) {
      const long column = j * panel_width + v * lanes;
      transpose_in(dst + j * K * panel_width + v * lanes, vectors * lanes, weights + column * K, K,
                   (int)lesser(lanes, N - column), K);
    }
  }
}

// What `pack_forward` made, as the right side of a product that gives its sums and no more.
template <class C>
Columns sums_columns(const float* packed, Window window, long H, long K) {
  return {packed, K, window_rows<C>(window, H), window.count * lanes};
}

// Of an LSTM's peepholes (3 H), those of one vector of units.
template <class C>
ELMAN_INLINE Peepholes peepholes(const float* weights, long H, long unit, int count) {
  if constexpr (!C::sees_memory) return {};
  return {load(weights + unit, count), load(weights + H + unit, count),
          load(weights + 2 * H + unit, count)};
}

// A layer's weights for the forward pass, in one block.
template <class C>
struct Packed {
  float *x, *h, *inner, *bias, *hr;
  long P, H;

  static long size(const Sizes& s) { return Packed(s, nullptr).end_; }

  Packed(const Sizes& s, float* block) : P(s.P), H(s.H) {
    const long panels = Panels<C>::count(s.H);
    const auto take = [&](long floats) {
      float* here = block == nullptr ? nullptr : block + end_;
      end_ += floats;
      return here;
    };
    x = take(panels * s.I * C::x_count * lanes);
    h = take(panels * s.P * C::h_count * lanes);
    inner = take(C::reset_before ? panels * s.H * lanes : 0);
    bias = take(panels * C::vectors * lanes);
    hr = take(s.P != s.H ? Columns::size(s.H, s.P) : 0);
  }

  Columns projection() const { return {hr, H, P}; }

  // One member's share of it, of a team of that size.
  void fill(const Sizes& s, const Weights& weights, int size, int rank) {
    const long panels = Panels<C>::count(s.H);
    const long first = panels * rank / size, last = panels * (rank + 1) / size;
    pack_forward<C>(x, x_window<C>(), weights.ih, s.H, s.I, first, last);
    pack_forward<C>(h, h_window<C>(), weights.hh, s.H, s.P, first, last);
    if constexpr (C::reset_before) {
      pack_forward<C>(inner, n_window(), weights.hh, s.H, s.H, first, last);
    }
    if (rank != 0) return;
    if (s.P != s.H) pack_turned(hr, weights.hr, s.H, s.P);
    fill_bias(s, weights);
  }

 private:
  // The two biases meet in each sum that both matrices feed.
  void fill_bias(const Sizes& s, const Weights& weights) {
    const long panels = Panels<C>::count(s.H);
    for (long n = 0; n < panels * C::vectors * lanes; ++n) bias[n] = 0.0f;
    if (weights.bias_ih == nullptr) return;
    const auto add = [&](Window window, const float* values) {
      for (long p = 0; p < panels; ++p) {
        for (int v = 0; v < window_count<C>(window, s.H, p); ++v) {
          const long unit = Panels<C>::first_unit(p, window.first + v);
          float* to = bias + (p * C::vectors + window.first + v) * lanes;
          const float* from = values + window.gate[v] * s.H + unit;
          for (int l = 0; l < Panels<C>::units_from(s.H, unit); ++l) to[l] += from[l];
        }
      }
    };
    add(x_window<C>(), weights.bias_ih);
    add(h_window<C>(), weights.bias_hh);
    if constexpr (C::reset_before) add(n_window(), weights.bias_hh);
  }

  long end_ = 0;
};

}  // namespace elman::ELMAN_ISA
