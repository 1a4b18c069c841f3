/* SPDX-License-Identifier: MIT */
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
#include <termios.h>
#include <unistd.h>
#include <cmocka.h>

#include "terminal.h"

static struct loop loop;
static struct console *con;
static unsigned inputs, leaves;
static char got[256];
static size_t n_got;

static int setup(void **state)
{
	(void)state;
	inputs = leaves = 0;
	n_got = 0;
	signal(SIGPIPE, SIG_IGN);
	con = console_create();
	return loop_init(&loop) || console_attach(con, &loop);
}

static int teardown(void **state)
{
	(void)state;
	console_detach(con);
	console_destroy(con);
	loop_finish(&loop);
	return 0;
}

static void on_input(void *opaque)
{
	inputs++;
	n_got += console_read(opaque, got + n_got, (uint32_t)(sizeof(got) - n_got));
}

static void on_input_ignored(void *opaque)
{
	(void)opaque;
	inputs++;
}

static void on_leave(void *opaque)
{
	(void)opaque;
	leaves++;
}

static void rounds(int n)
{
	while (n--)
		loop_once(&loop, 2);
}

static size_t read_all(int fd, char *buf, size_t len)
{
	size_t n = 0;
	ssize_t rc;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 50 && n < len; i++) {
		rc = read(fd, buf + n, len - n);
		if (rc > 0)
			n += (size_t)rc;
		else
			rounds(1);
	}
	return n;
}

static int open_pty(int *slave)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY);

	assert_true(master >= 0);
	assert_int_equal(grantpt(master) | unlockpt(master), 0);
	*slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	assert_true(*slave >= 0);
	return master;
}

static void test_pipe(void **state)
{
	int in[2], out[2];
	char buf[64];
	struct terminal *t;

	(void)state;
	assert_int_equal(pipe(in) | pipe(out), 0);
	t = terminal_create(in[0], out[1]);
	assert_false(terminal_is_tty(t));
	terminal_on_leave(t, on_leave, NULL);
	assert_int_equal(terminal_attach(t, con, &loop), 0);
	console_on_input(con, on_input, con);
	assert_int_equal(console_write(con, "login: ", 7), 7);
	rounds(2);
	assert_int_equal(read_all(out[0], buf, 7), 7);
	assert_memory_equal(buf, "login: ", 7);
	/* In a pipe Ctrl-] is a byte like any other. */
	assert_int_equal(write(in[1], "a\x1d" "b", 3), 3);
	rounds(2);
	assert_memory_equal(got, "a\x1d" "b", 3);
	assert_int_equal(leaves, 0);
	/* The end of the input is not the end of anything else. */
	close(in[1]);
	rounds(3);
	assert_int_equal(console_write(con, "x", 1), 1);
	rounds(2);
	assert_int_equal(read_all(out[0], buf, 1), 1);
	/* Our O_NONBLOCK must not be seen by whoever shares the descriptor. */
	assert_false(fcntl(out[1], F_GETFL) & O_NONBLOCK);
	terminal_detach(t);
	terminal_destroy(t);
	close(in[0]);
	close(out[0]);
	close(out[1]);
}

static void test_back_pressure(void **state)
{
	static char chunk[8192], sink[1 << 18];
	int in = open("/dev/null", O_RDONLY), out[2];
	uint32_t n, total = 0, inputs_before;
	struct terminal *t;

	(void)state;
	assert_int_equal(pipe(out), 0);
	t = terminal_create(in, out[1]);
	assert_int_equal(terminal_attach(t, con, &loop), 0);
	console_on_input(con, on_input_ignored, NULL);
	/* Nobody reads: the pipe and the queue fill, and then nothing is taken, and nothing blocks. */
	for (int i = 0; i < 100; i++) {
		n = console_write(con, chunk, sizeof(chunk));
		total += n;
		rounds(1);
		if (n < sizeof(chunk))
			break;
	}
	assert_true(n < sizeof(chunk));
	assert_in_range(total, 65536, 200000);
	inputs_before = inputs;
	assert_int_equal(read_all(out[0], sink, total), total);
	rounds(3);
	/* Room again: the writer is told. */
	assert_true(inputs > inputs_before);
	assert_int_equal(console_write(con, chunk, 100), 100);
	terminal_detach(t);
	terminal_destroy(t);
	/* Detached with output queued: it is written all the same. */
	assert_int_equal(read_all(out[0], sink, 100), 100);
	close(in);
	close(out[0]);
	close(out[1]);
}

