/* SPDX-License-Identifier: MIT */
/*
 * Problems found in what a user wrote, each with file and line. They are
 * collected rather than printed one by one, so that `gamut check` can show all
 * of them and a caller that only wants to know whether there are any need not
 * touch a stream.
 */
#ifndef DIAG_H
#define DIAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "gamut/abi.h"

struct diag_entry {
	char *file;    /* NULL: none */
	unsigned line; /* 0: no line */
	char *text;    /* one line, no newline */
	bool note;     /* information, not a problem */
};

/* Zeroed is empty and valid. */
struct diag {
	struct diag_entry *entries;
	size_t n;
	size_t n_errors; /* entries that are not notes, and those that memory was too short to keep */
};

void diag_init(struct diag *diag);
/* Frees the entries; the struct is empty afterwards. */
void diag_finish(struct diag *diag);

/* Adds a problem; file may be NULL and line 0. Strings are copied. Always returns -1. */
int diag_error(struct diag *diag, const char *file, unsigned line, const char *fmt, ...) GAMUT_PRINTF(4, 5);
/* Adds information that is printed but does not count as a problem. */
void diag_note(struct diag *diag, const char *file, unsigned line, const char *fmt, ...) GAMUT_PRINTF(4, 5);

/*
 * Prints every entry as "file:line: text", those of one file in the order of
 * their lines. `prefix` comes first on every line that has no file ("gamut: ").
 */
void diag_print(struct diag *diag, FILE *out, const char *prefix);

#endif
