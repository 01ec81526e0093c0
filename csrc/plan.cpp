#include "plan.h"

#include <algorithm>
#include <new>
#include <numeric>

namespace elman {

Plan::Plan(long T, long B, const long* lengths) : batch_(B), num_steps_(T) {
  if (lengths == nullptr) return;
  memory_ = static_cast<long*>(std::malloc(sizeof(long) * static_cast<std::size_t>(2 * B + T + 2)));
  if (memory_ == nullptr) throw std::bad_alloc();
  rows_ = memory_;
  lengths_ = rows_ + B;
  offsets_ = lengths_ + B;
  std::iota(rows_, rows_ + B, 0L);
  std::stable_sort(rows_, rows_ + B, [&](long a, long b) { return lengths[a] > lengths[b]; });
  std::transform(rows_, rows_ + B, lengths_, [&](long row) { return lengths[row]; });
  num_steps_ = B > 0 ? lengths_[0] : 0;
  offsets_[0] = 0;
  long running = B;
  for (long s = 0; s < num_steps_; ++s) {
    while (lengths_[running - 1] <= s) --running;
    offsets_[s + 1] = offsets_[s] + running;
  }
}

}  // namespace elman
