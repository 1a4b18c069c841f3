/* SPDX-License-Identifier: MIT */
/*
 * A fuzz target is one function. libFuzzer calls it in a GAMUT_FUZZ build;
 * replay.c calls it with the files of its corpus in every other, so that what
 * was once found stays fixed.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
