// The backward pass through time: gradients of what went in, from those of what came out.
//
// From the last step to the first, some steps at a time: first, row by row, the gradients of the
// steps' sums, each step needing the one after it; then, of all these steps together, their
// products with the weights (the gradient of x) and with x and h (those of the weights).
#pragma once

#include "forward.h"

namespace elman::ELMAN_ISA {

// Where one row's numbers lie at the step being computed; null where there are none.
struct GradientRow {
  const float* d_y;
  float* d_h;           // of the new state in, of the old one out
  float* d_c;
  const float* gates;   // of panel 0
  float* d_sums;        // likewise
  const float* y;
  const float* h;       // what the recurrent weights multiplied
  const float* h_old;
  const float* c_old;
  const float* mask;
  const float* zone_h;
  const float* zone_c;
  float* d_inner;       // of what a projection read, or of r * h
  float* d_output;      // of a projection's result
  long slot;            // among those of the chunk
};

template <class C>
class BackwardPass {
 public:
  BackwardPass(const Forward& q, const Backward& g, const Plan& plan, const Kept<C>& kept)
      : q_(q), g_(g), s_(q.sizes), plan_(plan), kept_(kept), places_{q, plan, kept},
        num_panels_(Panels<C>::count(s_.H)), gate_row_(num_panels_ * Panels<C>::width),
        projected_(s_.P != s_.H), normalized_(is_normalized(q.weights)) {}

  // again: computes the gates where they were not kept; else null.
  void run(int num_threads, const ForwardPass<C>* again) {
    start();
    if (plan_.num_steps() == 0) return zero_weights();
    const long num_chunks = cut();
    const Scratch memory(size_of_scratch(num_chunks));
    place_scratch(memory.data(), num_chunks);
    const Sharing sharing = Sharing::of<C>(s_, plan_, num_threads);
    auto work = [&](Team& team, int rank) {
      zero_gradients(team, rank);
      pack(team, rank);
      team.barrier(rank);
      for (long chunk = num_chunks - 1; chunk >= 0; --chunk) {
        const long s0 = chunk * steps_at_once_, s1 = lesser(s0 + steps_at_once_, plan_.num_steps());
        for_parts<C>(sharing, s_, plan_.ragged(), team, rank, next_piece_[chunk],
                     [&](const Part& part, Team* peers) {
                       sums(part, s0, s1, again, peers, rank);
                     });
        team.barrier(rank);
        products(s0, s1, team, rank);
        team.barrier(rank);
      }
      unpack(team, rank);
    };
    run_team(sharing.num_threads, sharing.patience_ns, work);
  }

 private:
  // --- what is needed, and where ---

  // Of the gradients of sums with what one matrix of weights multiplied.
  enum class Side { input, state, inner };
  struct Product {
    Side side;
    Window window;
    long num_columns;
    float* weights;         // where the gradient goes, in torch's layout
    float* bias;
    float* packed;          // where it is summed
    const float** rows;     // of each slot of the chunk, what was multiplied
  };

  void start() {
    const std::size_t row = sizeof(float) * (std::size_t)s_.P, c_row = sizeof(float) * (std::size_t)s_.H;
    const auto begin = [&](float* to, const float* from, std::size_t size) {
      if (s_.B == 0) return;
      if (from == nullptr) {
        std::memset(to, 0, (std::size_t)s_.B * size);
      } else {
        std::memcpy(to, from, (std::size_t)s_.B * size);
      }
    };
    begin(g_.d_h0, g_.d_h_last, row);
    if constexpr (C::has_c) begin(g_.d_c0, g_.d_c_last, c_row);
    if (g_.d_x.data != nullptr && plan_.ragged()) {
      for (long i = 0; i < s_.B; ++i) {
        for (long t = plan_.length(i); t < s_.T; ++t) {
          std::memset(g_.d_x.data + t * g_.d_x.step + plan_.row(i) * g_.d_x.row, 0,
                      sizeof(float) * (std::size_t)s_.I);
        }
      }
    }
    const Weights& d = g_.d_weights;
    num_products_ = 0;
    const auto want = [&](Side side, Window window, long columns, float* weights, float* bias) {
      if (weights != nullptr || bias != nullptr) {
        products_[num_products_++] = {side, window, columns, weights, bias, nullptr, nullptr};
      }
    };
    want(Side::input, x_window<C>(), s_.I, d.ih, d.bias_ih);
    want(Side::state, h_window<C>(), s_.P, d.hh, d.bias_hh);
    if constexpr (C::reset_before) want(Side::inner, n_window(), s_.H, d.hh, d.bias_hh);
  }

