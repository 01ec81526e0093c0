// exp, tanh and sigmoid of a vector: at most 2 units in the last place off, over the whole range.
//
// Range reduction x = n ln 2 + r, |r| <= ln 2 / 2 (Cody and Waite, 1980), and a polynomial for
// e^r - 1 whose coefficients are the minimax fit on that interval (tests hold the error).
// NaN gives NaN; infinities give the limits.
#pragma once

#include "simd.h"

namespace elman::ELMAN_ISA {

namespace detail {

// e^x = 2^n (1 + expm1).
struct Split {
  IntVec exponent;  // n where a float keeps its exponent, 23 bits up
  Vec expm1;        // e^r - 1, relative error below 1 unit in the last place
};

ELMAN_INLINE Split split_exp(Vec x) {
  // 1.5 * 2^23: adding it rounds to an integer, which then stands in the lowest bits.
  constexpr float round_to_integer = 12582912.0f;
  const Vec shifted = fma(x, splat(1.44269504088896341f), splat(round_to_integer));
  const Vec n = shifted - round_to_integer;
  // ln 2 in two parts, the first with trailing zeros, so that n times it is exact.
  Vec r = fma(n, splat(-0.693359375f), x);
  r = fma(n, splat(2.12194440e-4f), r);
  Vec p = splat(1.9841270e-4f);
  p = fma(p, r, splat(1.3888889e-3f));
  p = fma(p, r, splat(8.3333333e-3f));
  p = fma(p, r, splat(4.1666668e-2f));
  p = fma(p, r, splat(1.6666667e-1f));
  p = fma(p, r, splat(5.0e-1f));
  return {bits(shifted) << 23, fma(p, r * r, r)};
}

// 2^(n + by), where a float holds it in full.
ELMAN_INLINE Vec power(IntVec exponent, int by = 0) {
  return from_bits(bits(splat(1.0f)) + exponent + (by << 23));
}

}  // namespace detail

ELMAN_INLINE Vec exp(Vec x) {
  // Beyond these, zero and infinity; a NaN goes through.
  const Vec y = larger(splat(-104.0f), smaller(splat(89.0f), x));
  const detail::Split s = detail::split_exp(y);
  // Twice from the middle: 2^n itself may be out of range where e^x is not.
  const IntVec half = (s.exponent >> 1) & (IntVec)(splat(-__builtin_inff()));
  return (s.expm1 + 1.0f) * detail::power(half) * detail::power(s.exponent - half);
}

ELMAN_INLINE Vec sigmoid(Vec x) {
  // e^-|x| never overflows, and keeps the relative error where the result is tiny, or denormal:
  // it is rounded once, when the 32 lent to its exponent are taken back.
  const detail::Split s = detail::split_exp(larger(splat(-104.0f), -magnitude(x)));
  const Vec e = (s.expm1 + 1.0f) * detail::power(s.exponent, 32) * 0x1p-32f;
  const Vec sum = e + 1.0f, lost = e - (sum - 1.0f);
  const Vec q = choose(x < 0.0f, e, splat(1.0f)) / sum;
  // What the sum's rounding lost is taken off again, as where it weighs most, at small e.
  return fma(-q, lost, q);
}

ELMAN_INLINE Vec tanh(Vec x) {
  // (e^2x - 1) / (e^2x + 1), from e^2x - 1 directly, which is exact near zero; 1 beyond 9.02.
  const Vec y = smaller(splat(9.02f), magnitude(x));
  const detail::Split s = detail::split_exp(y + y);
  const Vec power = detail::power(s.exponent);
  const Vec e = fma(power, s.expm1, power - 1.0f);
  const Vec sum = e + 2.0f, lost = e - (sum - 2.0f), q = e / sum;
  const Vec t = fma(-(q * lost), 1.0f / sum, q);
  return from_bits(bits(t) | (bits(x) & (IntVec)(splat(-0.0f))));
}

}  // namespace elman::ELMAN_ISA
