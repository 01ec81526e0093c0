// The engine for one instruction set: this file is compiled once for each, with ELMAN_ISA its name
// and the compiler's flags to match, and makes one table.
#include "backward.h"
#include "single_step.h"

namespace elman::ELMAN_ISA {

namespace {

template <class Body>
void with_cell(CellKind kind, const Weights& weights, Body&& body) {
  switch (kind) {
    case CellKind::rnn_tanh: return body(Rnn<false>{});
    case CellKind::rnn_relu: return body(Rnn<true>{});
    case CellKind::gru_reset_after: return body(Gru{});
    case CellKind::gru_reset_before: return body(GruResetBefore{});
    case CellKind::lstm:
      return weights.peephole == nullptr ? body(Lstm<false>{}) : body(Lstm<true>{});
  }
}

long kept_size(const Forward& q, long num_real_steps) {
  long size = 0;
  with_cell(q.sizes.cell, q.weights, [&](auto cell) {
    size = Kept<decltype(cell)>(q, num_real_steps, nullptr).size();
  });
  return size;
}

void forward(const Forward& q, int num_threads) {
  if (q.sizes.B == 0) return;
  with_cell(q.sizes.cell, q.weights, [&](auto cell) {
    using C = decltype(cell);
    const Plan plan(q.sizes.T, q.sizes.B, q.lengths);
    const Scratch weights(Packed<C>::size(q.sizes));
    Packed<C> packed(q.sizes, weights.data());
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
  with_cell(q.sizes.cell, q.weights, [&](auto cell) {
    using C = decltype(cell);
    const Plan plan(q.sizes.T, q.sizes.B, q.lengths);
    const Kept<C> kept(q, plan.num_slots(), q.kept);
    BackwardPass<C> pass(q, g, plan, kept);
    const bool needs_gates = is_normalized(q.weights) || !C::vectors_are_units || q.zone_h != nullptr;
    if (!q.recompute || !needs_gates) return pass.run(num_threads, nullptr);
    const Scratch weights(Packed<C>::size(q.sizes));
    Packed<C> packed(q.sizes, weights.data());
    packed.fill(q.sizes, q.weights, 1, 0);
    ForwardPass<C> again(q, plan, packed, kept);
    pass.run(num_threads, &again);
  });
}

void step(const Sizes& s, const Weights& weights, const float* x, const float* h, const float* c,
          float* h_new, float* c_new) {
  with_cell(s.cell, weights, [&](auto cell) {
    single_step<decltype(cell)>(s, weights, x, h, c, h_new, c_new);
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
    ELMAN_STRING(ELMAN_ISA), kept_size,    forward,      backward,
    step,                    map<exp_of>, map<tanh_of>, map<sigmoid_of>,
};

}  // namespace elman::ELMAN_ISA
