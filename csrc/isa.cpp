#include "isa.h"

namespace elman {

// Made by kernels.cpp and elementwise.cpp, compiled for each.
#define ELMAN_DECLARE(name)                      \
  namespace name {                               \
  extern const Kernels kernels;                  \
  extern const ElementwiseKernels elementwise;   \
  }
#if defined(ELMAN_X86)
ELMAN_DECLARE(avx512)
ELMAN_DECLARE(avx2)
#elif defined(ELMAN_ARM)
ELMAN_DECLARE(neon)
#endif
ELMAN_DECLARE(plain)

Isas isas() {
  static const Isa all[] = {
#if defined(ELMAN_X86)
      {"avx512",
       __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"),
       &avx512::kernels, &avx512::elementwise},
      {"avx2", __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"), &avx2::kernels, &avx2::elementwise},
#elif defined(ELMAN_ARM)
      {"neon", true, &neon::kernels, &neon::elementwise},
#endif
      {"plain", true, &plain::kernels, &plain::elementwise},
  };
  return {all, all + sizeof all / sizeof *all};
}

}  // namespace elman
