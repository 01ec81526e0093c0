// Which rows are still running at each step, and where each real step lies in packed order.
//
// Rows are taken longest first, so that at every step those still running come first. Packed
// order is step by step, without padding: the `slot` of step s of the i-th longest row is
// offset(s) + i.
#pragma once

#include <cstdlib>

namespace elman {

class Plan {
 public:
  // lengths: (B), from 0 to T, or null if every row is full.
  Plan(long T, long B, const long* lengths);
  ~Plan() { std::free(memory_); }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  bool ragged() const { return memory_ != nullptr; }
  long num_steps() const { return num_steps_; }  // the longest row's
  long num_slots() const { return offset(num_steps_); }
  long row(long i) const { return ragged() ? rows_[i] : i; }
  long length(long i) const { return ragged() ? lengths_[i] : num_steps_; }
  long active(long s) const {
    if (s >= num_steps_) return 0;
    return ragged() ? offset(s + 1) - offset(s) : batch_;
  }
  long offset(long s) const { return ragged() ? offsets_[s] : s * batch_; }

 private:
  long batch_, num_steps_;
  long* memory_ = nullptr;
  long *rows_ = nullptr, *lengths_ = nullptr, *offsets_ = nullptr;
};

}  // namespace elman