  void zero_weights() {
    const Weights& d = g_.d_weights;
    const long gates = (!C::vectors_are_units ? (C::has_c ? 4 : 3) : 1) * s_.H;
    const auto clear = [](float* data, long floats) {
      if (data != nullptr) std::memset(data, 0, sizeof(float) * (std::size_t)floats);
    };
    clear(d.ih, gates * s_.I);
    clear(d.hh, gates * s_.P);
    clear(d.bias_ih, gates);
    clear(d.bias_hh, gates);
    clear(d.hr, s_.P * s_.H);
    clear(d.norm_ih, gates);
    clear(d.norm_hh, gates);
    clear(d.norm_c, s_.H);
    clear(d.bias_c, s_.H);
    clear(d.peephole, 3 * s_.H);
  }

  // How many steps at a time: enough rows for the weights' products, no more than the caches hold.
  long cut() {
    constexpr long rows_at_least = 256;
    // Layer normalisation reads and writes four times as much for each.
    const long floats_at_once = normalized_ ? 64 * 1024 : 512 * 1024;
    const long rows = greater(rows_at_least, floats_at_once / gate_row_);
    steps_at_once_ = lesser(plan_.num_steps(), greater(1, rows / greater(1, plan_.active(0))));
    most_slots_ = 0;
    long chunks = 0;
    for (long s0 = 0; s0 < plan_.num_steps(); s0 += steps_at_once_, ++chunks) {
      const long s1 = lesser(s0 + steps_at_once_, plan_.num_steps());
      most_slots_ = greater(most_slots_, plan_.offset(s1) - plan_.offset(s0));
    }
    return chunks;
  }

  template <class Take>
  void lay_out(long num_chunks, Take take) {
    d_sums_ = d_state_sums_ = take(most_slots_ * gate_row_);
    if (normalized_) {
      d_state_sums_ = take(most_slots_ * gate_row_);
      if (q_.recompute) {
        x_sums_ = take(most_slots_ * sums_row<C>(s_.H));
        h_sums_ = take(most_slots_ * sums_row<C>(s_.H));
      }
      if (C::has_c) d_read_ = take(most_slots_ * memory_row(s_.H));
    }
    if (C::has_c && (normalized_ || C::sees_memory)) {
      memory_ = take(most_slots_ * memory_row(s_.H));
      old_memory_rows_ = reinterpret_cast<const float**>(take(2 * most_slots_));
    }
    const auto take_columns = [&](float*& block, Columns& columns, long num_k, long num_columns) {
      block = take(Columns::size(num_k, num_columns));
      columns = {block, num_k, num_columns};
    };
    take_columns(h_block_, h_columns_, window_rows<C>(h_window<C>(), s_.H), s_.P);
    if (g_.d_x.data != nullptr) {
      take_columns(x_block_, x_columns_, window_rows<C>(x_window<C>(), s_.H), s_.I);
    }
    if constexpr (C::reset_before) {
      take_columns(inner_block_, inner_columns_, window_rows<C>(n_window(), s_.H), s_.H);
    }
    if (projected_) {
      take_columns(inner_block_, inner_columns_, s_.P, s_.H);
      d_output_ = take(most_slots_ * s_.P);
      output_rows_ = reinterpret_cast<const float**>(take(2 * most_slots_));
      d_projection_ = take(Columns::size(s_.P, s_.H));
    }
    if (projected_ || C::reset_before) d_inner_ = take(s_.B * s_.H);
    for (int m = 0; m < num_products_; ++m) {
      Product& product = products_[m];
      product.packed = take(num_panels_ * product.num_columns * product.window.count * lanes);
      product.rows = reinterpret_cast<const float**>(take(2 * most_slots_));
    }
    d_bias_ = take(gate_row_);
    d_norm_ih_ = take(gate_row_);
    d_norm_hh_ = take(gate_row_);
    if constexpr (C::has_c) {
      d_norm_c_ = take(memory_row(s_.H));
      d_bias_c_ = take(memory_row(s_.H));
      d_peephole_ = take(3 * memory_row(s_.H));
    }
    next_piece_ = reinterpret_cast<long*>(take(2 * num_chunks));
  }

