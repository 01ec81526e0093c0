// The part of the backward pass that layer normalisation and peepholes add: from the gradients of
// a cell's sums those of its two matrices' own sums, and the gradients of gains and peepholes.
#pragma once

#include "backward.h"

namespace elman::ELMAN_ISA {

template <class C>
void BackwardPass<C>::compute_again(const ForwardPass<C>& again, const Part& part, long s0,
                                    long s1) {
  if constexpr (!C::reset_before) {
    if (normalized_) return again.recompute_sums(part, s0, s1, x_sums_, h_sums_);
  }
  again.recompute(part, s0, s1, d_sums_, most_slots_);
}

// The gradients of the state's sums at one step, on which those of the old state depend.
template <class C>
void BackwardPass<C>::normalized_gradients(const GradientRow* rows, long n, long s,
                                           long first_slot, const Part& part, Team* team,
                                           int rank) const {
  if constexpr (!C::reset_before) {
    Normalized of = normalized_chunk(first_slot);
    if (s > 0) of.back = plan_.offset(s) - plan_.offset(s - 1);
    for_blocks(n, team != nullptr, [&](long first, long last) {
      const auto each = [&](auto&& body) {
        for (long i = first; i < last; ++i) body(rows[i]);
        if (team != nullptr) team->barrier(rank);
      };
      each([&](const GradientRow& row) { activation_gradients(row, of, part); });
      if constexpr (C::has_c) {
        each([&](const GradientRow& row) { memory_gradients(row, of, part); });
      }
      each([&](const GradientRow& row) {
        sums_gradient<C>(state_side<C>(q_.weights), row.d_sums, most_slots_ * Panels<C>::width,
                         of.h_sums + row.slot * sums_row<C>(s_.H), of.moments[row.slot].h, s_.H,
                         part.p_first, part.p_last, d_state_sums_ + row.slot * Panels<C>::width);
      });
    });
  }
}

// The gradients of the cell's sums; of an LSTM only the output gate's, with the other gates.
template <class C>
void BackwardPass<C>::activation_gradients(const GradientRow& row, const Normalized& of,
                                           const Part& part) const {
  for (long p = part.p_first; p < part.p_last; ++p) {
    with_units<C>(s_.H, p, [&](auto cell, auto whole) ELMAN_INLINE_BODY {
      activation_panel<decltype(cell), decltype(whole)::value>(row, of, p);
    });
  }
}

template <class C>
template <class Cell, bool Whole>
ELMAN_INLINE void BackwardPass<C>::activation_panel(const GradientRow& row, const Normalized& of,
                                                    long p) const {
  constexpr int V = Cell::vectors;
  const Weights& w = q_.weights;
  float* d_sums = row.d_sums + p * most_slots_ * Panels<C>::width;
  const long size = sums_row<C>(s_.H), here = row.slot * size, before = here - of.back * size;
  const RowMoments<C>& moments = of.moments[row.slot];
#pragma GCC unroll 4
  for (int v = 0; v < Cell::x_count; ++v) {
    const long at = before + (p * C::x_count + v) * lanes;
    __builtin_prefetch(of.x_sums + at);
    __builtin_prefetch(of.h_sums + at);
  }
  Vec s[V];
  normalized_sums<C, Cell, Whole>(s, w, s_.H, p, of.x_sums + here, of.h_sums + here,
                                  moments);
  if constexpr (Cell::vectors_are_units) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const long unit = Panels<C>::first_unit(p, v);
      const int count = units_in<C, Whole>(s_.H, unit);
      Vec direct;
      const Vec d = new_state_gradient(row, unit, count, direct);
      store(d_sums + v * lanes, first_lanes(d * Cell::slope(Cell::activate(s[v])), count));
      store(row.d_h + unit, direct, count);
    }
  } else {
    const long unit = Panels<C>::first_unit(p, 0);
    const int count = units_in<C, Whole>(s_.H, unit);
    Vec direct{}, d;
    if (projected_) {
      d = load(row.d_inner + unit, count);
    } else {
      d = new_state_gradient(row, unit, count, direct);
    }
    if constexpr (Cell::has_c) {
      const Vec c = Cell::gates(s, load(row.c_old + unit, count),
                                peepholes<C>(w.peephole, s_.H, unit, count));
      const Vec t = tanh(read_memory(w, c, moments.c, unit, count));
      const long at = row.slot * memory_row(s_.H) + unit;
      store(memory_ + at, c);
      store(d_read_ + at, first_lanes(d * s[3] * (1.0f - t * t), count));
      Cell::output_backward(s, d, t);
    } else {
      const Vec h_old = load(row.h_old + unit, count);
      Vec unused{};
      Cell::forward(s, h_old, unused, unused, {});
      direct = direct + Cell::backward(s, d, h_old, unused, unused, {}, unused);
    }
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) store(d_sums + v * lanes, first_lanes(s[v], count));
    if (!projected_) store(row.d_h + unit, direct, count);
  }
}

