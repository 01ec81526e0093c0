// The forward pass: a cell unrolled over a batch of sequences.
#pragma once

#include "unrolled.h"

namespace elman::ELMAN_ISA {

// Where one row's numbers lie at the step being computed; null where there are none.
struct Row {
  const float* x;
  const float* h;  // what the recurrent weights multiply: the old state, masked
  const float* h_old;
  const float* c_old;
  float* y;
  float* c;
  float* h_next;   // the new state, masked
  float* gates;    // of panel 0
  float* inner;    // what a projection reads, or r * h
  const float* mask;
  const float* zone_h;
  const float* zone_c;
};

// The same under layer normalisation (forward_normalized.h).
template <class C>
struct NormalizedRow;

// Sums of the input and the biases, computed beforehand for many steps at once.
struct Sums {
  float* data;
  long panel_step, row_step, first_panel;
  float* at(long p, long row) const {
    return data == nullptr ? nullptr : data + (p - first_panel) * panel_step + row * row_step;
  }
};

// The arithmetic of one step, for any rows and panels.
template <class C>
class Step {
 public:
  Step(const Sizes& s, const Weights& weights, const Packed<C>& packed, long gate_slots)
      : s_(s), w_(weights), packed_(packed), gate_step_(gate_slots * Panels<C>::width) {}

  // Everything the panels' weights and sums give: new states, or what the second half needs.
  void first_half(const Row* rows, long n, const Part& part, const Sums& sums) const {
    for (long p = part.p_first; p < part.p_last; ++p) {
      with_panel<C>(s_.H, p, [&](auto cell) {
        using Cell = decltype(cell);
        for_tiles<max_rows<Cell::vectors>>(n, [&](long first, auto height) {
          tile<Cell, decltype(height)::value>(rows + first, p, sums.at(p, first));
        });
      });
    }
  }

  bool has_second_half() const { return C::reset_before || s_.P != s_.H; }

  // What needs the first half of all panels: the projection, or n from r * h.
  void second_half(const Row* rows, long n, const Part& part) const {
    if constexpr (C::reset_before) {
      for (long p = part.p_first; p < part.p_last; ++p) {
        for_tiles<max_rows<1>>(n, [&](long first, auto height) {
          reset_tile<decltype(height)::value>(rows + first, p);
        });
      }
    } else {
      project(rows, n, part);
    }
  }

  // The input's part of the sums, biases included, of n rows.
  void input_sums(const float* const* x, long n, const Part& part, const Sums& sums) const {
    for (long p = part.p_first; p < part.p_last; ++p) {
      with_panel<C>(s_.H, p, [&](auto cell) {
        using Cell = decltype(cell);
        for_tiles<max_rows<Cell::x_count>>(n, [&](long first, auto height) {
          input_tile<Cell, decltype(height)::value>(x + first, p, sums.at(p, first));
        });
      });
    }
  }

  template <class AnyRow>
  void project(const AnyRow* rows, long n, const Part& part) const {
    constexpr long block = 64;
    const float* from[block];
    Result to[block];
    for (long first = 0; first < n; first += block) {
      const long count = lesser(block, n - first);
      for (long i = 0; i < count; ++i) {
        from[i] = rows[first + i].inner;
        to[i] = {rows[first + i].y, nullptr, nullptr};
      }
      multiply(from, count, Runs::one(s_.H), packed_.projection(), part.j_first, part.j_last, to);
    }
    const long last = lesser(s_.P, part.j_last * panel_width);
    for (long i = 0; i < n; ++i) {
      if (rows[i].zone_h == nullptr && rows[i].h_next == nullptr) continue;
      for (long unit = part.j_first * panel_width; unit < last; unit += lanes) {
        const int count = (int)lesser(lanes, last - unit);
        finish(rows[i], unit, count, load(rows[i].y + unit, count));
      }
    }
  }

