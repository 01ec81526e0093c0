// The engine for one instruction set: this file is compiled once for each, with ELMAN_ISA its name
// and the compiler's flags to match, and makes one table.
#include "backward.h"

namespace elman::ELMAN_ISA {

namespace {

template <class Body>
void with_cell(CellKind kind, Body&& body) {
  switch (kind) {
    case CellKind::rnn_tanh: return body(Rnn<false>{});
    case CellKind::rnn_relu: return body(Rnn<true>{});
    case CellKind::gru_reset_after: return body(Gru{});
    case CellKind::gru_reset_before: return body(GruResetBefore{});
    case CellKind::lstm: return body(Lstm{});
  }
}

long kept_size(const Forward& q, long num_real_steps) {
  long size = 0;
  with_cell(q.sizes.cell, [&](auto cell) {
    size = Kept<decltype(cell)>(q, num_real_steps, nullptr).size();
  });
  return size;
}

void forward(const Forward& q, int num_threads) {
  with_cell(q.sizes.cell, [&](auto cell) {
    using C = decltype(cell);
    const Plan plan(q.sizes.T, q.sizes.B, q.lengths);
    const Scratch weights(Packed<C>::size(q.sizes));
    Packed<C> packed(q.sizes, weights.data());
    packed.fill(q.sizes, q.weights);
    const bool keep = q.kept != nullptr;
    Kept<C> kept;
    if (keep) kept = Kept<C>(q, plan.num_slots(), q.kept);
    Kept<C> lent = kept;
    lent.lend(q, plan.num_slots(), keep, nullptr);
    const Scratch memory(lent.size());
    kept.lend(q, plan.num_slots(), keep, memory.data());
    ForwardPass<C>(q, plan, packed, kept).run(num_threads, keep);
  });
}

void backward(const Forward& q, const Backward& g, int num_threads) {
  with_cell(q.sizes.cell, [&](auto cell) {
    using C = decltype(cell);
    const Plan plan(q.sizes.T, q.sizes.B, q.lengths);
    const Kept<C> kept(q, plan.num_slots(), q.kept);
    BackwardPass<C> pass(q, g, plan, kept);
    const bool needs_gates = !C::vectors_are_units || q.zone_h != nullptr;
    if (!q.recompute || !needs_gates) return pass.run(num_threads, nullptr);
    const Scratch weights(Packed<C>::size(q.sizes));
    Packed<C> packed(q.sizes, weights.data());
    packed.fill(q.sizes, q.weights);
    const ForwardPass<C> again(q, plan, packed, kept);
    pass.run(num_threads, &again);
  });
}

long packed_size(const Sizes& s) {
  long size = 0;
  with_cell(s.cell, [&](auto cell) { size = Packed<decltype(cell)>::size(s); });
  return size;
}

void pack(const Sizes& s, const Weights& weights, float* block) {
  with_cell(s.cell, [&](auto cell) { Packed<decltype(cell)>(s, block).fill(s, weights); });
}

void step(const Sizes& s, const float* block, const float* x, const float* h, const float* c,
          float* h_new, float* c_new) {
  with_cell(s.cell, [&](auto cell) {
    using C = decltype(cell);
    constexpr long rows_at_once = 24;
    const Packed<C> packed(s, const_cast<float*>(block));
    const long gate_row = Panels<C>::count(s.H) * Panels<C>::width;
    const bool halves = C::reset_before || s.P != s.H;
    const Scratch memory(halves ? rows_at_once * (gate_row + s.H) : 0);
    const Step<C> step(s, packed, rows_at_once);
    const Part part = Sharing::rows<C>(s, 0, s.B);
    Row rows[rows_at_once];
    for (long first = 0; first < s.B; first += rows_at_once) {
      const long n = lesser(rows_at_once, s.B - first);
      for (long i = 0; i < n; ++i) {
        const long b = first + i;
        Row row{};
        row.x = x + b * s.I;
        row.h = row.h_old = h + b * s.P;
        row.y = h_new + b * s.P;
        if constexpr (C::has_c) {
          row.c_old = c + b * s.H;
          row.c = c_new + b * s.H;
        }
        if (halves) {
          row.inner = memory.data() + rows_at_once * gate_row + i * s.H;
          if (C::reset_before) row.gates = memory.data() + i * Panels<C>::width;
        }
        rows[i] = row;
      }
      step.first_half(rows, n, part, {});
      if (halves) step.second_half(rows, n, part);
    }
  });
}

template <Vec (*F)(Vec)>
void map(const float* from, float* to, long n) {
  for (long i = 0; i < n; i += lanes) {
    const int count = (int)lesser(lanes, n - i);
    store(to + i, F(load(from + i, count)), count);
  }
}

Vec exp_of(Vec x) { return exp(x); }
Vec tanh_of(Vec x) { return tanh(x); }
Vec sigmoid_of(Vec x) { return sigmoid(x); }

}  // namespace

#define ELMAN_STRING_OF(name) #name
#define ELMAN_STRING(name) ELMAN_STRING_OF(name)

extern const Kernels kernels;
const Kernels kernels = {
    ELMAN_STRING(ELMAN_ISA), kept_size, forward, backward,        packed_size,
    pack,                    step,      map<exp_of>, map<tanh_of>, map<sigmoid_of>,
};

}  // namespace elman::ELMAN_ISA
