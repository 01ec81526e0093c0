// Recurrences whose units do not see each other: step by step and row by row, or, of batches that lie
// row by row, the other way, so that memory is read as it lies. Threads share the vectors of units of all rows; a vector's numbers
// are the same whoever computes them. Equations: src/elman/cells.
#include "elementwise.h"

#include <cstring>

#include "math.h"
#include "packing.h"
#include "pool.h"
#include "scratch.h"

namespace elman::ELMAN_ISA {

namespace {

// Each cell: `forward` makes the new state of sums, weights and the old state; `backward` is given
// the gradient of the new state in `d`, and makes those of the sums (in place of them), of the old
// state (in `d`) and, added, of the weights.

struct MinGru {
  static constexpr int sums = 2, parts = 1, weights = 0;  // z, candidate

  static ELMAN_INLINE void forward(const Vec* s, const Vec* /*w*/, const Vec* h, Vec* out) {
    out[0] = fma(sigmoid(s[0]), s[1] - h[0], h[0]);
  }
  static ELMAN_INLINE void backward(Vec* s, const Vec* /*w*/, const Vec* h, Vec* d, Vec* /*d_w*/) {
    const Vec z = sigmoid(s[0]), through = d[0] * z;
    s[0] = through * (s[1] - h[0]) * sigmoid(-s[0]);
    s[1] = through;
    d[0] = d[0] - through;
  }
};

struct MinLstm {
  static constexpr int sums = 3, parts = 1, weights = 0;  // f, i, candidate

  // The shares of the old state and of the candidate, f / (f + i) and i / (f + i). With
  // f = 1 / (1 + e^-F) these are (1 + e^-I) and (1 + e^-F) over their sum; all three times e^m, so
  // that nothing overflows and the sum is at least 1.
  static ELMAN_INLINE void shares(Vec f, Vec i, Vec& keep, Vec& take) {
    const Vec m = smaller(zero(), smaller(f, i));
    const Vec one = exp(m), from_i = one + exp(m - i), from_f = one + exp(m - f);
    const Vec scale = 1.0f / (from_i + from_f);
    keep = from_i * scale;
    take = from_f * scale;
  }
  static ELMAN_INLINE void forward(const Vec* s, const Vec* /*w*/, const Vec* h, Vec* out) {
    Vec keep, take;
    shares(s[0], s[1], keep, take);
    out[0] = fma(take, s[2], keep * h[0]);
  }
  static ELMAN_INLINE void backward(Vec* s, const Vec* /*w*/, const Vec* h, Vec* d, Vec* /*d_w*/) {
    Vec keep, take;
    shares(s[0], s[1], keep, take);
    const Vec d_log = d[0] * (h[0] - s[2]) * keep * take;  // of log f - log i
    s[0] = d_log * sigmoid(-s[0]);
    s[1] = -d_log * sigmoid(-s[1]);
    s[2] = d[0] * take;
    d[0] = d[0] * keep;
  }
};

template <bool Relu>
struct IndRnn {
  static constexpr int sums = 1, parts = 1, weights = 1;

  static ELMAN_INLINE Vec sum(const Vec* s, const Vec* w, const Vec* h) {
    return fma(w[0], h[0], s[0]);
  }
  static ELMAN_INLINE void forward(const Vec* s, const Vec* w, const Vec* h, Vec* out) {
    // Where a sum is NaN, so is the unit: a comparison would hide it.
    out[0] = Relu ? larger(zero(), sum(s, w, h)) : tanh(sum(s, w, h));
  }
  static ELMAN_INLINE void backward(Vec* s, const Vec* w, const Vec* h, Vec* d, Vec* d_w) {
    Vec out[1];
    forward(s, w, h, out);
    s[0] = Relu ? choose(out[0] > 0.0f, d[0], zero()) : d[0] * (1.0f - out[0] * out[0]);
    d_w[0] = fma(s[0], h[0], d_w[0]);
    d[0] = s[0] * w[0];
  }
};

struct Lru {
  static constexpr int sums = 2, parts = 2, weights = 2;  // real, imaginary

