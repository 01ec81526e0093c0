// The recurrences, one vector of hidden units at a time: gates from sums, and gradients from
// gates. The equations stand in src/elman/cells, and the derivatives follow from them.
//
// A cell's sums lie in vectors side by side, in an order of its own, so that those that read the
// input and those that read the state each make a run: [x_first, x_first + x_count) and likewise
// h. `x_gate` and `h_gate` say whose rows of torch's weights those are.
#pragma once

#include "math.h"

namespace elman::ELMAN_ISA {

// What an LSTM's gates see of its memory, beside their sums (Gers and Schmidhuber, 2000).
struct Peepholes {
  Vec i{}, f{}, o{};
};

template <bool SeesMemory>
struct Lstm {
  static constexpr int vectors = 4, units = 1;  // i f g o; vectors of units in a panel
  static constexpr int x_first = 0, x_count = 4, h_first = 0, h_count = 4;
  static constexpr int x_gate[] = {0, 1, 2, 3}, h_gate[] = {0, 1, 2, 3};
  static constexpr bool has_c = true, reset_before = false, reads_h_old = false,
                        vectors_are_units = false, sees_memory = SeesMemory;
  // Of each gate, with which others its sums are normalised.
  static constexpr int norm_group[] = {0, 0, 0, 0}, norm_groups = 1;

  // Sums become the gates; returns the new memory.
  static ELMAN_INLINE Vec gates(Vec (&s)[4], Vec c_old, const Peepholes& see) {
    if constexpr (SeesMemory) {
      s[0] = fma(see.i, c_old, s[0]);
      s[1] = fma(see.f, c_old, s[1]);
    }
    s[0] = sigmoid(s[0]);
    s[1] = sigmoid(s[1]);
    s[2] = tanh(s[2]);
    const Vec c = fma(s[1], c_old, s[0] * s[2]);
    if constexpr (SeesMemory) s[3] = fma(see.o, c, s[3]);
    s[3] = sigmoid(s[3]);
    return c;
  }

  // Likewise; returns the output, before any projection.
  static ELMAN_INLINE Vec forward(Vec (&s)[4], Vec /*h_old*/, Vec c_old, Vec& c,
                                  const Peepholes& see) {
    c = gates(s, c_old, see);
    return s[3] * tanh(c);
  }

  // The output's gradient d_h, where it is the gate s[3] times t: becomes that of the gate's sum.
  static ELMAN_INLINE void output_backward(Vec (&s)[4], Vec d_h, Vec t) {
    s[3] = d_h * t * s[3] * (1.0f - s[3]);
  }

  // With s[3] so: the other gates become the gradients of their sums, d_c that of the old memory.
  static ELMAN_INLINE void memory_backward(Vec (&s)[4], Vec c_old, Vec& d_c,
                                           const Peepholes& see) {
    const Vec i = s[0], f = s[1], g = s[2];
    if constexpr (SeesMemory) d_c = fma(see.o, s[3], d_c);
    s[0] = d_c * g * i * (1.0f - i);
    s[1] = d_c * c_old * f * (1.0f - f);
    s[2] = d_c * i * (1.0f - g * g);
    d_c = d_c * f;
    if constexpr (SeesMemory) d_c = fma(see.i, s[0], fma(see.f, s[1], d_c));
  }

  // Gates become the gradients of the sums, d_c that of the old c; returns d_h's direct way back.
  static ELMAN_INLINE Vec backward(Vec (&s)[4], Vec d_h, Vec /*h_old*/, Vec c_old, Vec& d_c,
                                   const Peepholes& see, Vec& c) {
    c = fma(s[1], c_old, s[0] * s[2]);
    const Vec t = tanh(c);
    d_c = fma(d_h * s[3], 1.0f - t * t, d_c);
    output_backward(s, d_h, t);
    memory_backward(s, c_old, d_c, see);
    return zero();
  }
};

struct Gru {
  static constexpr int vectors = 4, units = 1;  // n from the input, r, z, n from the state
  static constexpr int x_first = 0, x_count = 3, h_first = 1, h_count = 3;
  static constexpr int x_gate[] = {2, 0, 1}, h_gate[] = {0, 1, 2};
  static constexpr bool has_c = false, reset_before = false, reads_h_old = true,
                        vectors_are_units = false, sees_memory = false;
  static constexpr int norm_group[] = {0, 0, 1}, norm_groups = 2;