 protected:
  template <class Cell, int R>
  __attribute__((noinline)) void input_tile(const float* const* x, long p, float* sums) const {
    constexpr int V = Cell::x_count;
    const float* bias = packed_.bias + (p * C::vectors + Cell::x_first) * lanes;
    Vec s[R][V];
    const float* a[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      a[r] = x[r];
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) s[r][v] = load(bias + v * lanes);
    }
    accumulate<0, V>(s, a, packed_.x + p * s_.I * C::x_count * lanes, s_.I);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) store(sums + (r * C::x_count + v) * lanes, s[r][v]);
    }
  }

  template <class Cell, int R>
  __attribute__((noinline)) void tile(const Row* rows, long p, const float* sums) const {
    constexpr int V = Cell::vectors;
    const float* bias = packed_.bias + p * C::vectors * lanes;
    Vec s[R][V];
    const float* a[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) s[r][v] = load(bias + v * lanes);
    }
    if (sums != nullptr) {
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < Cell::x_count; ++v) {
          s[r][Cell::x_first + v] = load(sums + (r * C::x_count + v) * lanes);
        }
      }
    } else {
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) a[r] = rows[r].x;
      accumulate<Cell::x_first, Cell::x_count>(s, a, packed_.x + p * s_.I * C::x_count * lanes,
                                               s_.I);
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) a[r] = rows[r].h;
    accumulate<Cell::h_first, Cell::h_count>(s, a, packed_.h + p * s_.P * C::h_count * lanes,
                                             s_.P);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) finish_sums<Cell>(rows[r], p, s[r]);
  }

  template <class Cell>
  ELMAN_INLINE void finish_sums(const Row& row, long p, Vec (&s)[Cell::vectors]) const {
    float* gates = row.gates == nullptr ? nullptr : row.gates + p * gate_step_;
    if constexpr (Cell::vectors_are_units) {
#pragma GCC unroll 4
      for (int v = 0; v < Cell::vectors; ++v) {
        const long unit = Panels<C>::first_unit(p, v);
        const Vec h = Cell::activate(s[v]);
        if (gates != nullptr) store(gates + v * lanes, h);
        finish(row, unit, Panels<C>::units_from(s_.H, unit), h);
      }
    } else {
      const long unit = Panels<C>::first_unit(p, 0);
      const int count = Panels<C>::units_from(s_.H, unit);
      if constexpr (Cell::reset_before) {
        Cell::gates(s);
        // Computed again for the backward pass, it is there, and other threads read it.
        if (row.y != nullptr) store(row.inner + unit, s[1] * load(row.h + unit, count), count);
      } else {
        Vec h_old{}, c_old{}, c{};
        if constexpr (Cell::reads_h_old) h_old = load(row.h_old + unit, count);
        if constexpr (Cell::has_c) c_old = load(row.c_old + unit, count);
        const Vec h = Cell::forward(s, h_old, c_old, c,
                                    peepholes<C>(w_.peephole, s_.H, unit, count));
        if constexpr (Cell::has_c) {
          if (row.zone_c != nullptr) c = mix(load(row.zone_c + unit, count), c_old, c);
          if (row.c != nullptr) store(row.c + unit, c, count);
        }
        if (Cell::has_c && row.inner != nullptr) {
          if (row.y != nullptr) store(row.inner + unit, h, count);
        } else {
          finish(row, unit, count, h);
        }
      }
      if (gates != nullptr) {
#pragma GCC unroll 4
        for (int v = 0; v < Cell::vectors; ++v) store(gates + v * lanes, s[v]);
      }
    }
  }

  // mask * kept + (1 - mask) * fresh, exact where the mask is 0 or 1.
  static ELMAN_INLINE Vec mix(Vec mask, Vec kept, Vec fresh) {
    return fma(mask, kept, fma(-mask, fresh, fresh));
  }

  // Zoneout, and the new state to where it is read.
  ELMAN_INLINE void finish(const Row& row, long unit, int count, Vec h) const {
    if (row.zone_h != nullptr) {
      h = mix(load(row.zone_h + unit, count), load(row.h_old + unit, count), h);
    }
    if (row.y != nullptr) store(row.y + unit, h, count);
    if (row.h_next != nullptr) store(row.h_next + unit, h * load(row.mask + unit, count), count);
  }

  template <int R>
  __attribute__((noinline)) void reset_tile(const Row* rows, long p) const {
    const long unit = Panels<C>::first_unit(p, 0);
    const int count = Panels<C>::units_from(s_.H, unit);
    Vec s[R][1];
    const float* a[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      a[r] = rows[r].inner;
      s[r][0] = load(rows[r].gates + p * gate_step_);
    }
    accumulate<0, 1>(s, a, packed_.inner + p * s_.H * lanes, s_.H);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const Row& row = rows[r];
      float* gates = row.gates + p * gate_step_;
      Vec all[C::vectors] = {s[r][0], zero(), load(gates + 2 * lanes)}, unused{};
      const Vec h = C::forward(all, load(row.h_old + unit, count), unused, unused, {});
      store(gates, all[0]);
      finish(row, unit, count, h);
    }
  }

  const Sizes& s_;
  const Weights& w_;
  const Packed<C>& packed_;
  long gate_step_;
};

