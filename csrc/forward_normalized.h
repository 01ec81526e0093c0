// The part of the forward pass that layer normalisation adds.
#pragma once

#include "forward.h"

namespace elman::ELMAN_ISA {

template <class C>
struct NormalizedRow : Row {
  float* x_sums;
  float* h_sums;
  float* memory;                // an LSTM's c', before zoneout
  float* opened;                // and its output gate
  RowMoments<C> moments;
  RowMoments<C>* kept_moments;  // null: there will be no backward pass
};

// The same under layer normalisation: no sum means anything before all of its row are there.
template <class C>
class NormalizedStep : public Step<C> {
 public:
  using Row = NormalizedRow<C>;
  using Step<C>::Step;

  // The input's sums of n rows, and the state's, each where `to` says.
  void input_sums(const float* const* x, long n, const Part& part, const Result* to) const {
    multiply(x, n, Runs::one(s_.I), sums_columns<C>(packed_.x, x_window<C>(), s_.H, s_.I),
             part.p_first, part.p_last, to);
  }
  void state_sums(const float* const* h, long n, const Part& part, const Result* to) const {
    multiply(h, n, Runs::one(s_.P), sums_columns<C>(packed_.h, h_window<C>(), s_.H, s_.P),
             part.p_first, part.p_last, to);
  }

  void sums_moments(Row& row) const {
    find_moments<C>(row.x_sums, C::x_gate, s_.H, row.moments.x);
    find_moments<C>(row.h_sums, C::h_gate, s_.H, row.moments.h);
  }

  // From a row's sums its new state; of an LSTM, its memory and its output gate.
  void activate(const Row& row, const Part& part) const {
    for (long p = part.p_first; p < part.p_last; ++p) {
      with_units<C>(s_.H, p, [&](auto cell, auto whole) ELMAN_INLINE_BODY {
        activate_panel<decltype(cell), decltype(whole)::value>(row, p);
      });
    }
  }

  // An LSTM's output, from its memory normalised.
  void output(const Row& row, const Part& part) const {
    for (long p = part.p_first; p < part.p_last; ++p) {
      with_units<C>(s_.H, p, [&](auto, auto whole) ELMAN_INLINE_BODY {
        const long unit = Panels<C>::first_unit(p, 0);
        const int count = units_in<C, decltype(whole)::value>(s_.H, unit);
        const Vec read = read_memory(w_, load(row.memory + unit), row.moments.c, unit, count);
        const Vec h = load(row.opened + unit) * tanh(read);
        if (row.inner != nullptr) {
          store(row.inner + unit, h, count);
        } else {
          this->finish(row, unit, count, h);
        }
      });
    }
  }

 private:
  template <class Cell, bool Whole>
  ELMAN_INLINE void activate_panel(const Row& row, long p) const {
    Vec s[Cell::vectors];
    normalized_sums<C, Cell, Whole>(s, w_, s_.H, p, row.x_sums, row.h_sums,
                                       row.moments);
    if constexpr (Cell::vectors_are_units) {
#pragma GCC unroll 4
      for (int v = 0; v < Cell::vectors; ++v) {
        const long unit = Panels<C>::first_unit(p, v);
        this->finish(row, unit, units_in<C, Whole>(s_.H, unit), Cell::activate(s[v]));
      }
    } else {
      const long unit = Panels<C>::first_unit(p, 0);
      const int count = units_in<C, Whole>(s_.H, unit);
      if constexpr (Cell::has_c) {
        const Vec c_old = load(row.c_old + unit, count);
        Vec c = Cell::gates(s, c_old, peepholes<C>(w_.peephole, s_.H, unit, count));
        store(row.memory + unit, c);
        store(row.opened + unit, s[3]);
        if (row.zone_c != nullptr) c = this->mix(load(row.zone_c + unit, count), c_old, c);
        store(row.c + unit, c, count);
      } else {
        Vec unused{};
        this->finish(row, unit, count,
                     Cell::forward(s, load(row.h_old + unit, count), unused, unused, {}));
      }
    }
  }

