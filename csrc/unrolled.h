// What the forward and the backward pass of a call share: where the numbers of a row lie at a
// step, what is kept between the passes, and how the work is parted.
#pragma once

#include "multiply.h"
#include "normalized.h"
#include "plan.h"
#include "pool.h"
#include "scratch.h"

namespace elman::ELMAN_ISA {

// What a call keeps for its backward pass, in packed order (see plan.h). Panel p of the gates
// begins at p * gate_slots * width and holds `width` floats a slot.
template <class C>
struct Kept {
  float *gates = nullptr, *c = nullptr;
  float *h = nullptr, *inner = nullptr;  // h: masked; inner: what a projection reads, or r * h
  // Under layer normalisation, in place of gates: both matrices' sums, `sums_row` floats a slot.
  float *x_sums = nullptr, *h_sums = nullptr;
  RowMoments<C>* moments = nullptr;
  long gate_slots = 0;
  // What only the step itself needs has a place a row, not one a slot.
  bool gates_by_row = false, inner_by_row = false, sums_by_row = false;
  float *memory = nullptr, *opened = nullptr;  // an LSTM's c' and o, until c' is normalised
  // Of how many steps the input is multiplied at once, where it is to be normalised.
  long steps_at_once = 1;

  // For the backward pass. Block null: to learn the size.
  Kept(const Forward& q, long slots, float* block) {
    const Sizes& s = q.sizes;
    gate_slots = slots;
    // A plain RNN's activation is its output, unless zoneout mixes that with the old one.
    const bool normalized = is_normalized(q.weights);
    const bool keeps_gates =
        !q.recompute && !normalized && (!C::vectors_are_units || q.zone_h != nullptr);
    if (keeps_gates) gates = take(block, slots * gate_row(s));
    if (normalized) {
      moments = reinterpret_cast<RowMoments<C>*>(take(block, slots * RowMoments<C>::floats));
      if (!q.recompute) {
        x_sums = take(block, slots * sums_row<C>(s.H));
        h_sums = take(block, slots * sums_row<C>(s.H));
      }
    }
    if (C::has_c) c = take(block, slots * s.H);
    if (q.mask != nullptr) h = take(block, slots * s.P);
    if (has_inner(s)) inner = take(block, slots * s.H + panel_width);
  }

  // Add, for the steps, what they need and is not kept.
  void lend(const Forward& q, long slots, bool keep, float* block) {
    const Sizes& s = q.sizes;
    size_ = 0;
    if (C::reset_before && gates == nullptr) {
      gates = take(block, s.B * gate_row(s));
      gate_slots = s.B;
      gates_by_row = true;
    }
    if (is_normalized(q.weights)) lend_sums(s, block);
    if (keep) return;
    if (q.mask != nullptr) h = take(block, slots * s.P);
    if (has_inner(s)) inner = take(block, s.B * s.H);
    inner_by_row = true;
  }

  // Where the input's sums of a row at a step lie, of packed slot `slot`; and the state's.
  float* x_sums_at(long slot, long s, long i, const Sizes& z) const {
    const long at = sums_by_row ? s % steps_at_once * z.B + i : slot;
    return x_sums + at * sums_row<C>(z.H);
  }
  float* h_sums_at(long slot, long i, const Sizes& z) const {
    return h_sums + (sums_by_row ? i : slot) * sums_row<C>(z.H);
  }

  Kept() = default;
  long size() const { return size_; }

 private:
  void lend_sums(const Sizes& s, float* block) {
    constexpr long floats_at_once = 128 * 1024;
    steps_at_once = lesser(s.T, greater(1, floats_at_once / (s.B * sums_row<C>(s.H))));
    if (x_sums == nullptr || sums_by_row) {
      sums_by_row = true;
      x_sums = take(block, steps_at_once * s.B * sums_row<C>(s.H));
      h_sums = take(block, s.B * sums_row<C>(s.H));
    }
    if (C::has_c) {
      memory = take(block, s.B * memory_row(s.H));
      opened = take(block, s.B * memory_row(s.H));
    }
  }
  static bool has_inner(const Sizes& s) { return C::reset_before || s.P != s.H; }
  static long gate_row(const Sizes& s) { return Panels<C>::count(s.H) * Panels<C>::width; }
  float* take(float* block, long floats) {
    float* here = block == nullptr ? nullptr : block + size_;
    size_ += floats;
    return here;
  }
  long size_ = 0;
};

// Every `stride`-th of the rows [first, last) in the plan's order, and, of those, panels of hidden
// units and of the projection's columns.
struct Part {
  long first, last, stride;
  long p_first, p_last;
  long j_first, j_last;

