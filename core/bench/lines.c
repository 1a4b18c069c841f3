/* SPDX-License-Identifier: MIT */
#include "bench/lines.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX    "bench: "
#define NAME_MAX_ 63
#define WORDS     9

int lines_init(struct lines *l)
{
	*l = (struct lines){ .samples = json_object(), .skipped = json_object() };
	if (l->samples && l->skipped)
		return 0;
	lines_finish(l);
	return -1;
}

void lines_finish(struct lines *l)
{
	json_decref(l->samples);
	json_decref(l->skipped);
	l->samples = l->skipped = NULL;
}

void lines_printable(char *to, size_t size, const char *from, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < n && at + 1 < size; i++) {
		if (from[i] != '\r')
			to[at++] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
	}
	to[at] = 0;
}

/* ---- words and numbers ------------------------------------------------------------------- */

bool lines_unit_ok(const char *unit)
{
	static const char *const units[] = { "ns", "us", "ms", "s", "cycles", "MiB", "exits", "MB/s", "ops/s", "packets/s" };

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (!strcmp(units[i], unit))
			return true;
	}
	return false;
}

bool lines_name_ok(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-");

	return len > 0 && len <= NAME_MAX_ && !name[len];
}

/* Decimal, with a fraction; no sign, no "inf", no exponent. */
static bool number(const char *word, double *value)
{
	size_t len = strspn(word, "0123456789.");

	if (!len || word[len] || len > 30 || strchr(word, '.') != strrchr(word, '.') || *word == '.')
		return false;
	*value = strtod(word, NULL);
	return isfinite(*value);
}

static bool count(const char *word, int64_t *n)
{
	size_t len = strspn(word, "0123456789");

	*n = len && len < 18 && !word[len] ? strtoll(word, NULL, 10) : 0;
	return *n > 0;
}

json_t *lines_sample(int64_t n, const double five[5])
{
	return json_pack("{s:I, s:f, s:f, s:f, s:f, s:f}", "n", (json_int_t)n, "min", five[0], "p25", five[1],
	                 "median", five[2], "p75", five[3], "max", five[4]);
}

/* ---- lines --------------------------------------------------------------------------------------- */

static bool take_sample(struct lines *l, char *const words[WORDS], size_t n_words)
{
	double five[5];
	char key[96];
	int64_t n;

	if (n_words != 8 || !lines_name_ok(words[0]) || !lines_unit_ok(words[1]) || !count(words[2], &n))
		return false;
	for (int i = 0; i < 5; i++) {
		if (!number(words[3 + i], &five[i]) || (i && five[i] < five[i - 1]))
			return false;
	}
	snprintf(key, sizeof(key), "%s %s", words[0], words[1]);
	if (json_object_get(l->samples, key) || json_object_size(l->samples) >= LINES_SAMPLES)
		return false;
	return !json_object_set_new(l->samples, key, lines_sample(n, five));
}

static bool take_skip(struct lines *l, const char *text)
{
	size_t len = strcspn(text, " ");
	char name[NAME_MAX_ + 2], why[201];

	if (len > NAME_MAX_ || !text[len] || json_object_size(l->skipped) >= LINES_SAMPLES)
		return false;
	snprintf(name, sizeof(name), "%.*s", (int)len, text);
	lines_printable(why, sizeof(why), text + len + 1, strlen(text + len + 1));
	return lines_name_ok(name) && !json_object_set_new(l->skipped, name, json_string(why));
}

static size_t split(char *text, char *words[WORDS])
{
	size_t n = 0;
	char *save;

	for (char *w = strtok_r(text, " ", &save); w && n < WORDS; w = strtok_r(NULL, " ", &save))
		words[n++] = w;
	return n;
}

static bool take_turns(struct lines *l, const char *text)
{
	return !l->turns && count(text, &l->turns);
}

/* Behind the prefix. False: it is no line of ours, or has come at the wrong time. */
static bool take(struct lines *l, char *text)
{
	char *words[WORDS];

	if (!strncmp(text, "begin ", 6)) {
		if (l->begun || !lines_name_ok(text + 6))
			return false;
		l->begun = true;
		return true;
	}
	if (!l->begun || l->ended)
		return false;
	if (!strcmp(text, "end")) {
		l->ended = true;
		return true;
	}
	if (!strncmp(text, "skip ", 5))
		return take_skip(l, text + 5);
	if (!strncmp(text, "turns ", 6))
		return take_turns(l, text + 6);
	return take_sample(l, words, split(text, words));
}

static void end_line(struct lines *l)
{
	while (l->len && (l->line[l->len - 1] == '\r' || l->line[l->len - 1] == ' '))
		l->len--;
	/* A NUL within ends it for us. */
	l->line[l->len] = 0;
	if (l->len)
		lines_printable(l->last, sizeof(l->last), l->line, l->len);
	if (!strncmp(l->line, PREFIX, strlen(PREFIX)))
		l->bad += l->too_long || !take(l, l->line + strlen(PREFIX));
	l->len = 0;
	l->too_long = false;
}

bool lines_feed(struct lines *l, const char *data, size_t n, size_t *used)
{
	bool begun = l->begun, ended = l->ended;
	size_t i = 0;

	while (i < n && l->begun == begun && l->ended == ended) {
		char c = data[i++];

		if (c == '\n')
			end_line(l);
		else if (c == '\r' && !l->len)
			continue;
		else if (l->len < LINES_LENGTH)
			l->line[l->len++] = c;
		else
			l->too_long = true;
	}
	l->bytes += i;
	*used = i;
	return l->begun != begun || l->ended != ended;
}
