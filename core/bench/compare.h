/* SPDX-License-Identifier: MIT */
#ifndef BENCH_COMPARE_H
#define BENCH_COMPARE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/*
 * What changed from results a to results b beyond noise, by how much and, as
 * far as the counters tell, why. 0: nothing did, 1: something did, -1: one is
 * not a results file, which is said on out, or memory is short. *as_json gets
 * a new object with the same, the caller's; as_json may be NULL, and so may
 * out.
 */
int bench_compare(const json_t *a, const json_t *b, FILE *out, bool colour, json_t **as_json);

#endif
