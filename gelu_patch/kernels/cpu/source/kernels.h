/* What the levels provide to native.c. The Python side counts on the order of the enumerations (library.py). */
#ifndef GELU_PATCH_KERNELS_H
#define GELU_PATCH_KERNELS_H

#include <stddef.h>

enum activation { ACTIVATION_ERF, ACTIVATION_TANH, ACTIVATION_QUICK, ACTIVATION_SILU, ACTIVATION_RELU2, ACTIVATIONS };
enum element { ELEMENT_FLOAT32, ELEMENT_BFLOAT16, ELEMENT_FLOAT16, ELEMENTS };
enum direction { DIRECTION_VALUE, DIRECTION_SLOPE, DIRECTIONS };

/* out = f(in), or out = grad * f'(in); grad is not read for values. out may be in or grad. */
typedef void (*loop)(void *out, const void *in, const void *grad, size_t n);
typedef loop loop_table[ACTIVATIONS][ELEMENTS][DIRECTIONS];

extern const loop_table level_portable;
#if defined(__x86_64__)
extern const loop_table level_avx2, level_avx512;
#endif

#endif
