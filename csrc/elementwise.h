// What one call of a recurrence computes whose units do not see each other: a cell's state from its
// sums, which are products with the input alone and were taken before.
//
// Shapes: T time, B batch, H units, G sums a unit, P numbers of a unit's state (the features of the
// state are P H: all first numbers, then all second ones), W weights a unit. All is float32 and
// dense, but for sequences, whose last axis is. It was checked in bindings.cpp.
#pragma once

#include "problem.h"

namespace elman {

enum class ElementwiseKind { mingru, minlstm, indrnn_tanh, indrnn_relu, lru };

// How many sums, numbers of state and weights a unit has.
struct ElementwiseCounts {
  long sums, parts, weights;
};
constexpr ElementwiseCounts elementwise_counts[] = {
    {2, 1, 0}, {3, 1, 0}, {1, 1, 1}, {1, 1, 1}, {2, 2, 2}};

struct ElementwiseForward {
  ElementwiseKind kind = ElementwiseKind::mingru;
  long T = 0, B = 0, H = 0;
  bool reverse = false;
  const long* lengths = nullptr;   // (B), null where every row is full
  Sequence sums;                   // (T, B, G H): those of a unit H apart
  const float* weights = nullptr;  // (W, H)
  const float* zone = nullptr;     // (T, B, P H): new h = zone * old + (1 - zone) * new
  const float* h0 = nullptr;       // (B, P H)
  Sequence h;                      // (T, B, P H): every state, zero where padding is
  float* h_last = nullptr;         // (B, P H)
};

struct ElementwiseBackward {
  Sequence d_h;                      // null where there is none
  const float* d_h_last = nullptr;   // null where there is none
  Sequence d_sums;                   // zero where padding is
  float* d_h0 = nullptr;             // (B, P H)
  float* d_weights = nullptr;        // (B, W, H): the rows' own, to be summed; null if not wanted
};

// The passes, compiled for one instruction set.
struct ElementwiseKernels {
  void (*forward)(const ElementwiseForward&, int num_threads);
  void (*backward)(const ElementwiseForward&, const ElementwiseBackward&, int num_threads);
};

}  // namespace elman
