/* SPDX-License-Identifier: MIT */
/*
 * The text of a domain file, and what libconfig would take in silence or badly:
 * a NUL byte ends its input, @include reads other files (and ends the process
 * when one is a folder), an integer that does not fit is wrapped, so that
 * 4294967808 MiB would become 512, and a string or comment without an end is
 * leaked or ignored. A scan over the text, which knows as much of the syntax as
 * it takes to leave strings and comments alone, refuses them.
 */
#include "conf-internal.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX (1u << 20) /* a domain file is a page or two */

/* ---- reading -------------------------------------------------------------------- */

static ssize_t read_all(int fd, char *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, buf + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* ---- the scan ---------------------------------------------------------------------- */

struct scan {
	const char *path;
	struct diag *diag;
	const char *p; /* what comes next */
	unsigned line;
	bool line_start; /* nothing but blanks before p on its line */
};

static void skip(struct scan *s, size_t n)
{
	for (; n > 0 && *s->p; n--, s->p++)
		s->line += *s->p == '\n';
}

static int unclosed(const struct scan *s, const char *what, unsigned line)
{
	return diag_error(s->diag, s->path, line, "the %s that begins here is never closed", what);
}

static int scan_string(struct scan *s)
{
	unsigned line = s->line;

	skip(s, 1);
	while (*s->p && *s->p != '"')
		skip(s, *s->p == '\\' ? 2 : 1);
	if (!*s->p)
		return unclosed(s, "string", line);
	skip(s, 1);
	return 0;
}

static int scan_block_comment(struct scan *s)
{
	const char *end = strstr(s->p + 2, "*/");

	if (!end)
		return unclosed(s, "comment", s->line);
	skip(s, (size_t)(end + 2 - s->p));
	return 0;
}

/* libconfig holds a plain number in 32 bits, and one that ends in L in 64. */
static bool number_fits(const char *word, size_t len)
{
	bool is_hex = word[0] == '0' && (word[1] == 'x' || word[1] == 'X');
	bool is_long = word[len - 1] == 'L';
	long long value;

	errno = 0;
	value = strtoll(word, NULL, is_hex ? 16 : 10);
	return errno == 0 && (is_long || value <= INT32_MAX);
}

/* A word: key, keyword or number. A sign before a number changes nothing that matters here. */
static int scan_word(struct scan *s)
{
	size_t len = strspn(s->p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");
	int rc = 0;

	if (isdigit((unsigned char)*s->p) && !memchr(s->p, '.', len) && !number_fits(s->p, len))
		rc = diag_error(s->diag, s->path, s->line,
		                "%.*s is a larger number than any key takes; give less", (int)len, s->p);
	skip(s, len);
	return rc;
}

static int scan_token(struct scan *s)
{
	if (*s->p == '"')
		return scan_string(s);
	if (strncmp(s->p, "/*", 2) == 0)
		return scan_block_comment(s);
	if (*s->p == '#' || strncmp(s->p, "//", 2) == 0) {
		skip(s, strcspn(s->p, "\n"));
		return 0;
	}
	if (s->line_start && strncmp(s->p, "@include", 8) == 0)
		return diag_error(s->diag, s->path, s->line,
		                  "@include: a domain is one file; write its settings here");
	if (isalnum((unsigned char)*s->p) || *s->p == '_')
		return scan_word(s);
	skip(s, 1);
	return 0;
}

static int scan_text(const char *path, const char *text, struct diag *diag)
{
	struct scan s = {path, diag, text, 1, true};
	int rc = 0;

	while (*s.p && rc == 0) {
		bool blank = isspace((unsigned char)*s.p), newline = *s.p == '\n';

		rc = scan_token(&s);
		s.line_start = newline || (blank && s.line_start);
	}
	return rc;
}

static int check_text(const char *path, const char *text, size_t len, struct diag *diag)
{
	unsigned line = 1;

	if (strlen(text) == len)
		return scan_text(path, text, diag);
	for (const char *p = text; *p; p++)
		line += *p == '\n';
	return diag_error(diag, path, line, "holds a NUL byte; a domain file is text");
}

static char *read_open_file(const char *path, int fd, struct diag *diag)
{
	char *text = malloc(TEXT_MAX + 1);
	ssize_t n;

	if (!text) {
		diag_error(diag, path, 0, "out of memory");
		return NULL;
	}
	n = read_all(fd, text, TEXT_MAX + 1);
	if (n < 0)
		diag_error(diag, path, 0, "cannot be read: %s", strerror(errno));
	else if (n > (ssize_t)TEXT_MAX)
		diag_error(diag, path, 0, "is longer than %u bytes; is it a domain file?", TEXT_MAX);
	else {
		text[n] = 0;
		if (check_text(path, text, (size_t)n, diag) == 0)
			return text;
	}
	free(text);
	return NULL;
}

char *conf_read_text(const char *path, struct diag *diag)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *text = NULL;
	struct stat st;

	if (fd < 0) {
		diag_error(diag, path, 0, "cannot be opened: %s", strerror(errno));
		return NULL;
	}
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		diag_error(diag, path, 0, "is a directory; name a domain file in it");
	else
		text = read_open_file(path, fd, diag);
	close(fd);
	return text;
}
