/* Loops over arrays, one per formula, element type and direction, and the table of them. Input and output may be
 * the same array: a step reads all that it needs before it writes. The end of an array goes through the same vector
 * code on a padded copy, so that an element's result never depends on its neighbours or its position. */
#include <stddef.h>
#include <string.h>

#include "kernels.h"

#define VALUE_LOOP(NAME, TYPE, LOAD, STORE, FORMULA) \
    static void NAME(void *out, const void *in, const void *grad, size_t n) { \
        TYPE *y = out; \
        const TYPE *x = in; \
        size_t i = 0; \
        (void)grad; \
        for (; i + 2 * LANES <= n; i += 2 * LANES) { \
            V a = FORMULA(LOAD(x + i)), b = FORMULA(LOAD(x + i + LANES)); \
            STORE(y + i, a); \
            STORE(y + i + LANES, b); \
        } \
        for (; i < n; i += LANES) { \
            TYPE rest[LANES] = {0}; \
            size_t bytes = (n - i < LANES ? n - i : LANES) * sizeof(TYPE); \
            memcpy(rest, x + i, bytes); \
            STORE(rest, FORMULA(LOAD(rest))); \
            memcpy(y + i, rest, bytes); \
        } \
    }

#define SLOPE_LOOP(NAME, TYPE, LOAD, STORE, FORMULA) \
    static void NAME(void *out, const void *in, const void *grad, size_t n) { \
        TYPE *d = out; \
        const TYPE *x = in, *g = grad; \
        size_t i = 0; \
        for (; i + LANES <= n; i += LANES) STORE(d + i, LOAD(g + i) * FORMULA(LOAD(x + i))); \
        if (i < n) { \
            TYPE rest[LANES] = {0}, rest_g[LANES] = {0}; \
            size_t bytes = (n - i) * sizeof(TYPE); \
            memcpy(rest, x + i, bytes); \
            memcpy(rest_g, g + i, bytes); \
            STORE(rest, LOAD(rest_g) * FORMULA(LOAD(rest))); \
            memcpy(d + i, rest, bytes); \
        } \
    }

#define LOOPS(NAME) \
    VALUE_LOOP(NAME##_value_f32, float, v_load, v_store, NAME##_value_32) \
    SLOPE_LOOP(NAME##_slope_f32, float, v_load, v_store, NAME##_slope_32) \
    VALUE_LOOP(NAME##_value_bf16, uint16_t, v_load_bf16, v_store_bf16, NAME##_value_16) \
    SLOPE_LOOP(NAME##_slope_bf16, uint16_t, v_load_bf16, v_store_bf16, NAME##_slope_16) \
    VALUE_LOOP(NAME##_value_f16, uint16_t, v_load_f16, v_store_f16, NAME##_value_16) \
    SLOPE_LOOP(NAME##_slope_f16, uint16_t, v_load_f16, v_store_f16, NAME##_slope_16)

#define ENTRY(NAME) \
    {{NAME##_value_f32, NAME##_slope_f32}, {NAME##_value_bf16, NAME##_slope_bf16}, {NAME##_value_f16, NAME##_slope_f16}}

LOOPS(erf)
LOOPS(tanh)
LOOPS(quick)
LOOPS(silu)
LOOPS(relu2)

/* In the order of the enumerations of kernels.h. */
const loop_table LEVEL_TABLE = {ENTRY(erf), ENTRY(tanh), ENTRY(quick), ENTRY(silu), ENTRY(relu2)};