  long row(long n) const { return first + n * stride; }
  // How many of them are among the first `active`.
  long count(long active) const {
    const long end = lesser(last, active);
    return end <= first ? 0 : divide_up(end - first, stride);
  }
};

// How work is shared: many rows are dealt out among the threads, each row's steps to one of them;
// of few rows each thread takes some of the hidden units, and all meet at every step.
struct Sharing {
  bool by_units;
  int num_threads;
  long patience_ns;  // how long waiting for another thread may pay

  template <class C>
  static Sharing of(const Sizes& s, const Plan& plan, int num_threads) {
    constexpr double operations_worth_a_thread = 2e5, operations_a_ns = 100;
    constexpr long rows_worth_a_thread = 3, units_worth_a_thread = 64;
    const double operations = 2.0 * (double)plan.num_slots() * (double)s.H * C::vectors / C::units *
                              (double)(s.I + s.P);
    const auto at_most = [&](double limit) {
      return greater(1, (long)(limit < num_threads ? limit : num_threads));
    };
    const long threads = at_most(operations / operations_worth_a_thread);
    const long patience = (long)(operations / operations_a_ns / 4);
    const long by_rows = lesser(threads, at_most((double)(s.B / rows_worth_a_thread)));
    const long by_units = lesser(threads, at_most((double)(s.H / units_worth_a_thread)));
    if (by_units > by_rows) return {true, (int)by_units, patience};
    return {false, (int)by_rows, patience};
  }

  // The unit panels of one member, whose units are also whole panels of a product's columns.
  template <class C>
  static Part units(const Sizes& s, int size, int rank) {
    const long blocks = divide_up(s.H, panel_width), columns = divide_up(s.P, panel_width);
    const long per_block = panel_width / Panels<C>::panel_units;
    const auto bound = [&](long r) {
      return lesser(Panels<C>::count(s.H), blocks * r / size * per_block);
    };
    return {0, s.B, 1, bound(rank), bound(rank + 1), columns * rank / size, columns * (rank + 1) / size};
  }

  // One of `pieces` of the rows. Where lengths differ, each piece has its share of every length,
  // so that all have as much to do, at every step.
  template <class C>
  static Part rows(const Sizes& s, bool ragged, long piece, long pieces) {
    const long each = divide_up(s.B, pieces);
    const Part whole{0, s.B, 1, 0, Panels<C>::count(s.H), 0, divide_up(s.P, panel_width)};
    Part part = whole;
    if (ragged) {
      part.first = piece;
      part.stride = pieces;
    } else {
      part.first = lesser(piece * each, s.B);
      part.last = lesser(part.first + each, s.B);
    }
    return part;
  }
};

// Call body(part, team or null) for every part this member of the team is to do.
template <class C, class Body>
void for_parts(const Sharing& sharing, const Sizes& s, bool ragged, Team& team, int rank,
               long& next_piece, Body&& body) {
  if (sharing.by_units) {
    body(Sharing::units<C>(s, team.size(), rank), team.size() > 1 ? &team : nullptr);
    return;
  }
  for (long piece; (piece = Team::claim(next_piece)) < sharing.num_threads;) {
    body(Sharing::rows<C>(s, ragged, piece, sharing.num_threads), nullptr);
  }
}

// Call body(first, last) for blocks of n rows: of one thread's own few enough to stay in the
// nearest cache, and enough that one row's chain of operations does not wait for another's.
template <class Body>
void for_blocks(long n, bool shared, Body&& body) {
  const long at_once = shared ? n : 8;
  for (long first = 0; first < n; first += at_once) body(first, lesser(first + at_once, n));
}

// Where the i-th row's numbers lie at step s.
template <class C>
struct Places {
  const Forward& q;
  const Plan& plan;
  const Kept<C>& kept;

  long slot(long s, long i) const { return plan.offset(s) + i; }
  long time(long s, long i) const { return q.reverse ? plan.length(i) - 1 - s : s; }
  float* at(const Sequence& sequence, long s, long i) const {
    return sequence.data + time(s, i) * sequence.step + plan.row(i) * sequence.row;
  }
  const float* zone(const float* mask, long size, long s, long i) const {
    return mask == nullptr ? nullptr : mask + (time(s, i) * q.sizes.B + plan.row(i)) * size;
  }
  const float* h_old(long s, long i) const {
    return s == 0 ? q.h0 + plan.row(i) * q.sizes.P : at(q.y, s - 1, i);
  }
  // What the recurrent weights multiply.
  const float* h(long s, long i) const {
    return kept.h == nullptr ? h_old(s, i) : kept.h + slot(s, i) * q.sizes.P;
  }
  const float* mask(long i) const {
    return q.mask == nullptr ? nullptr : q.mask + plan.row(i) * q.sizes.P;
  }
};

}  // namespace elman::ELMAN_ISA
