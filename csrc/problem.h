// What one call computes: a layer, in one direction, over a batch of sequences.
//
// Shapes: T time, B batch, I input features, H hidden units, P features of the state h (H, or
// those of the projection), G gates. All numbers are float32, the last axis contiguous. Shapes,
// types and lengths were checked in Python; what is wrong here is undefined.
#pragma once

namespace elman {

enum class CellKind { rnn_tanh, rnn_relu, gru_reset_after, gru_reset_before, lstm };

// A (T, B, features) array: row (t, b) begins at data + t * step + b * row.
struct Sequence {
  float* data = nullptr;
  long step = 0;
  long row = 0;
};

// torch's layout and gate order; without bias or projection, null.
struct Weights {
  float* ih = nullptr;       // (G H, I)
  float* hh = nullptr;       // (G H, P)
  float* bias_ih = nullptr;  // (G H)
  float* bias_hh = nullptr;  // (G H)
  float* hr = nullptr;       // (P, H)
  float* norm_ih = nullptr;  // (G H): gains of layer normalisation; of all or of none
  float* norm_hh = nullptr;  // (G H)
  float* norm_c = nullptr;   // (H), of an LSTM
  float* bias_c = nullptr;   // (H), likewise
  float* peephole = nullptr; // (3 H): what i, f and o see of an LSTM's memory
};

inline bool is_normalized(const Weights& weights) { return weights.norm_hh != nullptr; }

struct Sizes {
  CellKind cell = CellKind::lstm;
  long T = 0, B = 0, I = 0, H = 0, P = 0;
};

struct Forward {
  Sizes sizes;
  bool reverse = false;
  const long* lengths = nullptr;   // (B), null where every row is full
  const float* mask = nullptr;     // (B, P): multiplies h before the recurrent weights
  const float* zone_h = nullptr;   // (T, B, P): new h = zone * old + (1 - zone) * new
  const float* zone_c = nullptr;   // (T, B, H)
  Sequence x;                      // (T, B, I)
  Sequence y;                      // (T, B, P), zero where padding is
  const float* h0 = nullptr;       // (B, P)
  const float* c0 = nullptr;       // (B, H), of an LSTM
  float* h_last = nullptr;         // (B, P)
  float* c_last = nullptr;         // (B, H)
  Weights weights;
  bool recompute = false;          // keep no gates for the backward pass
  float* kept = nullptr;           // what the backward pass reads; null: there will be none
};

// The gradients wanted; null where one is not, or, of y and the last state, where there is none.
struct Backward {
  Sequence d_y;
  const float* d_h_last = nullptr;
  const float* d_c_last = nullptr;
  Sequence d_x;                    // zero where padding is
  float* d_h0 = nullptr;           // never null
  float* d_c0 = nullptr;           // never null for an LSTM
  Weights d_weights;
};

// The engine, compiled for one instruction set.
struct Kernels {
  const char* isa;
  // How many floats `kept` takes for that many real steps of all rows together.
  long (*kept_size)(const Forward&, long num_real_steps);
  void (*forward)(const Forward&, int num_threads);
  void (*backward)(const Forward&, const Backward&, int num_threads);
  // One step of one row, on the weights as they are; h_new may be h, and c_new may be c.
  void (*step)(const Sizes&, const Weights&, const float* x, const float* h, const float* c,
               float* h_new, float* c_new);
  void (*exp)(const float*, float*, long);
  void (*tanh)(const float*, float*, long);
  void (*sigmoid)(const float*, float*, long);
};

}  // namespace elman