  static ELMAN_INLINE void forward(const Vec* s, const Vec* w, const Vec* h, Vec* out) {
    out[0] = fma(w[0], h[0], fma(-w[1], h[1], s[0]));
    out[1] = fma(w[0], h[1], fma(w[1], h[0], s[1]));
  }
  static ELMAN_INLINE void backward(Vec* s, const Vec* w, const Vec* h, Vec* d, Vec* d_w) {
    s[0] = d[0];
    s[1] = d[1];
    d_w[0] = fma(d[0], h[0], fma(d[1], h[1], d_w[0]));
    d_w[1] = fma(d[1], h[0], fma(-d[0], h[1], d_w[1]));
    d[0] = fma(w[0], s[0], w[1] * s[1]);
    d[1] = fma(w[0], s[1], -(w[1] * s[0]));
  }
};

template <class C>
class ElementwisePass {
 public:
  explicit ElementwisePass(const ElementwiseForward& q)
      : q_(q), vectors_((q.H + lanes - 1) / lanes) {}

  void forward(int num_threads) const {
    share(num_threads, [this](long from, long to) __attribute__((always_inline)) {
      steps(from, to, [&](long s, long b, long first, long last) __attribute__((always_inline)) {
        forward_step(s, b, first, last);
      });
      rows(from, to, [&](long b, long first, long last) __attribute__((always_inline)) {
        const long length = length_of(b);
        copy(length == 0 ? state(q_.h0, b) : at(q_.h, time(b, length - 1), b), state(q_.h_last, b),
             first, last);
      });
    });
  }

  void backward(const ElementwiseBackward& g, int num_threads) const {
    // What many steps add to a weight's gradient is summed apart, and then once: adding each to a
    // sum of 100,000 would lose what each has below the sum's last digit.
    const Scratch recent(C::weights > 0 ? q_.B * C::weights * q_.H : 0);
    share(num_threads, [&](long from, long to) __attribute__((always_inline)) {
      rows(from, to, [&](long b, long first, long last) __attribute__((always_inline)) {
        start(g, recent.data(), b, first, last);
      });
      steps(from, to, [&](long n, long b, long first, long last) __attribute__((always_inline)) {
        const long s = q_.T - 1 - n;
        backward_step(g, recent.data(), s, b, first, last);
        if (C::weights > 0 && s % steps_apart == 0) settle(g, recent.data(), b, first, last);
      });
    });
  }

 private:
  static constexpr long steps_apart = 256;
  // Numbers of sums for which another thread pays.
  static constexpr long least_work = 1 << 15;

  long length_of(long b) const { return q_.lengths == nullptr ? q_.T : q_.lengths[b]; }
  long time(long b, long s) const { return q_.reverse ? length_of(b) - 1 - s : s; }
  static float* at(const Sequence& of, long t, long b) { return of.data + t * of.step + b * of.row; }
  template <class Float>
  Float* state(Float* of, long b) const {
    return of + b * C::parts * q_.H;
  }
  const float* state_before(long b, long s) const {
    return s == 0 ? state(q_.h0, b) : at(q_.h, time(b, s - 1), b);
  }
  const float* zone(long t, long b) const {
    return q_.zone == nullptr ? nullptr : q_.zone + (t * q_.B + b) * C::parts * q_.H;
  }

  // body(from, to): vectors of all rows, row by row.
  template <class Body>
  void share(int num_threads, Body&& body) const {
    const long all = q_.B * vectors_, work = q_.T * q_.B * q_.H * C::sums;
    long wanted = work / least_work;
    if (wanted > num_threads) wanted = num_threads;
    if (wanted > all) wanted = all;
    if (wanted <= 1) return body(0, all);
    auto part = [&](Team& team, int rank) {
      body(all * rank / team.size(), all * (rank + 1) / team.size());
    };
    run_team((int)wanted, /*patience_ns=*/work / 8, part);
  }

