/* SPDX-License-Identifier: MIT */
/* Results that tests/bench/synthetic-results makes. */
#ifndef SYNTHETIC_H
#define SYNTHETIC_H

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

/* By the words of its command line. The caller's. */
static inline json_t *synthetic(const char *words)
{
	char command[1024];
	json_error_t error;
	json_t *results;
	FILE *in;

	snprintf(command, sizeof(command), "'%s/tests/bench/synthetic-results' %s", TEST_SOURCE_DIR, words);
	in = popen(command, "re");
	assert_non_null(in);
	results = json_loadf(in, 0, &error);
	assert_int_equal(pclose(in), 0);
	assert_non_null(results);
	return results;
}

/* What a view writes, as text. The caller's. */
#define WRITTEN(text, out, call)                                                                                       \
	do {                                                                                                           \
		size_t written_len;                                                                                    \
		FILE *out = open_memstream(&(text), &written_len);                                                     \
		assert_non_null(out);                                                                                  \
		call;                                                                                                  \
		assert_int_equal(fclose(out), 0);                                                                      \
	} while (0)

#endif