template <class C>
class ForwardPass {
 public:
  // kept: with what the steps themselves need, lent.
  ForwardPass(const Forward& q, const Plan& plan, Packed<C>& packed, const Kept<C>& kept)
      : q_(q), s_(q.sizes), plan_(plan), packed_(packed), kept_(kept), places_{q, plan, kept} {}

  // Pack the weights and take all steps.
  void run(int num_threads, bool keep) {
    const Sharing sharing = Sharing::of<C>(s_, plan_, num_threads);
    long next_piece = 0;
    auto work = [&](Team& team, int rank) {
      packed_.fill(s_, q_.weights, team.size(), rank);
      team.barrier(rank);
      for_parts<C>(sharing, s_, plan_.ragged(), team, rank, next_piece,
                   [&](const Part& part, Team* peers) {
                     if constexpr (!C::reset_before) {
                       if (is_normalized(q_.weights)) {
                         return run_normalized(part, keep, peers, rank);
                       }
                     }
                     run_part(part, keep, peers, rank);
                   });
    };
    run_team(sharing.num_threads, sharing.patience_ns, work);
    finish();
  }

  // Gates of steps [s0, s1) again, from the states kept, in packed order from s0's first slot on.
  void recompute(const Part& part, long s0, long s1, float* gates, long gate_slots) const {
    const long first_slot = plan_.offset(s0);
    constexpr long block = 96;
    Row rows[block];
    const Step<C> step(s_, q_.weights, packed_, gate_slots);
    long n = 0;
    const auto flush = [&] {
      step.first_half(rows, n, part, {});
      if constexpr (C::reset_before) step.second_half(rows, n, part);
      n = 0;
    };
    for (long s = s0; s < s1; ++s) {
      for (long m = 0, count = part.count(plan_.active(s)); m < count; ++m) {
        const long i = part.row(m);
        Row row = row_at(s, i, true);
        row.y = row.c = row.h_next = nullptr;
        row.gates = gates + (places_.slot(s, i) - first_slot) * Panels<C>::width;
        rows[n++] = row;
        if (n == block) flush();
      }
    }
    if (n > 0) flush();
  }

  // Likewise of what is normalised the sums of both matrices (forward_normalized.h).
  void recompute_sums(const Part& part, long s0, long s1, float* x_sums, float* h_sums) const;

 private:
  void run_normalized(const Part& part, bool keep, Team* team, int rank) const;
  NormalizedRow<C> normalized_row_at(long s, long i, bool keep) const;
  void run_part(const Part& part, bool keep, Team* team, int rank) const {
    const long most = part.count(plan_.active(0));
    if (most == 0) return;
    const long num_steps = plan_.length(part.first);
    start_masked(part, team, rank);

    // Long inputs are multiplied for many steps at once, as many as stay in the cache.
    constexpr long floats_at_once = 64 * 1024;
    const long row_step = C::x_count * lanes, num_panels = part.p_last - part.p_first;
    const bool ahead = s_.I > 2 * lanes;
    const long steps_at_once =
        ahead ? greater(1, floats_at_once / (num_panels * row_step * most)) : num_steps;
    const long sums_rows = ahead ? lesser(steps_at_once, num_steps) * most : 0;
    const Scratch sums_memory(sums_rows * num_panels * row_step);
    const Scratch rows_memory((most * (long)sizeof(Row) + sums_rows * (long)sizeof(float*)) / 4);
    Row* rows = reinterpret_cast<Row*>(rows_memory.data());
    const float** inputs = reinterpret_cast<const float**>(rows + most);
    const Step<C> step(s_, q_.weights, packed_, kept_.gate_slots);

    for (long s0 = 0; s0 < num_steps; s0 += steps_at_once) {
      const long s1 = lesser(s0 + steps_at_once, num_steps);
      Sums sums{sums_memory.data(), sums_rows * row_step, row_step, part.p_first};
      if (ahead) {
        long n = 0;
        for (long s = s0; s < s1; ++s) {
          for (long m = 0, count = part.count(plan_.active(s)); m < count; ++m) {
            inputs[n++] = places_.at(q_.x, s, part.row(m));
          }
        }
        step.input_sums(inputs, n, part, sums);
      }
      for (long s = s0; s < s1; ++s) {
        const long n = part.count(plan_.active(s));
        for (long m = 0; m < n; ++m) rows[m] = row_at(s, part.row(m), keep);
        step.first_half(rows, n, part, sums);
        if (step.has_second_half()) {
          if (team != nullptr) team->barrier(rank);
          step.second_half(rows, n, part);
        }
        if (team != nullptr) team->barrier(rank);
        if (ahead) sums.data += n * row_step;
      }
    }
  }