  long size_of_scratch(long num_chunks) {
    long size = 0;
    lay_out(num_chunks, [&](long floats) -> float* {
      size += divide_up(floats, 16) * 16;
      return nullptr;
    });
    return size;
  }

  void place_scratch(float* block, long num_chunks) {
    lay_out(num_chunks, [&](long floats) {
      float* here = block;
      block += divide_up(floats, 16) * 16;
      return here;
    });
    for (long chunk = 0; chunk < num_chunks; ++chunk) next_piece_[chunk] = 0;
  }

  void pack(const Team& team, int rank) {
    const Weights& w = q_.weights;
    for_share(num_panels_, team, rank, [&](long p0, long p1) {
      pack_backward<C>(h_block_, h_window<C>(), w.hh, s_.H, s_.P, p0, p1);
      if (x_block_ != nullptr) {
        pack_backward<C>(x_block_, x_window<C>(), w.ih, s_.H, s_.I, p0, p1);
      }
      if constexpr (C::reset_before) {
        pack_backward<C>(inner_block_, n_window(), w.hh, s_.H, s_.H, p0, p1);
      }
    });
    if (projected_ && rank == 0) pack_plain(inner_block_, w.hr, s_.P, s_.H);
  }

  // --- the gradients of the sums, step by step ---

  // A row's gradients of sums as the left side of a product: a run of the window's a panel.
  Runs runs(Window window) const {
    const long length = window.count * lanes;
    return {num_panels_, length, window_count<C>(window, s_.H, num_panels_ - 1) * lanes,
            most_slots_ * Panels<C>::width};
  }

  GradientRow row_at(long s, long i, long first_slot, const float* gates, bool again) const {
    const long slot = places_.slot(s, i), here = slot - first_slot, b = plan_.row(i);
    GradientRow row{};
    if (g_.d_y.data != nullptr) row.d_y = places_.at(g_.d_y, s, i);
    row.d_h = g_.d_h0 + b * s_.P;
    row.d_sums = d_sums_ + here * Panels<C>::width;
    row.gates = again ? row.d_sums : gates == nullptr ? nullptr : gates + slot * Panels<C>::width;
    row.y = places_.at(q_.y, s, i);
    row.h = places_.h(s, i);
    row.h_old = places_.h_old(s, i);
    if constexpr (C::has_c) {
      row.d_c = g_.d_c0 + b * s_.H;
      row.c_old = old_memory(s, i);
      row.zone_c = places_.zone(q_.zone_c, s_.H, s, i);
    }
    row.mask = places_.mask(i);
    row.zone_h = places_.zone(q_.zone_h, s_.P, s, i);
    if (d_inner_ != nullptr) row.d_inner = d_inner_ + i * s_.H;
    if (projected_) row.d_output = d_output_ + here * s_.P;
    row.slot = here;
    return row;
  }