// From the gradient of what the output reads of an LSTM's memory that of the memory, and of its
// gates' sums.
template <class C>
void BackwardPass<C>::memory_gradients(const GradientRow& row, const Normalized& of,
                                       const Part& part) const {
  const Weights& w = q_.weights;
  const Moments& m = of.moments[row.slot].c;
  const float* memory = memory_ + row.slot * memory_row(s_.H);
  const float* d_read = d_read_ + row.slot * memory_row(s_.H);
  const GradientMeans means = memory_gradient_means(w, d_read, memory, m, s_.H);
  for (long p = part.p_first; p < part.p_last; ++p) {
    with_units<C>(s_.H, p, [&](auto, auto whole) ELMAN_INLINE_BODY {
      const long unit = Panels<C>::first_unit(p, 0);
      const int count = units_in<C, decltype(whole)::value>(s_.H, unit);
      float* d_sums = row.d_sums + p * most_slots_ * Panels<C>::width;
      Vec s[C::vectors], direct;
#pragma GCC unroll 4
      for (int v = 0; v < C::vectors; ++v) s[v] = load(d_sums + v * lanes);
      Vec d_c = split_zoneout(row.zone_c, unit, count, load(row.d_c + unit, count), direct);
      const Vec gd = load(w.norm_c + unit, count) * load(d_read + unit);
      d_c = d_c + means.of(gd, m.normalize(load(memory + unit)), m);
      C::memory_backward(s, load(row.c_old + unit, count), d_c,
                         peepholes<C>(w.peephole, s_.H, unit, count));
#pragma GCC unroll 4
      for (int v = 0; v < C::vectors; ++v) store(d_sums + v * lanes, first_lanes(s[v], count));
      store(row.d_c + unit, d_c + direct, count);
    });
  }
}

template <class C>
void BackwardPass<C>::input_sums_gradients(long first_slot, long num_slots, const Team& team,
                                           int rank) const {
  if constexpr (!C::reset_before) {
    const Normalized of = normalized_chunk(first_slot);
    for_share(num_slots, team, rank, [&](long first, long last) {
      for (long n = first; n < last; ++n) {
        float* d_sums = d_sums_ + n * Panels<C>::width;
        sums_gradient<C>(input_side<C>(q_.weights), d_sums, most_slots_ * Panels<C>::width,
                         of.x_sums + n * sums_row<C>(s_.H), of.moments[n].x, s_.H, 0, num_panels_,
                         d_sums);
      }
    });
  }
}

// Of panel p: what each slot of the chunk adds to the gradients of gains, of the memory's gain and
// shift, and of the peepholes. Blocks of slots, as for the biases.
template <class C>
void BackwardPass<C>::vector_gradients(long p, long first_slot, long num_slots) {
  if constexpr (!C::reset_before) {
    if (normalized_) {
      const Normalized of = normalized_chunk(first_slot);
      gain_gradient(input_side<C>(q_.weights), p, num_slots, of.x_sums, of.moments, true,
                    d_norm_ih_);
      gain_gradient(state_side<C>(q_.weights), p, num_slots, of.h_sums, of.moments, false,
                    d_norm_hh_);
    }
  }
  if constexpr (C::has_c) {
    const long unit = Panels<C>::first_unit(p, 0), row = memory_row(s_.H);
    const int count = Panels<C>::units_from(s_.H, unit);
    const auto add = [&](float* to, auto&& at) ELMAN_INLINE_BODY {
      for (long first = 0; first < num_slots; first += slots_at_once) {
        const long last = lesser(first + slots_at_once, num_slots);
        Vec total = zero();
        for (long n = first; n < last; ++n) total = total + at(n);
        store(to + unit, load(to + unit) + total);
      }
    };
    if (normalized_) {
      add(d_bias_c_, [&](long n) { return load(d_read_ + n * row + unit); });
      add(d_norm_c_, [&](long n) {
        return load(d_read_ + n * row + unit) *
               kept_.moments[first_slot + n].c.normalize(load(memory_ + n * row + unit));
      });
    }
    if constexpr (C::sees_memory) {
      const float* d_sums = d_sums_ + p * most_slots_ * Panels<C>::width;
      const auto gate = [&](long n, int v) {
        return load(d_sums + n * Panels<C>::width + v * lanes);
      };
      const auto old = [&](long n) { return load(old_memory_rows_[n] + unit, count); };
      add(d_peephole_, [&](long n) { return gate(n, 0) * old(n); });
      add(d_peephole_ + row, [&](long n) { return gate(n, 1) * old(n); });
      add(d_peephole_ + 2 * row,
          [&](long n) { return gate(n, 3) * load(memory_ + n * row + unit); });
    }
  }
}

template <class C>
void BackwardPass<C>::gain_gradient(const NormSide& side, long p, long num_slots, const float* sums,
                                    const RowMoments<C>* moments, bool of_input, float* to) const {
  const long size = sums_row<C>(s_.H);
  const float* d_sums = d_sums_ + p * most_slots_ * Panels<C>::width + side.first * lanes;
  for (long first = 0; first < num_slots; first += slots_at_once) {
    Vec total[C::x_count]{};
    for (long n = first; n < lesser(first + slots_at_once, num_slots); ++n) {
      const Moments* of = of_input ? moments[n].x : moments[n].h;
      for_vectors<C>(s_.H, p, p + 1, [&](long, int v, long, int) {
        const Vec sum = load(sums + n * size + (p * C::x_count + v) * lanes);
        total[v] = fma(load(d_sums + n * Panels<C>::width + v * lanes),
                       of[C::norm_group[side.gate[v]]].normalize(sum), total[v]);
      });
    }
    for_vectors<C>(s_.H, p, p + 1, [&](long, int v, long, int) {
      float* here = to + p * Panels<C>::width + (side.first + v) * lanes;
      store(here, load(here) + total[v]);
    });
  }
}

}  // namespace elman::ELMAN_ISA
