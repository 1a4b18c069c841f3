/* SPDX-License-Identifier: MIT */
#include "bench/show.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "bench/compare.h"
#include "bench/csv.h"
#include "bench/html.h"
#include "bench/results.h"
#include "bench/table.h"
#include "json.h"

static bool coloured(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no && *no) && !(term && !strcmp(term, "dumb"));
}

/* A file is read by somebody as well. */
#define WIDTH_ELSEWHERE 132u

static unsigned width(void)
{
	struct winsize size = { .ws_col = 0 };

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_col ? WIDTH_ELSEWHERE : size.ws_col;
}

static int into_file(const json_t *results, const char *path, int (*fn)(const json_t *results, FILE *out))
{
	FILE *out = fopen(path, "we");
	int rc = out ? fn(results, out) : -1;

	if (out && fclose(out))
		rc = -1;
	if (rc)
		fprintf(stderr, "gamut matrix: %s: %s\n", path, errno ? strerror(errno) : "cannot be written");
	return rc;
}

int show_results(const json_t *results, const struct show *show)
{
	int rc = 0;

	errno = 0;
	if (show->csv && into_file(results, show->csv, bench_csv))
		rc = -1;
	if (show->html && into_file(results, show->html, bench_html))
		rc = -1;
	if (show->json) {
		json_dumpf(results, stdout, JSON_INDENT(1));
		printf("\n");
	} else if (bench_table(results, stdout, coloured(), width())) {
		rc = -1;
	}
	return rc;
}

int show_compare(const char *a, const char *b, const struct show *show)
{
	json_t *left, *right = NULL, *object = NULL;
	char err[512];
	int rc = -1;

	left = results_load(a, err, sizeof(err));
	if (left)
		right = results_load(b, err, sizeof(err));
	if (right)
		rc = bench_compare(left, right, show->json ? NULL : stdout, coloured(), &object);
	else
		fprintf(stderr, "gamut matrix: %s\n", err);
	if (show->json && object)
		json_print(json_incref(object));
	json_decref(object);
	json_decref(left);
	json_decref(right);
	return rc;
}
