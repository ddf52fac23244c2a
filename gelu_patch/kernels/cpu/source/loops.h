/* Loops over arrays, one per formula, element type and direction, and the table of them. Input and output may be
 * the same array: a step reads all that it needs before it writes. The end of an array goes through the same vector
 * code on a padded copy, so that an element's result never depends on its neighbours or its position. */
#include <stddef.h>
#include <string.h>

#include "kernels.h"

#define STEP (2 * LANES)

#define VALUE_LOOP(NAME, TYPE, LOAD, STORE, FORMULA) \
    INLINE void NAME##_step(TYPE *y, const TYPE *x) { \
        pair v = LOAD(x); \
        STORE(y, ((pair){FORMULA(v.a), FORMULA(v.b)})); \
    } \
    static void NAME(void *out, const void *in, const void *grad, size_t n) { \
        TYPE *y = out; \
        const TYPE *x = in; \
        size_t i = 0; \
        (void)grad; \
        for (; i + STEP <= n; i += STEP) NAME##_step(y + i, x + i); \
        if (i < n) { \
            TYPE rest[STEP] = {0}; \
            size_t bytes = (n - i) * sizeof(TYPE); \
            memcpy(rest, x + i, bytes); \
            NAME##_step(rest, rest); \
            memcpy(y + i, rest, bytes); \
        } \
    }

#define SLOPE_LOOP(NAME, TYPE, LOAD, STORE, FORMULA) \
    INLINE void NAME##_step(TYPE *d, const TYPE *x, const TYPE *g) { \
        pair v = LOAD(x), w = LOAD(g); \
        STORE(d, ((pair){w.a * FORMULA(v.a), w.b * FORMULA(v.b)})); \
    } \
    static void NAME(void *out, const void *in, const void *grad, size_t n) { \
        TYPE *d = out; \
        const TYPE *x = in, *g = grad; \
        size_t i = 0; \
        for (; i + STEP <= n; i += STEP) NAME##_step(d + i, x + i, g + i); \
        if (i < n) { \
            TYPE rest[STEP] = {0}, rest_g[STEP] = {0}; \
            size_t bytes = (n - i) * sizeof(TYPE); \
            memcpy(rest, x + i, bytes); \
            memcpy(rest_g, g + i, bytes); \
            NAME##_step(rest, rest, rest_g); \
            memcpy(d + i, rest, bytes); \
        } \
    }

#define LOOPS(NAME) \
    VALUE_LOOP(NAME##_value_f32, float, v_load_f32, v_store_f32, NAME##_value_32) \
    SLOPE_LOOP(NAME##_slope_f32, float, v_load_f32, v_store_f32, NAME##_slope_32) \
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
