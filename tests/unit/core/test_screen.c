/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "screen.h"

static void lines_are_cut_at_columns(void **state)
{
	static const struct {
		const char *line;
		unsigned columns;
		size_t bytes;
	} cases[] = {
		{ "", 0, 0 },
		{ "abc", 0, 0 },
		{ "abc", 2, 2 },
		{ "abc", 3, 3 },
		{ "abc", 9, 3 },
		{ "\x1b[31mab\x1b[0mc", 2, 11 },  /* what comes at the cut takes no column */
		{ "\x1b[31mab\x1b[0mc", 3, 12 },
		{ "\x1b[1;31mab", 1, 8 },
		{ "\x1b[31", 2, 2 },              /* no end: as it is */
		{ "\x1b[2Jx", 2, 2 },             /* another sequence */
		{ "\xc3\xa4\xe2\x82\xac.", 2, 5 }, /* two characters, five bytes */
		{ "\xa4\xa4\xa4", 1, 3 },         /* no UTF-8, and no end beyond the line's */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(screen_cut(cases[i].line, strlen(cases[i].line), cases[i].columns), cases[i].bytes);
}

struct pty {
	int master, slave;
};

static int make_pty(void **state)
{
	static struct pty p;

	p.master = posix_openpt(O_RDWR | O_NOCTTY);
	if (p.master < 0 || grantpt(p.master) || unlockpt(p.master))
		return -1;
	p.slave = open(ptsname(p.master), O_RDWR | O_NOCTTY);
	*state = &p;
	return p.slave < 0 ? -1 : 0;
}

static int close_pty(void **state)
{
	struct pty *p = *state;

	close(p->slave);
	close(p->master);
	return 0;
}

static const char *said(const struct pty *p)
{
	static char text[4096];
	ssize_t n = read(p->master, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = 0;
	return text;
}

static void a_screen_comes_and_goes(void **state)
{
	struct pty *p = *state;
	struct winsize size = { .ws_row = 2, .ws_col = 4 };
	struct termios before, after;
	struct screen s;
	const char *text;

	ioctl(p->slave, TIOCSWINSZ, &size);
	tcgetattr(p->slave, &before);
	assert_int_equal(screen_open(&s, p->slave, p->slave), 0);
	tcgetattr(p->slave, &after);
	assert_false(after.c_lflag & (ICANON | ECHO | ISIG));
	assert_non_null(strstr(said(p), "\x1b[?1049h"));

	assert_int_equal(screen_draw(&s, "abcdef\ngh\nij\n"), 0);
	text = said(p);
	assert_non_null(strstr(text, "abcd\x1b[0m"));
	assert_non_null(strstr(text, "gh\x1b[0m\x1b[J"));
	assert_null(strstr(text, "ij"));

	screen_close(&s);
	screen_close(&s);
	text = said(p);
	assert_non_null(strstr(text, "\x1b[?1049l"));
	assert_null(strstr(strstr(text, "\x1b[?1049l") + 1, "\x1b[?1049l"));
	tcgetattr(p->slave, &after);
	assert_int_equal(after.c_lflag, before.c_lflag);
	assert_int_equal(after.c_iflag, before.c_iflag);
}

static void pipes_are_no_screens(void **state)
{
	struct pty *p = *state;
	int fds[2];
	struct screen s;

	assert_int_equal(pipe(fds), 0);
	setenv("TERM", "xterm", 1);
	assert_true(screen_possible(p->slave, p->slave));
	assert_false(screen_possible(p->slave, fds[1]));
	assert_false(screen_possible(fds[0], p->slave));
	setenv("TERM", "dumb", 1);
	assert_false(screen_possible(p->slave, p->slave));
	assert_true(screen_open(&s, fds[0], fds[1]) < 0);
	screen_close(&s);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_cut_at_columns),
		cmocka_unit_test_setup_teardown(a_screen_comes_and_goes, make_pty, close_pty),
		cmocka_unit_test_setup_teardown(pipes_are_no_screens, make_pty, close_pty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
