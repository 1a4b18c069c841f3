/* SPDX-License-Identifier: MIT */
#include "diag.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void diag_init(struct diag *diag)
{
	*diag = (struct diag){0};
}

static void entry_finish(struct diag_entry *e)
{
	free(e->file);
	free(e->text);
}

void diag_finish(struct diag *diag)
{
	for (size_t i = 0; i < diag->n; i++)
		entry_finish(&diag->entries[i]);
	free(diag->entries);
	diag_init(diag);
}

/* A text of the user's may hold anything; an entry stays one line of printable characters. */
static void make_one_line(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

static bool entry_add(struct diag *diag, const struct diag_entry *e)
{
	struct diag_entry *entries = realloc(diag->entries, (diag->n + 1) * sizeof(*entries));

	if (!entries)
		return false;
	diag->entries = entries;
	entries[diag->n++] = *e;
	return true;
}

static void add(struct diag *diag, bool note, const char *file, unsigned line, const char *fmt, va_list args)
{
	struct diag_entry e = {.line = line, .note = note};

	if (!note)
		diag->n_errors++;
	if (vasprintf(&e.text, fmt, args) < 0)
		return;
	make_one_line(e.text);
	if (file) {
		e.file = strdup(file);
		if (!e.file)
			goto drop;
	}
	if (entry_add(diag, &e))
		return;
drop:
	entry_finish(&e);
}

int diag_error(struct diag *diag, const char *file, unsigned line, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	add(diag, false, file, line, fmt, args);
	va_end(args);
	return -1;
}

void diag_note(struct diag *diag, const char *file, unsigned line, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	add(diag, true, file, line, fmt, args);
	va_end(args);
}

static bool same_file(const struct diag_entry *a, const struct diag_entry *b)
{
	return a->file == b->file || (a->file && b->file && strcmp(a->file, b->file) == 0);
}

/* Insertion sort: stable, and the lists are short. Entries move only among those of their own file. */
static void sort(struct diag *diag)
{
	for (size_t i = 1; i < diag->n; i++) {
		struct diag_entry e = diag->entries[i];
		size_t j = i;

		while (j > 0 && same_file(&diag->entries[j - 1], &e) && diag->entries[j - 1].line > e.line) {
			diag->entries[j] = diag->entries[j - 1];
			j--;
		}
		diag->entries[j] = e;
	}
}

void diag_print(struct diag *diag, FILE *out, const char *prefix)
{
	sort(diag);
	for (size_t i = 0; i < diag->n; i++) {
		const struct diag_entry *e = &diag->entries[i];

		if (!e->file)
			fprintf(out, "%s", prefix);
		else if (e->line)
			fprintf(out, "%s:%u: ", e->file, e->line);
		else
			fprintf(out, "%s: ", e->file);
		fprintf(out, "%s%s\n", e->note ? "note: " : "", e->text);
	}
	if (diag->n == 0 && diag->n_errors)
		fprintf(out, "%sout of memory\n", prefix);
}
