/* SPDX-License-Identifier: MIT */
/* What the commands share about JSON. */
#ifndef JSON_H
#define JSON_H

#include <jansson.h>
#include <stdio.h>

/* A string, or null for NULL. The user's files may be in any encoding, and JSON takes UTF-8 alone. */
static inline json_t *json_text(const char *text)
{
	json_t *s = text ? json_string(text) : json_null();

	return s ? s : json_string("(not UTF-8)");
}

/* To standard output; takes the reference. */
static inline void json_print(json_t *j)
{
	json_dumpf(j, stdout, JSON_INDENT(2));
	printf("\n");
	json_decref(j);
}

#endif