  void sums(const Part& part, long s0, long s1, const ForwardPass<C>* again, Team* team,
            int rank) {
    const long first_slot = plan_.offset(s0);
    const long most = part.count(plan_.active(s0));
    if (most == 0) return;
    if (again != nullptr) compute_again(*again, part, s0, s1);
    const Scratch memory(most * (long)(sizeof(GradientRow) + sizeof(float*) + sizeof(Result)) / 4);
    GradientRow* rows = reinterpret_cast<GradientRow*>(memory.data());
    const float** left = reinterpret_cast<const float**>(rows + most);
    Result* right = reinterpret_cast<Result*>(left + most);
    const long gates_step =
        (again != nullptr ? most_slots_ : kept_.gate_slots) * Panels<C>::width;
    const auto meet = [&] {
      if (team != nullptr) team->barrier(rank);
    };
    // A member's share of a product with N columns that are hidden units: its own panels'.
    const long j_first = part.p_first * Panels<C>::panel_units / panel_width;
    const long j_last = divide_up(part.p_last * Panels<C>::panel_units, panel_width);

    for (long s = s1 - 1; s >= s0; --s) {
      const long n = part.count(plan_.active(s));
      if (n == 0) continue;
      for (long i = 0; i < n; ++i) {
        rows[i] = row_at(s, part.row(i), first_slot, kept_.gates, again != nullptr);
      }
      if (projected_) {
        for (long i = 0; i < n; ++i) {
          output_gradient(rows[i], part);
          left[i] = rows[i].d_output;
          right[i] = {rows[i].d_inner, nullptr, nullptr};
        }
        meet();
        multiply(left, n, Runs::one(s_.P), inner_columns_, j_first, j_last, right);
      }
      if (normalized_) {
        normalized_gradients(rows, n, s, first_slot, part, team, rank);
      } else {
        for (long p = part.p_first; p < part.p_last; ++p) {
          with_panel<C>(s_.H, p, [&](auto cell) {
            for (long i = 0; i < n; ++i) pointwise<decltype(cell)>(rows[i], p, gates_step);
          });
        }
      }
      meet();
      if constexpr (C::reset_before) {
        for (long i = 0; i < n; ++i) {
          left[i] = rows[i].d_sums;
          right[i] = {rows[i].d_inner, nullptr, nullptr};
        }
        multiply(left, n, runs(n_window()), inner_columns_, j_first, j_last, right);
        for (long p = part.p_first; p < part.p_last; ++p) {
          for (long i = 0; i < n; ++i) reset_gradient(rows[i], p, gates_step);
        }
        meet();
      }
      for (long i = 0; i < n; ++i) {
        left[i] = d_state_sums_ + rows[i].slot * Panels<C>::width + C::h_first * lanes;
        right[i] = {rows[i].d_h, rows[i].mask, rows[i].d_h};
      }
      if (projected_) {
        multiply(left, n, runs(h_window<C>()), h_columns_, part.j_first, part.j_last, right);
      } else {
        multiply(left, n, runs(h_window<C>()), h_columns_, j_first, j_last, right);
      }
    }
  }

  // The gradient of the cell's output from that of the new state, d_h becoming what goes straight
  // to the old one.
  ELMAN_INLINE Vec split_zoneout(const float* zone, long unit, int count, Vec d, Vec& direct) const {
    if (zone == nullptr) {
      direct = zero();
      return d;
    }
    direct = d * load(zone + unit, count);
    return d - direct;
  }

  void output_gradient(const GradientRow& row, const Part& part) const {
    const long last = lesser(s_.P, part.j_last * panel_width);
    for (long unit = part.j_first * panel_width; unit < last; unit += lanes) {
      const int count = (int)lesser(lanes, last - unit);
      Vec d = load(row.d_h + unit, count), direct;
      if (row.d_y != nullptr) d = d + load(row.d_y + unit, count);
      d = split_zoneout(row.zone_h, unit, count, d, direct);
      store(row.d_output + unit, d, count);
      store(row.d_h + unit, direct, count);
    }
  }

