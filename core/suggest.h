/* SPDX-License-Identifier: MIT */
/* Near misses: which known word somebody may have meant. */
#ifndef SUGGEST_H
#define SUGGEST_H

#include <stddef.h>

/*
 * Edits (insert, delete, replace, swap of neighbours; case does not count) that
 * turn a into b, or limit + 1 when there are more than limit or a word is
 * longer than SUGGEST_MAX.
 */
#define SUGGEST_MAX 63u
unsigned suggest_distance(const char *a, const char *b, unsigned limit);

/*
 * The word of the n given that is nearest to `word`, or NULL when none is near
 * enough to be meant: a third of its letters may differ, and always one.
 */
const char *suggest_nearest(const char *word, const char *const *words, size_t n);

#endif