static void test_reader_gone(void **state)
{
	static char chunk[4096];
	int in = open("/dev/null", O_RDONLY), out[2];
	struct terminal *t;

	(void)state;
	assert_int_equal(pipe(out), 0);
	t = terminal_create(in, out[1]);
	assert_int_equal(terminal_attach(t, con, &loop), 0);
	close(out[0]);
	for (int i = 0; i < 100; i++) {
		/* The first fills the queue until the loop finds out; then all is taken and dropped. */
		assert_int_equal(console_write(con, chunk, sizeof(chunk)), sizeof(chunk));
		rounds(1);
	}
	terminal_detach(t);
	terminal_destroy(t);
	close(in);
	close(out[1]);
}

static void test_regular_files(void **state)
{
	char path[] = "/tmp/gamut-term-XXXXXX", buf[8] = "";
	int in = mkstemp(path), out;
	struct terminal *t;

	(void)state;
	unlink(path);
	assert_int_equal(write(in, "input", 5), 5);
	lseek(in, 0, SEEK_SET);
	memcpy(path + sizeof(path) - 7, "XXXXXX", 6);
	out = mkstemp(path);
	unlink(path);
	assert_int_equal(write(out, "head ", 5), 5);
	t = terminal_create(in, out);
	assert_int_equal(terminal_attach(t, con, &loop), 0);
	console_on_input(con, on_input, con);
	console_write(con, "tail", 4);
	rounds(4);
	assert_int_equal(n_got, 5);
	assert_memory_equal(got, "input", 5);
	/* What was in the file stays. */
	assert_int_equal(pread(out, buf, 8, 0), 8);
	assert_memory_equal(buf, "head tai", 8);
	terminal_detach(t);
	terminal_destroy(t);
	close(in);
	close(out);
}

/* More input than there is room for stays in the pipe until the guest has read. */
static void test_input_waits(void **state)
{
	static char data[6000], back[6000];
	int in[2], out = open("/dev/null", O_WRONLY);
	uint32_t n = 0;
	struct terminal *t;

	(void)state;
	assert_int_equal(pipe(in), 0);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)i;
	t = terminal_create(in[0], out);
	assert_int_equal(terminal_attach(t, con, &loop), 0);
	console_on_input(con, on_input_ignored, NULL);
	assert_int_equal(write(in[1], data, sizeof(data)), sizeof(data));
	close(in[1]);
	rounds(30);
	for (int i = 0; i < 100 && n < sizeof(data); i++) {
		n += console_read(con, back + n, 1000);
		rounds(4);
	}
	assert_int_equal(n, sizeof(data));
	assert_memory_equal(data, back, sizeof(data));
	terminal_detach(t);
	terminal_destroy(t);
	close(in[0]);
	close(out);
}

static void test_tty(void **state)
{
	struct termios before, during, after;
	int slave, master = open_pty(&slave);
	char buf[8];
	struct terminal *t;

	(void)state;
	assert_int_equal(tcgetattr(slave, &before), 0);
	t = terminal_create(slave, slave);
	assert_true(terminal_is_tty(t));
	terminal_on_leave(t, on_leave, NULL);
	assert_int_equal(terminal_attach(t, con, &loop), 0);
	console_on_input(con, on_input, con);
	terminal_raw(t);
	assert_true(atomic_load(terminal_raw_flag(t)));
	tcgetattr(slave, &during);
	assert_false(during.c_lflag & (ICANON | ECHO | ISIG));
	/* Ctrl-C is the guest's, and what comes before Ctrl-] too. */
	assert_int_equal(write(master, "\x03x\x1dy", 4), 4);
	rounds(4);
	assert_int_equal(n_got, 2);
	assert_memory_equal(got, "\x03x", 2);
	assert_int_equal(leaves, 1);
	console_write(con, "ok", 2);
	rounds(2);
	assert_int_equal(read_all(master, buf, 2), 2);
	/* Stopped and continued. */
	terminal_restore(t);
	terminal_raw(t);
	terminal_detach(t);
	terminal_destroy(t);
	tcgetattr(slave, &after);
	assert_int_equal(before.c_lflag, after.c_lflag);
	assert_int_equal(before.c_iflag, after.c_iflag);
	assert_int_equal(before.c_oflag, after.c_oflag);
	close(slave);
	close(master);
}

/* The other end of the terminal goes away, as when a window is closed. */
static void test_hangup(void **state)
{
	int slave, master = open_pty(&slave);
	struct terminal *t = terminal_create(slave, slave);

	(void)state;
	assert_int_equal(terminal_attach(t, con, &loop), 0);
	console_on_input(con, on_input, con);
	terminal_raw(t);
	close(master);
	rounds(3);
	console_write(con, "nobody", 6);
	rounds(3);
	terminal_detach(t);
	terminal_destroy(t);
	close(slave);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pipe),        TEST(test_back_pressure), TEST(test_reader_gone), TEST(test_regular_files),
		TEST(test_input_waits), TEST(test_tty),           TEST(test_hangup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
