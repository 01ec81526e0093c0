// Memory that is used again: large buffers are kept for the next call, since asking the system
// anew costs a page fault for every page.
#pragma once

#include <cstddef>

namespace elman {

// A block of at least that many floats, aligned to 64 bytes, holding anything; NaN where the
// environment has ELMAN_POISON. Throws std::bad_alloc.
float* take_scratch(std::size_t num_floats);
void give_scratch(float* block);

class Scratch {
 public:
  explicit Scratch(long num_floats)
      : data_(num_floats > 0 ? take_scratch(static_cast<std::size_t>(num_floats)) : nullptr) {}
  ~Scratch() {
    if (data_ != nullptr) give_scratch(data_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  float* data() const { return data_; }

 private:
  float* data_;
};

}  // namespace elman
