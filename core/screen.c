/* SPDX-License-Identifier: MIT */
#include "screen.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define ENTER "\x1b[?1049h\x1b[?25l" /* the alternate screen, no cursor */
#define LEAVE "\x1b[0m\x1b[?25h\x1b[?1049l"

static int put_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

bool screen_possible(int in, int out)
{
	const char *term = getenv("TERM");

	return isatty(in) && isatty(out) && !(term && !strcmp(term, "dumb"));
}

int screen_open(struct screen *s, int in, int out)
{
	struct termios keys;

	*s = (struct screen){ .in = in, .out = out };
	if (tcgetattr(in, &s->saved))
		return -errno;
	keys = s->saved;
	keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
	keys.c_iflag &= ~(tcflag_t)(IXON | ICRNL);
	keys.c_cc[VMIN] = 1;
	keys.c_cc[VTIME] = 0;
	if (tcsetattr(in, TCSANOW, &keys))
		return -errno;
	s->open = true;
	return put_all(out, ENTER, strlen(ENTER));
}

/* A terminal that is gone takes nothing back. */
void screen_close(struct screen *s)
{
	if (!s->open)
		return;
	s->open = false;
	(void)put_all(s->out, LEAVE, strlen(LEAVE));
	(void)tcsetattr(s->in, TCSANOW, &s->saved);
}

/* ---- drawing ------------------------------------------------------------------------ */

/* Past an SGR sequence that starts at `at`, or `at` where there is none. */
static size_t skip_sgr(const char *line, size_t at, size_t len)
{
	size_t end = at + 2;

	if (len - at < 3 || line[at] != '\x1b' || line[at + 1] != '[')
		return at;
	while (end < len && strchr("0123456789;", line[end]))
		end++;
	return end < len && line[end] == 'm' ? end + 1 : at;
}

size_t screen_cut(const char *line, size_t len, unsigned columns)
{
	size_t at = 0;

	while (at < len) {
		size_t after = skip_sgr(line, at, len);

		if (after != at) {
			at = after;
			continue;
		}
		if (!columns--)
			return at;
		do
			at++;
		while (at < len && ((uint8_t)line[at] & 0xc0) == 0x80);
	}
	return len;
}

static void write_frame(const char *text, unsigned rows, unsigned columns, FILE *out)
{
	fputs("\x1b[H", out);
	for (unsigned row = 0; *text && row < rows; row++) {
		size_t len = strcspn(text, "\n"), cut = screen_cut(text, len, columns);

		/* No line end behind the last: it would scroll. */
		fprintf(out, "%s\x1b[K%.*s\x1b[0m", row ? "\r\n" : "", (int)cut, text);
		text += len + (text[len] == '\n');
	}
	fputs("\x1b[J", out);
}

int screen_draw(const struct screen *s, const char *text)
{
	struct winsize size = { .ws_row = 0 };
	char *frame = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&frame, &len);
	int rc;

	if (!out)
		return -errno;
	if (ioctl(s->out, TIOCGWINSZ, &size) || !size.ws_row || !size.ws_col)
		size = (struct winsize){ .ws_row = 24, .ws_col = 80 };
	write_frame(text, size.ws_row, size.ws_col, out);
	rc = fclose(out) ? -ENOMEM : put_all(s->out, frame, len);
	free(frame);
	return rc;
}