  static ELMAN_INLINE Vec forward(Vec (&s)[4], Vec h_old, Vec /*c_old*/, Vec& /*c*/,
                                  const Peepholes& /*see*/) {
    s[1] = sigmoid(s[1]);
    s[2] = sigmoid(s[2]);
    s[0] = tanh(fma(s[1], s[3], s[0]));
    return fma(s[2], h_old - s[0], s[0]);
  }

  static ELMAN_INLINE Vec backward(Vec (&s)[4], Vec d_h, Vec h_old, Vec /*c_old*/, Vec& /*d_c*/,
                                   const Peepholes& /*see*/, Vec& /*c*/) {
    const Vec n = s[0], r = s[1], z = s[2], n_h = s[3];
    const Vec d_n = d_h * (1.0f - z) * (1.0f - n * n);
    s[0] = d_n;
    s[1] = d_n * n_h * r * (1.0f - r);
    s[2] = d_h * (h_old - n) * z * (1.0f - z);
    s[3] = d_n * r;
    return d_h * z;
  }
};

// The reset gate acts before the product: n's sum is complete only after r of every unit is known.
struct GruResetBefore {
  static constexpr int vectors = 3, units = 1;  // n, r, z
  static constexpr int x_first = 0, x_count = 3, h_first = 1, h_count = 2;
  static constexpr int x_gate[] = {2, 0, 1}, h_gate[] = {0, 1};
  static constexpr bool has_c = false, reset_before = true, reads_h_old = true,
                        vectors_are_units = false, sees_memory = false;
  static constexpr int norm_group[] = {0, 0, 1}, norm_groups = 2;

  // First r and z, and then, with its sum complete, n.
  static ELMAN_INLINE void gates(Vec (&s)[3]) {
    s[1] = sigmoid(s[1]);
    s[2] = sigmoid(s[2]);
  }
  static ELMAN_INLINE Vec forward(Vec (&s)[3], Vec h_old, Vec /*c_old*/, Vec& /*c*/,
                                  const Peepholes& /*see*/) {
    s[0] = tanh(s[0]);
    return fma(s[2], h_old - s[0], s[0]);
  }

  // The gradients of the sums of n and z; r is left until that of r * h is known.
  static ELMAN_INLINE Vec backward(Vec (&s)[3], Vec d_h, Vec h_old, Vec /*c_old*/, Vec& /*d_c*/,
                                   const Peepholes& /*see*/, Vec& /*c*/) {
    const Vec n = s[0], z = s[2];
    s[0] = d_h * (1.0f - z) * (1.0f - n * n);
    s[2] = d_h * (h_old - n) * z * (1.0f - z);
    return d_h * z;
  }
};

template <bool Relu, int Vectors = 4>
struct Rnn {
  template <int Fewer>
  using Narrow = Rnn<Relu, Fewer>;
  static constexpr int vectors = Vectors, units = Vectors;
  static constexpr int x_first = 0, x_count = Vectors, h_first = 0, h_count = Vectors;
  static constexpr int x_gate[] = {0, 0, 0, 0}, h_gate[] = {0, 0, 0, 0};
  static constexpr bool has_c = false, reset_before = false, reads_h_old = false,
                        vectors_are_units = true, sees_memory = false;
  static constexpr int norm_group[] = {0}, norm_groups = 1;

  // Where a sum is NaN, so is the unit: a comparison would hide it.
  static ELMAN_INLINE Vec activate(Vec s) { return Relu ? larger(zero(), s) : tanh(s); }
  static ELMAN_INLINE Vec slope(Vec h) {
    return Relu ? choose(h > 0.0f, splat(1.0f), zero()) : 1.0f - h * h;
  }
};

}  // namespace elman::ELMAN_ISA
