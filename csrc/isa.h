// Which instruction sets this build holds, and which of them this machine can run.
#pragma once

#include "elementwise.h"
#include "problem.h"

namespace elman {

struct Isa {
  const char* name;
  bool supported;
  const Kernels* kernels;
  const ElementwiseKernels* elementwise;
};

// Fastest first; the last one runs everywhere.
struct Isas {
  const Isa* begin_;
  const Isa* end_;
  const Isa* begin() const { return begin_; }
  const Isa* end() const { return end_; }
};
Isas isas();

}  // namespace elman
