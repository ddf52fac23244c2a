/* The kernels for processors with AVX-512. */
#if defined(__x86_64__)
#if defined(__clang__)
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma,f16c")
#endif

#define LEVEL_TABLE level_avx512
#include "vector_avx512.h"

#include "formulas.h"

#include "loops.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#else
typedef int nothing_for_this_processor;
#endif