  template <class Cell>
  ELMAN_INLINE void pointwise(const GradientRow& row, long p, long gates_step) const {
    constexpr int V = Cell::vectors;
    float* d_sums = row.d_sums + p * most_slots_ * Panels<C>::width;
    const float* gates = row.gates == nullptr ? nullptr : row.gates + p * gates_step;
    if constexpr (Cell::vectors_are_units) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        const long unit = Panels<C>::first_unit(p, v);
        const int count = Panels<C>::units_from(s_.H, unit);
        Vec direct;
        const Vec d = new_state_gradient(row, unit, count, direct);
        const Vec h = gates != nullptr ? load(gates + v * lanes) : load(row.y + unit, count);
        store(d_sums + v * lanes, first_lanes(d * Cell::slope(h), count));
        store(row.d_h + unit, direct, count);
      }
    } else {
      const long unit = Panels<C>::first_unit(p, 0);
      const int count = Panels<C>::units_from(s_.H, unit);
      Vec direct{}, d, s[V], h_old{}, c_old{}, d_c{}, direct_c{};
      if (Cell::has_c && projected_) {
        d = load(row.d_inner + unit, count);
      } else {
        d = new_state_gradient(row, unit, count, direct);
      }
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) s[v] = load(gates + v * lanes);
      if constexpr (Cell::reads_h_old) h_old = load(row.h_old + unit, count);
      if constexpr (Cell::has_c) {
        c_old = load(row.c_old + unit, count);
        d_c = split_zoneout(row.zone_c, unit, count, load(row.d_c + unit, count), direct_c);
      }
      Vec memory{};
      direct = direct + Cell::backward(s, d, h_old, c_old, d_c,
                                       peepholes<C>(q_.weights.peephole, s_.H, unit, count),
                                       memory);
      if constexpr (Cell::sees_memory) {
        store(memory_ + row.slot * memory_row(s_.H) + unit, memory);
      }
      // Units that do not exist must add nothing: their sums may be NaN, of an infinite input.
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) store(d_sums + v * lanes, first_lanes(s[v], count));
      if constexpr (Cell::has_c) store(row.d_c + unit, d_c + direct_c, count);
      if (!(Cell::has_c && projected_)) store(row.d_h + unit, direct, count);
    }
  }

  ELMAN_INLINE Vec new_state_gradient(const GradientRow& row, long unit, int count,
                                      Vec& direct) const {
    Vec d = load(row.d_h + unit, count);
    if (row.d_y != nullptr) d = d + load(row.d_y + unit, count);
    return split_zoneout(row.zone_h, unit, count, d, direct);
  }

  // Of the GRU that resets before the product, from the gradient of r * h: those of r and of h.
  void reset_gradient(const GradientRow& row, long p, long gates_step) const {
    const long unit = Panels<C>::first_unit(p, 0);
    const int count = Panels<C>::units_from(s_.H, unit);
    // Computed again, the gate lies where its gradient goes.
    const Vec r = load(row.gates + p * gates_step + lanes);
    const Vec d = load(row.d_inner + unit, count), h = load(row.h + unit, count);
    store(row.d_sums + p * most_slots_ * Panels<C>::width + lanes,
          first_lanes(d * h * r * (1.0f - r), count));
    Vec d_h = d * r;
    if (row.mask != nullptr) d_h = d_h * load(row.mask + unit, count);
    store(row.d_h + unit, load(row.d_h + unit, count) + d_h, count);
  }

  // --- of layer normalisation and peepholes: backward_normalized.h ---

  void compute_again(const ForwardPass<C>& again, const Part& part, long s0, long s1);
  // Where a chunk's sums and moments lie, and how many slots before a row's is that of its step
  // before, which comes next.
  struct Normalized {
    const float *x_sums, *h_sums;
    const RowMoments<C>* moments;
    long back;
  };
  void normalized_gradients(const GradientRow* rows, long n, long s, long first_slot,
                            const Part& part, Team* team, int rank) const;
  void activation_gradients(const GradientRow& row, const Normalized& of, const Part& part) const;
  template <class Cell, bool Whole>
  void activation_panel(const GradientRow& row, const Normalized& of, long p) const;
  void memory_gradients(const GradientRow& row, const Normalized& of, const Part& part) const;
  void input_sums_gradients(long first_slot, long num_slots, const Team& team, int rank) const;
  void vector_gradients(long p, long first_slot, long num_slots);
  void gain_gradient(const NormSide& side, long p, long num_slots, const float* sums,
                     const RowMoments<C>* moments, bool of_input, float* to) const;

  const float* old_memory(long s, long i) const {
    return s == 0 ? q_.c0 + plan_.row(i) * s_.H : kept_.c + places_.slot(s - 1, i) * s_.H;
  }
  Normalized normalized_chunk(long first_slot) const {
    const long from = first_slot * sums_row<C>(s_.H);
    return {q_.recompute ? x_sums_ : kept_.x_sums + from,
            q_.recompute ? h_sums_ : kept_.h_sums + from, kept_.moments + first_slot, 0};
  }

  // --- the products of a chunk of steps ---

  void products(long s0, long s1, Team& team, int rank) {
    const long first_slot = plan_.offset(s0), num_slots = plan_.offset(s1) - first_slot;
    find_rows(s0, s1, num_slots, team, rank);
    team.barrier(rank);
    for_share(num_panels_, team, rank, [&](long p0, long p1) {
      for (long p = p0; p < p1; ++p) {
        bias_gradient(p, num_slots);
        vector_gradients(p, first_slot, num_slots);
      }
    });
    if (normalized_) {
      // What the biases and gains have read becomes the gradient of the input's own sums.
      team.barrier(rank);
      input_sums_gradients(first_slot, num_slots, team, rank);
      team.barrier(rank);
    }
    if (g_.d_x.data != nullptr) input_gradient(s0, s1, num_slots, team, rank);
    for (int m = 0; m < num_products_; ++m) {
      Product& product = products_[m];
      const long tiles = weight_tiles(product.num_columns);
      for_share(num_panels_ * tiles, team, rank, [&](long n0, long n1) {
        for (long n = n0; n < n1;) {
          const long p = n / tiles, last = lesser(n1, (p + 1) * tiles);
          weight_gradient(product, p, (n - p * tiles) * columns_at_once,
                          lesser((last - p * tiles) * columns_at_once, product.num_columns),
                          num_slots);
          n = last;
        }
      });
    }
    if (projected_ && g_.d_weights.hr != nullptr) {
      for_share(divide_up(s_.H, panel_width), team, rank, [&](long j0, long j1) {
        for (long j = j0; j < j1; ++j) projection_gradient(j, first_slot, num_slots);
      });
    }
  }

  template <class Body>
  static void for_share(long n, const Team& team, int rank, Body&& body) {
    const long first = n * rank / team.size(), last = n * (rank + 1) / team.size();
    if (first < last) body(first, last);
  }

  // Call body(step, i, slot in the chunk) for this member's share of the slots.
  template <class Body>
  void for_slots(long s0, long s1, long num_slots, const Team& team, int rank, Body&& body) const {
    for_share(num_slots, team, rank, [&](long first, long last) {
      const long before = plan_.offset(s0);
      long s = s0;
      for (long n = first; n < last; ++n) {
        while (s + 1 < s1 && plan_.offset(s + 1) - before <= n) ++s;
        body(s, n - (plan_.offset(s) - before), n);
      }
    });
  }

  void find_rows(long s0, long s1, long num_slots, const Team& team, int rank) {
    const long first_slot = plan_.offset(s0);
    for_slots(s0, s1, num_slots, team, rank, [&](long s, long i, long n) {
      for (int m = 0; m < num_products_; ++m) {
        Product& product = products_[m];
        product.rows[n] = product.side == Side::input   ? places_.at(q_.x, s, i)
                          : product.side == Side::state ? places_.h(s, i)
                                                        : kept_.inner + (first_slot + n) * s_.H;
      }
      if (projected_) output_rows_[n] = d_output_ + n * s_.P;
      if constexpr (C::has_c) {
        if (old_memory_rows_ != nullptr) old_memory_rows_[n] = old_memory(s, i);
      }
    });
  }

  void input_gradient(long s0, long s1, long num_slots, const Team& team, int rank) {
    constexpr long block = 96;
    const float* left[block];
    Result right[block];
    long filled = 0;
    const Runs gates = runs(x_window<C>());
    const auto flush = [&] {
      multiply(left, filled, gates, x_columns_, 0, x_columns_.num_panels(), right);
      filled = 0;
    };
    for_slots(s0, s1, num_slots, team, rank, [&](long s, long i, long n) {
      left[filled] = d_sums_ + n * Panels<C>::width + C::x_first * lanes;
      right[filled++] = {places_.at(g_.d_x, s, i), nullptr, nullptr};
      if (filled == block) flush();
    });
    if (filled > 0) flush();
  }

  static constexpr long columns_at_once = 24;
  static constexpr long slots_at_once = 128;
  static long weight_tiles(long num_columns) { return divide_up(num_columns, columns_at_once); }

  // packed[column][v] += sum over slots of rows[slot][column] * d_sums[slot][v].
  void weight_gradient(const Product& product, long p, long first, long last, long num_slots) {
    const float* d_sums = (product.side == Side::state ? d_state_sums_ : d_sums_) +
                          p * most_slots_ * Panels<C>::width + product.window.first * lanes;
    float* packed = product.packed + p * product.num_columns * product.window.count * lanes;
    with_constant<C::vectors>(window_count<C>(product.window, s_.H, p), [&](auto vectors) {
      constexpr int V = decltype(vectors)::value;
      for (long n = 0; n < num_slots; n += slots_at_once) {
        for_tiles<max_rows<V>>(last - first, [&](long column, auto height) {
          transposed_tile<decltype(height)::value, V>(
              product.rows + n, first + column, d_sums + n * Panels<C>::width, Panels<C>::width,
              lesser(slots_at_once, num_slots - n), packed + (first + column) * V * lanes);
        });
      }
    });
  }

  template <int R, int V>
  static __attribute__((noinline)) void transposed_tile(const float* const* rows, long column,
                                                        const float* right, long right_step,
                                                        long num_slots, float* to) {
    // Each block of slots is summed from zero: sums of sums keep their precision in long batches.
    Vec s[R][V];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) s[r][v] = zero();
    }
    accumulate_transposed<R, V>(s, rows, column, right, right_step, num_slots);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        float* sum = to + (r * V + v) * lanes;
        store(sum, load(sum) + s[r][v]);
      }
    }
  }

  void bias_gradient(long p, long num_slots) {
    const float* d_sums = d_sums_ + p * most_slots_ * Panels<C>::width;
    float* to = d_bias_ + p * Panels<C>::width;
    const int vectors = Panels<C>::vectors(s_.H, p);
    for (int v = 0; v < vectors; ++v) {
      for (long first = 0; first < num_slots; first += slots_at_once) {
        Vec sum = zero();
        for (long n = first; n < lesser(first + slots_at_once, num_slots); ++n) {
          sum = sum + load(d_sums + n * Panels<C>::width + v * lanes);
        }
        store(to + v * lanes, load(to + v * lanes) + sum);
      }
    }
  }

  // Of the projection (P, H), panel j of its columns. The last panel's padding reads on into the
  // next row, which is harmless, and after the last one into the padding of `kept`.
  void projection_gradient(long j, long first_slot, long num_slots) {
    const Columns shape{nullptr, s_.P, s_.H};
    float* packed = d_projection_ + j * s_.P * panel_width;
    const float* inner = kept_.inner + first_slot * s_.H + j * panel_width;
    with_constant<panel_vectors>(shape.vectors(j), [&](auto vectors) {
      constexpr int V = decltype(vectors)::value;
      for (long n = 0; n < num_slots; n += slots_at_once) {
        for_tiles<max_rows<V>>(s_.P, [&](long output, auto height) {
          transposed_tile<decltype(height)::value, V>(
              output_rows_ + n, output, inner + n * s_.H, s_.H,
              lesser(slots_at_once, num_slots - n), packed + output * V * lanes);
        });
      }
    });
  }

  // --- sums to torch's layout ---

  void zero_gradients(const Team& team, int rank) {
    const auto clear = [&](float* data, long floats) {
      for_share(floats, team, rank, [&](long first, long last) {
        std::memset(data + first, 0, sizeof(float) * (std::size_t)(last - first));
      });
    };
    for (int m = 0; m < num_products_; ++m) {
      clear(products_[m].packed, num_panels_ * products_[m].num_columns * products_[m].window.count * lanes);
    }
    if (projected_) clear(d_projection_, Columns::size(s_.P, s_.H));
    clear(d_bias_, gate_row_);
    clear(d_norm_ih_, gate_row_);
    clear(d_norm_hh_, gate_row_);
    if constexpr (C::has_c) {
      clear(d_norm_c_, memory_row(s_.H));
      clear(d_bias_c_, memory_row(s_.H));
      clear(d_peephole_, 3 * memory_row(s_.H));
    }
  }

  void unpack(const Team& team, int rank) {
    for_share(num_panels_, team, rank, [&](long p0, long p1) {
      for (int m = 0; m < num_products_; ++m) {
        const Product& product = products_[m];
        if (product.weights != nullptr) {
          unpack_forward<C>(product.weights, product.window, product.packed, s_.H,
                            product.num_columns, p0, p1);
        }
        unpack_vector(product.bias, product.window, d_bias_, p0, p1);
      }
      unpack_vector(g_.d_weights.norm_ih, x_window<C>(), d_norm_ih_, p0, p1);
      unpack_vector(g_.d_weights.norm_hh, h_window<C>(), d_norm_hh_, p0, p1);
    });
    if (C::has_c && rank == 0) {
      const auto copy = [&](float* to, const float* from) {
        if (to != nullptr) std::memcpy(to, from, sizeof(float) * (std::size_t)s_.H);
      };
      copy(g_.d_weights.norm_c, d_norm_c_);
      copy(g_.d_weights.bias_c, d_bias_c_);
      for (int m = 0; m < 3 && g_.d_weights.peephole != nullptr; ++m) {
        copy(g_.d_weights.peephole + m * s_.H, d_peephole_ + m * memory_row(s_.H));
      }
    }
    if (projected_ && g_.d_weights.hr != nullptr && rank == 0) {
      const Columns shape{nullptr, s_.P, s_.H};
      for (long j = 0; j < shape.num_panels(); ++j) {
        const long width = shape.vectors(j) * lanes, column = j * panel_width;
        for (long output = 0; output < s_.P; ++output) {
          std::memcpy(g_.d_weights.hr + output * s_.H + column,
                      d_projection_ + j * s_.P * panel_width + output * width,
                      sizeof(float) * (std::size_t)lesser(width, s_.H - column));
        }
      }
    }
  }

  void unpack_vector(float* to, Window window, const float* from, long p0, long p1) const {
    if (to == nullptr) return;
    for (long p = p0; p < p1; ++p) {
      for (int v = 0; v < window_count<C>(window, s_.H, p); ++v) {
        const long unit = Panels<C>::first_unit(p, window.first + v);
        std::memcpy(to + window.gate[v] * s_.H + unit,
                    from + p * Panels<C>::width + (window.first + v) * lanes,
                    sizeof(float) * (std::size_t)Panels<C>::units_from(s_.H, unit));
      }
    }
  }

  const Forward& q_;
  const Backward& g_;
  const Sizes& s_;
  const Plan& plan_;
  const Kept<C>& kept_;
  const Places<C> places_;
  long num_panels_, gate_row_;
  bool projected_, normalized_;
  long steps_at_once_ = 1, most_slots_ = 0;
  Product products_[3];
  int num_products_ = 0;
  Columns h_columns_{}, x_columns_{}, inner_columns_{};
  float *h_block_ = nullptr, *x_block_ = nullptr, *inner_block_ = nullptr;
  float *d_sums_ = nullptr, *d_output_ = nullptr, *d_inner_ = nullptr, *d_projection_ = nullptr,
        *d_bias_ = nullptr;
  float *d_state_sums_ = nullptr, *x_sums_ = nullptr, *h_sums_ = nullptr, *d_read_ = nullptr,
        *memory_ = nullptr;
  float *d_norm_ih_ = nullptr, *d_norm_hh_ = nullptr, *d_norm_c_ = nullptr, *d_bias_c_ = nullptr,
        *d_peephole_ = nullptr;
  const float **output_rows_ = nullptr, **old_memory_rows_ = nullptr;
  long* next_piece_ = nullptr;
};

}  // namespace elman::ELMAN_ISA

#include "backward_normalized.h"