  // body(row, first unit, last unit + 1) for the rows that those vectors lie in.
  template <class Body>
  ELMAN_INLINE void rows(long from, long to, Body&& body) const {
    for (long b = from / vectors_; b * vectors_ < to; ++b) {
      const long first = greater(from - b * vectors_, 0) * lanes;
      const long last = lesser((to - b * vectors_) * lanes, q_.H);
      body(b, first, last);
    }
  }

  // body(step, row, first unit, last unit + 1) for every step, in order of memory.
  template <class Body>
  ELMAN_INLINE void steps(long from, long to, Body&& body) const {
    if (q_.h.step < q_.h.row) {
      rows(from, to, [&](long b, long first, long last) __attribute__((always_inline)) {
        for (long s = 0; s < q_.T; ++s) body(s, b, first, last);
      });
    } else {
      for (long s = 0; s < q_.T; ++s) {
        rows(from, to, [&](long b, long first, long last) __attribute__((always_inline)) {
          body(s, b, first, last);
        });
      }
    }
  }

  // body(unit, count) for each vector of units; all lanes but in the last.
  template <class Body>
  static ELMAN_INLINE void units(long first, long last, Body&& body) {
    long unit = first;
    for (; unit + lanes <= last; unit += lanes) body(unit, lanes);
    if (unit < last) body(unit, (int)(last - unit));
  }

  template <int N>
  ELMAN_INLINE void read(Vec (&v)[N], const float* from, long unit, int count) const {
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) v[n] = load(from + n * q_.H + unit, count);
  }
  template <int N>
  ELMAN_INLINE void write(const Vec (&v)[N], float* to, long unit, int count) const {
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) store(to + n * q_.H + unit, v[n], count);
  }
  void copy(const float* from, float* to, long first, long last) const {
    for (int p = 0; p < C::parts; ++p) {
      if (from != nullptr) {
        std::memcpy(to + p * q_.H + first, from + p * q_.H + first, bytes(last - first));
      } else {
        std::memset(to + p * q_.H + first, 0, bytes(last - first));
      }
    }
  }
  void clear(float* to, int blocks, long first, long last) const {
    for (int n = 0; n < blocks; ++n) std::memset(to + n * q_.H + first, 0, bytes(last - first));
  }
  static std::size_t bytes(long floats) { return sizeof(float) * (std::size_t)floats; }

  ELMAN_INLINE void forward_step(long s, long b, long first, long last) const {
    if (s >= length_of(b)) return clear(at(q_.h, s, b), C::parts, first, last);
    const long t = time(b, s);
    const float *sums = at(q_.sums, t, b), *before = state_before(b, s), *kept = zone(t, b);
    float* to = at(q_.h, t, b);
    units(first, last, [&](long unit, int count) __attribute__((always_inline)) {
      Vec sum[C::sums], weight[C::weights + 1], h[C::parts], out[C::parts];
      read(sum, sums, unit, count);
      if constexpr (C::weights > 0) read_weights(weight, q_.weights, unit, count);
      read(h, before, unit, count);
      C::forward(sum, weight, h, out);
      if (kept != nullptr) {
        Vec share[C::parts];
        read(share, kept, unit, count);
        for (int p = 0; p < C::parts; ++p) out[p] = fma(share[p], h[p] - out[p], out[p]);
      }
      write(out, to, unit, count);
    });
  }

