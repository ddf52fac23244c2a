/* The kernels for any processor. */
#define LEVEL_TABLE level_portable
#include "vector_portable.h"

#include "formulas.h"

#include "loops.h"
