/* SPDX-License-Identifier: MIT */
#include "suggest.h"

#include <ctype.h>
#include <string.h>

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

static unsigned char fold(char c)
{
	return (unsigned char)tolower((unsigned char)c);
}

/*
 * One row of the table of distances between prefixes (optimal string
 * alignment); prev is the row before, prev2 the one before that.
 */
static unsigned distance_row(const char *a, size_t i, const char *b, size_t len_b, const unsigned *prev2,
                             const unsigned *prev, unsigned *row)
{
	unsigned best = row[0] = (unsigned)i;

	for (size_t j = 1; j <= len_b; j++) {
		row[j] = min3(prev[j] + 1, row[j - 1] + 1, prev[j - 1] + (fold(a[i - 1]) != fold(b[j - 1])));
		if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) && fold(a[i - 2]) == fold(b[j - 1]) &&
		    prev2[j - 2] + 1 < row[j])
			row[j] = prev2[j - 2] + 1;
		if (row[j] < best)
			best = row[j];
	}
	return best;
}

unsigned suggest_distance(const char *a, const char *b, unsigned limit)
{
	unsigned rows[3][SUGGEST_MAX + 1];
	size_t len_a = strlen(a), len_b = strlen(b);

	if (len_a > SUGGEST_MAX || len_b > SUGGEST_MAX)
		return limit + 1;
	for (size_t j = 0; j <= len_b; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; i <= len_a; i++) {
		unsigned best =
		        distance_row(a, i, b, len_b, rows[(i + 1) % 3], rows[(i - 1) % 3], rows[i % 3]);

		if (best > limit)
			return limit + 1;
	}
	unsigned d = rows[len_a % 3][len_b];

	return d > limit ? limit + 1 : d;
}

const char *suggest_nearest(const char *word, const char *const *words, size_t n)
{
	size_t len = strlen(word);
	unsigned limit = len < 6 ? 1 : (unsigned)(len / 3);
	const char *best = NULL;

	for (size_t i = 0; i < n; i++) {
		unsigned d = suggest_distance(word, words[i], limit);

		if (d > limit)
			continue;
		best = words[i];
		if (d == 0)
			break;
		limit = d - 1;
	}
	return best;
}