  Row row_at(long s, long i, bool keep) const {
    const long slot = places_.slot(s, i), b = plan_.row(i);
    Row row{};
    row.x = places_.at(q_.x, s, i);
    row.y = places_.at(q_.y, s, i);
    row.h_old = places_.h_old(s, i);
    row.h = places_.h(s, i);
    if constexpr (C::has_c) {
      row.c = keep ? kept_.c + slot * s_.H : q_.c_last + b * s_.H;
      row.c_old = s == 0 ? q_.c0 + b * s_.H
                         : (keep ? kept_.c + places_.slot(s - 1, i) * s_.H : row.c);
      row.zone_c = places_.zone(q_.zone_c, s_.H, s, i);
    }
    row.zone_h = places_.zone(q_.zone_h, s_.P, s, i);
    if (kept_.gates != nullptr) {
      row.gates = kept_.gates + (kept_.gates_by_row ? i : slot) * Panels<C>::width;
    }
    if (kept_.inner != nullptr) row.inner = kept_.inner + (kept_.inner_by_row ? i : slot) * s_.H;
    if (q_.mask != nullptr) {
      row.mask = places_.mask(i);
      const bool goes_on = i < plan_.active(s + 1);
      row.h_next = goes_on ? kept_.h + places_.slot(s + 1, i) * s_.P : nullptr;
    }
    return row;
  }

  void start_masked(const Part& part, Team* team, int rank) const {
    if (q_.mask == nullptr) return;
    if (rank == 0 || team == nullptr) {
      for (long m = 0, count = part.count(plan_.active(0)); m < count; ++m) {
        const long i = part.row(m);
        const float *h = places_.h_old(0, i), *mask = places_.mask(i);
        float* to = kept_.h + places_.slot(0, i) * s_.P;
        for (long unit = 0; unit < s_.P; ++unit) to[unit] = h[unit] * mask[unit];
      }
    }
    if (team != nullptr) team->barrier(rank);
  }

  // The last states, and zeros where padding is.
  void finish() const {
    for (long i = 0; i < s_.B; ++i) {
      const long b = plan_.row(i), length = plan_.length(i);
      const float* h = length == 0 ? q_.h0 + b * s_.P : places_.at(q_.y, length - 1, i);
      std::memcpy(q_.h_last + b * s_.P, h, sizeof(float) * (std::size_t)s_.P);
      if constexpr (C::has_c) {
        const float* c = length == 0 ? q_.c0 + b * s_.H
                         : kept_.c == nullptr ? nullptr
                                              : kept_.c + places_.slot(length - 1, i) * s_.H;
        if (c != nullptr) std::memcpy(q_.c_last + b * s_.H, c, sizeof(float) * (std::size_t)s_.H);
      }
      for (long t = length; t < s_.T; ++t) {
        float* y = q_.y.data + t * q_.y.step + b * q_.y.row;
        std::memset(y, 0, sizeof(float) * (std::size_t)s_.P);
      }
    }
  }

  const Forward& q_;
  const Sizes& s_;
  const Plan& plan_;
  Packed<C>& packed_;
  const Kept<C>& kept_;
  const Places<C> places_;
};

}  // namespace elman::ELMAN_ISA

#include "forward_normalized.h"