  using Step<C>::s_, Step<C>::w_, Step<C>::packed_;
};

// The sums of steps [s0, s1) again, in packed order from s0's first slot on.
template <class C>
void ForwardPass<C>::recompute_sums(const Part& part, long s0, long s1, float* x_sums,
                                    float* h_sums) const {
  const long first_slot = plan_.offset(s0), size = sums_row<C>(s_.H);
  constexpr long block = 96;
  const float *x[block], *h[block];
  Result x_to[block], h_to[block];
  const NormalizedStep<C> step(s_, q_.weights, packed_, 0);
  long n = 0;
  const auto flush = [&] {
    step.input_sums(x, n, part, x_to);
    step.state_sums(h, n, part, h_to);
    n = 0;
  };
  for (long s = s0; s < s1; ++s) {
    for (long m = 0, count = part.count(plan_.active(s)); m < count; ++m) {
      const long i = part.row(m), slot = places_.slot(s, i) - first_slot;
      x[n] = places_.at(q_.x, s, i);
      h[n] = places_.h(s, i);
      x_to[n] = {x_sums + slot * size, nullptr, nullptr};
      h_to[n++] = {h_sums + slot * size, nullptr, nullptr};
      if (n == block) flush();
    }
  }
  if (n > 0) flush();
}

template <class C>
NormalizedRow<C> ForwardPass<C>::normalized_row_at(long s, long i, bool keep) const {
  const long slot = places_.slot(s, i);
  NormalizedRow<C> row{row_at(s, i, keep), nullptr, nullptr, nullptr, nullptr, {}, nullptr};
  row.x_sums = kept_.x_sums_at(slot, s, i, s_);
  row.h_sums = kept_.h_sums_at(slot, i, s_);
  if constexpr (C::has_c) {
    row.memory = kept_.memory + i * memory_row(s_.H);
    row.opened = kept_.opened + i * memory_row(s_.H);
  }
  if (keep) row.kept_moments = kept_.moments + slot;
  return row;
}

template <class C>
void ForwardPass<C>::run_normalized(const Part& part, bool keep, Team* team, int rank) const {
  using Row = NormalizedRow<C>;
  const long most = part.count(plan_.active(0));
  if (most == 0) return;
  const long num_steps = plan_.length(part.first), at_once = kept_.steps_at_once;
  start_masked(part, team, rank);
  const auto meet = [&] {
    if (team != nullptr) team->barrier(rank);
  };
  const long size = most * (long)sizeof(Row) +
                    at_once * most * (long)(sizeof(const float*) + sizeof(Result));
  const Scratch memory(divide_up(size, 4));
  Row* rows = reinterpret_cast<Row*>(memory.data());
  Result* to = reinterpret_cast<Result*>(rows + most);
  const float** from = reinterpret_cast<const float**>(to + at_once * most);
  const NormalizedStep<C> step(s_, q_.weights, packed_, 0);

  for (long s = 0; s < num_steps; ++s) {
    if (s % at_once == 0) {
      long n = 0;
      for (long ahead = s; ahead < lesser(s + at_once, num_steps); ++ahead) {
        for (long m = 0, count = part.count(plan_.active(ahead)); m < count; ++m, ++n) {
          const long i = part.row(m);
          from[n] = places_.at(q_.x, ahead, i);
          to[n] = {kept_.x_sums_at(places_.slot(ahead, i), ahead, i, s_), nullptr, nullptr};
        }
      }
      step.input_sums(from, n, part, to);
    }
    const long n = part.count(plan_.active(s));
    for (long m = 0; m < n; ++m) {
      rows[m] = normalized_row_at(s, part.row(m), keep);
      from[m] = rows[m].h;
      to[m] = {rows[m].h_sums, nullptr, nullptr};
    }
    step.state_sums(from, n, part, to);
    meet();
    for_blocks(n, team != nullptr, [&](long first, long last) {
      const auto each = [&](auto&& body) {
        for (long m = first; m < last; ++m) body(rows[m]);
      };
      each([&](Row& row) { step.sums_moments(row); });
      each([&](Row& row) { step.activate(row, part); });
      if constexpr (C::has_c) {
        meet();
        each([&](Row& row) { row.moments.c = moments_of(row.memory, s_.H); });
        each([&](Row& row) { step.output(row, part); });
      }
      if (!keep || part.p_first > 0) return;
      each([&](Row& row) { *row.kept_moments = row.moments; });
    });
    if (step.has_second_half()) {
      meet();
      step.project(rows, n, part);
    }
    meet();
  }
}

}  // namespace elman::ELMAN_ISA
