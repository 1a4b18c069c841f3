/* SPDX-License-Identifier: MIT */
/* A shared object, but no plugin. */
#include "gamut/abi.h"

GAMUT_EXPORT extern const int something_else;
const int something_else = 1;