  ELMAN_INLINE void backward_step(const ElementwiseBackward& g, float* recent, long s, long b,
                                  long first, long last) const {
    if (s >= length_of(b)) return clear(at(g.d_sums, s, b), C::sums, first, last);
    const long t = time(b, s);
    const float *sums = at(q_.sums, t, b), *before = state_before(b, s), *kept = zone(t, b);
    const float* d_h = g.d_h.data == nullptr ? nullptr : at(g.d_h, t, b);
    float *d_sums = at(g.d_sums, t, b), *carried = state(g.d_h0, b);
    float* d_weights = recent + b * C::weights * q_.H;
    units(first, last, [&](long unit, int count) __attribute__((always_inline)) {
      Vec sum[C::sums], weight[C::weights + 1], d_weight[C::weights + 1], h[C::parts], d[C::parts];
      read(sum, sums, unit, count);
      read(h, before, unit, count);
      read(d, carried, unit, count);
      if (d_h != nullptr) {
        Vec more[C::parts];
        read(more, d_h, unit, count);
        for (int p = 0; p < C::parts; ++p) d[p] = d[p] + more[p];
      }
      Vec past[C::parts]{};  // what zoneout lets through to the old state
      if (kept != nullptr) {
        Vec share[C::parts];
        read(share, kept, unit, count);
        for (int p = 0; p < C::parts; ++p) {
          past[p] = share[p] * d[p];
          d[p] = d[p] - past[p];
        }
      }
      if constexpr (C::weights > 0) {
        read_weights(weight, q_.weights, unit, count);
        read_weights(d_weight, d_weights, unit, count);
      }
      C::backward(sum, weight, h, d, d_weight);
      if constexpr (C::weights > 0) {
        for (int n = 0; n < C::weights; ++n) {
          store(d_weights + n * q_.H + unit, d_weight[n], count);
        }
      }
      if (kept != nullptr) {
        for (int p = 0; p < C::parts; ++p) d[p] = d[p] + past[p];
      }
      write(d, carried, unit, count);
      write(sum, d_sums, unit, count);
    });
  }

  ELMAN_INLINE void read_weights(Vec (&v)[C::weights + 1], const float* from, long unit,
                                 int count) const {
    for (int n = 0; n < C::weights; ++n) v[n] = load(from + n * q_.H + unit, count);
  }

  void start(const ElementwiseBackward& g, float* recent, long b, long first, long last) const {
    copy(g.d_h_last == nullptr ? nullptr : state(g.d_h_last, b), state(g.d_h0, b), first, last);
    if constexpr (C::weights > 0) {
      clear(recent + b * C::weights * q_.H, C::weights, first, last);
      clear(g.d_weights + b * C::weights * q_.H, C::weights, first, last);
    }
  }

  void settle(const ElementwiseBackward& g, float* recent, long b, long first, long last) const {
    for (int n = 0; n < C::weights; ++n) {
      const long block = (b * C::weights + n) * q_.H;
      for (long unit = first; unit < last; ++unit) g.d_weights[block + unit] += recent[block + unit];
      std::memset(recent + block + first, 0, bytes(last - first));
    }
  }

  const ElementwiseForward& q_;
  const long vectors_;  // of a row
};

template <class Body>
void with_elementwise(ElementwiseKind kind, Body&& body) {
  switch (kind) {
    case ElementwiseKind::mingru: return body(MinGru{});
    case ElementwiseKind::minlstm: return body(MinLstm{});
    case ElementwiseKind::indrnn_tanh: return body(IndRnn<false>{});
    case ElementwiseKind::indrnn_relu: return body(IndRnn<true>{});
    case ElementwiseKind::lru: return body(Lru{});
  }
}

void forward(const ElementwiseForward& q, int num_threads) {
  if (q.B == 0) return;
  with_elementwise(q.kind, [&](auto cell) {
    ElementwisePass<decltype(cell)>(q).forward(num_threads);
  });
}

void backward(const ElementwiseForward& q, const ElementwiseBackward& g, int num_threads) {
  if (q.B == 0) return;
  with_elementwise(q.kind, [&](auto cell) {
    ElementwisePass<decltype(cell)>(q).backward(g, num_threads);
  });
}

}  // namespace

extern const ElementwiseKernels elementwise;
const ElementwiseKernels elementwise = {forward, backward};

}  // namespace elman::ELMAN_ISA
