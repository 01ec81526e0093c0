// One vector of floats as wide as the instruction set this file is compiled for.
//
// Compiled once per instruction set: what is compiled for one lies in a namespace of its name, since
// of an inline function in two objects the linker keeps one copy for both. For the same reason no
// templates of the standard library are used that make code.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#define ELMAN_INLINE inline __attribute__((always_inline))
#define ELMAN_INLINE_BODY __attribute__((always_inline))  // of a lambda

namespace elman::ELMAN_ISA {

#if defined(__AVX512F__)
constexpr int lanes = 16;
constexpr int max_accumulators = 24;  // of 32 registers; the rest hold what is multiplied
#elif defined(__AVX2__)
constexpr int lanes = 8;
constexpr int max_accumulators = 12;  // of 16 registers
#elif defined(__aarch64__)
constexpr int lanes = 4;
constexpr int max_accumulators = 24;
#else
constexpr int lanes = 4;
constexpr int max_accumulators = 12;
#endif

typedef float Vec __attribute__((vector_size(4 * lanes)));
typedef std::int32_t IntVec __attribute__((vector_size(4 * lanes)));

ELMAN_INLINE Vec splat(float value) { return value - Vec{}; }
ELMAN_INLINE Vec zero() { return Vec{}; }

ELMAN_INLINE Vec load(const float* from) {
  Vec v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

ELMAN_INLINE void store(float* to, Vec v) { std::memcpy(to, &v, sizeof v); }

// The first `count` lanes, from 1 to all; the others are zero. Reads nothing beyond them.
ELMAN_INLINE Vec load(const float* from, int count) {
  if (count == lanes) return load(from);
#if defined(__AVX512F__)
  return (Vec)_mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), from);
#else
  Vec v{};
  for (int i = 0; i < count; ++i) v[i] = from[i];
  return v;
#endif
}

// The first `count` lanes, from 1 to all. Writes nothing beyond them.
ELMAN_INLINE void store(float* to, Vec v, int count) {
  if (count == lanes) return store(to, v);
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(to, (__mmask16)((1u << count) - 1), (__m512)v);
#else
  for (int i = 0; i < count; ++i) to[i] = v[i];
#endif
}

// The first `count` lanes; the others are zero, whatever they were.
ELMAN_INLINE Vec first_lanes(Vec v, int count) {
#if defined(__AVX512F__)
  return (Vec)_mm512_maskz_mov_ps((__mmask16)((1u << count) - 1), (__m512)v);
#else
  for (int i = count; i < lanes; ++i) v[i] = 0.0f;
  return v;
#endif
}

// a * b + c, in one rounding where the machine can (-ffp-contract=fast).
ELMAN_INLINE Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }

ELMAN_INLINE IntVec bits(Vec v) { return (IntVec)v; }
ELMAN_INLINE Vec from_bits(IntVec v) { return (Vec)v; }

// Comparisons give all ones where they hold; NaN compares false, so `b` is taken.
ELMAN_INLINE Vec choose(IntVec where, Vec a, Vec b) {
  return from_bits((bits(a) & where) | (bits(b) & ~where));
}
// Of a NaN, `b`; so the argument that may be one goes second.
#if defined(__AVX512F__)
// One instruction, which GCC does not find for the general form.
ELMAN_INLINE Vec smaller(Vec a, Vec b) {
  return (Vec)_mm512_maskz_min_ps((__mmask16)-1, (__m512)a, (__m512)b);
}
ELMAN_INLINE Vec larger(Vec a, Vec b) {
  return (Vec)_mm512_maskz_max_ps((__mmask16)-1, (__m512)a, (__m512)b);
}
#else
ELMAN_INLINE Vec smaller(Vec a, Vec b) { return a < b ? a : b; }
ELMAN_INLINE Vec larger(Vec a, Vec b) { return a > b ? a : b; }
#endif
ELMAN_INLINE Vec magnitude(Vec v) { return from_bits(bits(v) & 0x7fffffff); }

template <int... Lane>
ELMAN_INLINE Vec add_neighbours(Vec a, Vec b, std::integer_sequence<int, Lane...>) {
  return __builtin_shufflevector(a, b, (2 * Lane)...) +
         __builtin_shufflevector(a, b, (2 * Lane + 1)...);
}

// One vector with the sum of each of as many: neighbours added until one a vector is left.
ELMAN_INLINE Vec sum_each(Vec (&v)[lanes]) {
#pragma GCC unroll 4
  for (int n = lanes; n > 1; n /= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < n / 2; ++i) v[i] = add_neighbours(v[2 * i], v[2 * i + 1], std::make_integer_sequence<int, lanes>{});
  }
  return v[0];
}

template <int D, int... Lane>
ELMAN_INLINE Vec turned(Vec v, std::integer_sequence<int, Lane...>) {
  return __builtin_shufflevector(v, v, ((Lane + D) % lanes)...);
}

// The sum of all lanes.
template <int D = lanes / 2>
ELMAN_INLINE float sum(Vec v) {
  v = v + turned<D>(v, std::make_integer_sequence<int, lanes>{});
  if constexpr (D > 1) return sum<D / 2>(v);
  return v[0];
}

// One stage of a transposition: lanes that differ in bit D change places between two vectors.
template <int D, int... Lane>
ELMAN_INLINE void exchange_lanes(Vec& a, Vec& b, std::integer_sequence<int, Lane...>) {
  const Vec low = __builtin_shufflevector(a, b, ((Lane & D) ? lanes + Lane - D : Lane)...);
  b = __builtin_shufflevector(a, b, ((Lane & D) ? lanes + Lane : Lane + D)...);
  a = low;
}

// v[i][j] becomes v[j][i].
template <int D = lanes / 2>
ELMAN_INLINE void transpose(Vec (&v)[lanes]) {
#pragma GCC unroll 16
  for (int i = 0; i < lanes; ++i) {
    if ((i & D) == 0) {
      exchange_lanes<D>(v[i], v[i + D], std::make_integer_sequence<int, lanes>{});
    }
  }
  if constexpr (D > 1) transpose<D / 2>(v);
}

}  // namespace elman::ELMAN_ISA
