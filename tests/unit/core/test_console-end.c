/* SPDX-License-Identifier: MIT */
/* The host ends of a console: pty, socket, file. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "console-end.h"
#include "control/unix-socket.h"

static struct loop loop;
static struct console *con;
static char dir[32], err[256];

static int setup(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	snprintf(dir, sizeof(dir), "/tmp/gamut-end-XXXXXX");
	err[0] = 0;
	con = console_create();
	return !mkdtemp(dir) || loop_init(&loop) || console_attach(con, &loop);
}

static int teardown(void **state)
{
	(void)state;
	console_detach(con);
	console_destroy(con);
	loop_finish(&loop);
	return rmdir(dir);
}

static const char *in_dir(const char *name)
{
	static char path[300];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static struct console_end *open_end(enum console_end_kind kind, const char *path)
{
	return console_end_open(kind, con, &loop, path, err, sizeof(err));
}

static void rounds(int n)
{
	while (n--)
		loop_once(&loop, 2);
}

static void say(const char *text)
{
	assert_int_equal(console_write(con, text, (uint32_t)strlen(text)), strlen(text));
	rounds(3);
}

static void assert_typed(const char *text)
{
	char buf[64] = "";

	rounds(3);
	assert_int_equal(console_read(con, buf, sizeof(buf) - 1), strlen(text));
	assert_string_equal(buf, text);
}

static void assert_reads(int fd, const char *text)
{
	char buf[256] = "";
	size_t n = 0;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 50 && n < strlen(text); i++) {
		ssize_t rc = read(fd, buf + n, sizeof(buf) - 1 - n);

		n += rc > 0 ? (size_t)rc : 0;
		rounds(1);
	}
	assert_string_equal(buf, text);
}

static int connect_to(const char *name)
{
	int folder = open(dir, O_PATH | O_DIRECTORY), fd = unix_connect_at(folder, name);

	close(folder);
	return fd;
}

static void test_file(void **state)
{
	struct console_end *end;
	struct stat st;
	char buf[32] = "";
	int fd;

	(void)state;
	say("before ");
	end = open_end(CONSOLE_TO_FILE, in_dir("log"));
	assert_non_null(end);
	say("during ");
	/* What was not written before the loop stopped is written at the end. */
	console_write(con, "after", 5);
	console_end_close(end);
	fd = open(in_dir("log"), O_RDONLY);
	assert_int_equal(read(fd, buf, sizeof(buf)), 19);
	assert_string_equal(buf, "before during after");
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	close(fd);
	/* It is appended to. */
	end = open_end(CONSOLE_TO_FILE, in_dir("log"));
	console_end_close(end);
	assert_int_equal(stat(in_dir("log"), &st), 0);
	assert_int_equal(st.st_size, 38);
	unlink(in_dir("log"));
	assert_null(open_end(CONSOLE_TO_FILE, in_dir("no/log")));
	assert_non_null(strstr(err, "No such file"));
	/* A full disk. */
	end = open_end(CONSOLE_TO_FILE, "/dev/full");
	assert_non_null(end);
	for (int i = 0; i < 100; i++)
		say("the guest goes on when nothing can be written any more; the guest goes on when nothing can be ");
	console_end_close(end);
}

static void test_socket(void **state)
{
	struct console_end *end;
	int a, b;
	char byte;

	(void)state;
	say("old ");
	end = open_end(CONSOLE_TO_SOCKET, in_dir("s"));
	assert_non_null(end);
	assert_null(open_end(CONSOLE_TO_SOCKET, in_dir("s")));
	assert_non_null(strstr(err, "somebody listens"));
	a = connect_to("s");
	b = connect_to("s");
	assert_true(a >= 0 && b >= 0);
	rounds(4);
	say("new");
	assert_reads(a, "old new");
	assert_reads(b, "old new");
	assert_int_equal(write(a, "x", 1), 1);
	assert_typed("x");
	/* Half closed it goes on to be told. */
	shutdown(a, SHUT_WR);
	rounds(3);
	say("more");
	assert_reads(a, "more");
	close(a);
	rounds(3);
	assert_int_equal(write(b, "yz", 2), 2);
	assert_typed("yz");
	/* More than are served at a time: they wait, and come in when others have left. */
	for (int i = 0; i < 40; i++) {
		a = connect_to("s");
		assert_true(a >= 0);
		rounds(2);
		close(a);
	}
	rounds(50);
	a = connect_to("s");
	rounds(5);
	assert_reads(a, "old newmore");
	console_end_close(end);
	fcntl(a, F_SETFL, 0);
	assert_int_equal(read(a, &byte, 1), 0);
	close(a);
	close(b);
	assert_int_equal(access(in_dir("s"), F_OK), -1);
	/* What is there and no socket stays. */
	close(open(in_dir("f"), O_CREAT | O_WRONLY, 0600));
	assert_null(open_end(CONSOLE_TO_SOCKET, in_dir("f")));
	assert_int_equal(unlink(in_dir("f")), 0);
}

/* A client that does not read is overtaken. */
static void test_lazy_socket(void **state)
{
	static char chunk[8192];
	struct console_end *end = open_end(CONSOLE_TO_SOCKET, in_dir("s"));
	int fd = connect_to("s");

	(void)state;
	rounds(3);
	for (int i = 0; i < 200; i++) {
		assert_int_equal(console_write(con, chunk, sizeof(chunk)), sizeof(chunk));
		rounds(1);
	}
	close(fd);
	rounds(3);
	console_end_close(end);
}

static int open_pty(const struct console_end *end)
{
	int fd = open(end->path, O_RDWR | O_NOCTTY);

	assert_true(fd >= 0);
	return fd;
}

static void test_pty(void **state)
{
	struct console_end *end;
	char target[64] = "";
	struct stat st;
	int fd, second;

	(void)state;
	say("old ");
	end = open_end(CONSOLE_TO_PTY, in_dir("link"));
	assert_non_null(end);
	assert_true(readlink(in_dir("link"), target, sizeof(target) - 1) > 0);
	assert_string_equal(target, end->path);
	assert_int_equal(stat(end->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	/* Nobody has it open: nothing waits, and nothing spins. */
	rounds(5);
	say("new\n");
	fd = open_pty(end);
	rounds(3);
	assert_reads(fd, "old new\n"); /* no carriage return: it is raw */
	assert_int_equal(write(fd, "keys\r", 5), 5);
	assert_typed("keys\r");
	/* A second one shares it; the history was the first's. */
	second = open_pty(end);
	rounds(3);
	close(second);
	rounds(3);
	say("still");
	assert_reads(fd, "still");
	close(fd);
	rounds(5);
	say(" here");
	/* Opened again, with and without a look between. */
	fd = open_pty(end);
	rounds(5);
	assert_reads(fd, "old new\nstill here");
	close(fd);
	fd = open_pty(end);
	rounds(5);
	assert_reads(fd, "old new\nstill here");
	/* No echo: what is said does not come back as input. */
	assert_typed("");
	console_end_close(end);
	close(fd);
	assert_int_equal(access(in_dir("link"), F_OK), -1);
	assert_null(open_end(CONSOLE_TO_PTY, in_dir("no/link")));
	/* Without a link. */
	console_end_close(open_end(CONSOLE_TO_PTY, NULL));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(test_file), TEST(test_socket), TEST(test_lazy_socket), TEST(test_pty) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
