/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "log.h"

static char line[4096];

static const char *read_line(int fd)
{
	ssize_t n = read(fd, line, sizeof(line) - 1);

	line[n > 0 ? n : 0] = 0;
	return line;
}

static void test_lines(void **state)
{
	static char big[3000];
	atomic_bool raw = true;
	struct log log;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	log_init(&log, fds[1], GAMUT_LOG_INFO, "web");
	log_line(&log, GAMUT_LOG_WARN, "disk-xen.0", "sector %d", 7);
	assert_string_equal(read_line(fds[0]), "gamut: web: warning: disk-xen.0: sector 7\n");
	log_line(&log, GAMUT_LOG_DEBUG, NULL, "not shown");
	log_line(&log, 99, NULL, "nor this");
	log.raw = &raw;
	/* What a guest puts into a message must not reach the terminal as a command. */
	log_line(&log, GAMUT_LOG_INFO, NULL, "a\x1b[2Jb\nc");
	assert_string_equal(read_line(fds[0]), "gamut: web: a?[2Jb?c\r\n");
	memset(big, 'x', sizeof(big) - 1);
	log_line(&log, GAMUT_LOG_ERROR, NULL, "%s", big);
	read_line(fds[0]);
	assert_in_range(strlen(line), 900, 1024);
	assert_string_equal(line + strlen(line) - 2, "\r\n");
	close(fds[0]);
	close(fds[1]);
}

static void test_limit(void **state)
{
	struct log_limit limit = { 0 };
	int allowed = 0;

	(void)state;
	for (int i = 0; i < 1000; i++)
		allowed += log_allowed(&limit, 5);
	/* A second may begin while it counts. */
	assert_in_range(allowed, 5, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_lines), cmocka_unit_test(test_limit) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
