/* SPDX-License-Identifier: MIT */
/* One run, with shell scripts in the place of guests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "core/bench/run.h"

static json_t *into;
static const char *stats_path; /* the file of the next run's statistics */

static int run_for(const char *script, int64_t timeout, int signals)
{
	json_t *command = json_pack("[s, s, s]", "/bin/sh", "-c", script);
	const struct bench_run run = { .command = command, .timeout = timeout, .guest_mib = 64, .signals = signals,
		                       .stats = stats_path };
	int rc;

	json_decref(into);
	into = json_object();
	rc = bench_run(&run, into);
	json_decref(command);
	return rc;
}

static const char *text(const char *key)
{
	const char *s = json_string_value(json_object_get(into, key));

	return s ? s : "";
}

static void failed(const char *script, int64_t timeout, const char *part)
{
	assert_int_equal(run_for(script, timeout, -1), 0);
	assert_string_equal(text("status"), "failed");
	if (!strstr(text("why"), part))
		fail_msg("\"%s\" is not in \"%s\"", part, text("why"));
}

static int teardown(void **state)
{
	(void)state;
	json_decref(into);
	into = NULL;
	return 0;
}

static void a_good_run(void **state)
{
	const json_t *samples;

	(void)state;
	assert_int_equal(run_for("echo bench: begin x; echo bench: a ns 1 2 2 2 2 2; echo bench: end", 60, -1), 0);
	assert_string_equal(text("status"), "ok");
	assert_string_equal(text("why"), "");
	samples = json_object_get(into, "samples");
	assert_non_null(json_object_get(samples, "a ns"));
	assert_non_null(json_object_get(samples, "boot-to-init s"));
	assert_non_null(json_object_get(samples, "process-start-to-end s"));
	assert_true(json_integer_value(json_object_get(json_object_get(into, "counters"), "wall_ns")) > 0);
	assert_true(json_integer_value(json_object_get(json_object_get(into, "noise"), "spin_ns")) > 0);
}

/* A guest that does one thing over and over: what its exits are each time. */
static void exits_of_a_turn(void **state)
{
	static const char script[] = "echo '{\"exits\": {\"total\": 300}, \"plugins\": [{\"axis\": \"interrupts\", \"exits\": 200}]}' >%s;"
				     "echo bench: begin x; echo bench: turns 100; echo bench: end";
	char path[] = "/tmp/gamut-test-XXXXXX", text[256];
	const struct {
		const char *key;
		double value;
	} wanted[] = { { "exits-a-turn exits", 3 }, { "interrupt-exits-a-turn exits", 2 } };
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	snprintf(text, sizeof(text), script, path);
	stats_path = path;
	assert_int_equal(run_for(text, 60, -1), 0);
	stats_path = NULL;
	unlink(path);
	for (size_t i = 0; i < 2; i++) {
		const json_t *sample = json_object_get(json_object_get(into, "samples"), wanted[i].key);

		assert_true(json_number_value(json_object_get(sample, "median")) == wanted[i].value);
	}
}

static void runs_that_fail(void **state)
{
	(void)state;
	failed("echo hello", 60, "without `bench: begin`; its last line: hello");
	failed("echo bench: begin x; echo no good >&2", 60, "without `bench: end`; its last line: no good");
	failed("echo bench: begin x; echo bench: end; exit 4", 60, "status 4");
	assert_int_equal(json_array_size(json_object_get(into, "tail")), 2);
	failed("i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i + 1)); done", 60, "line 1999");
	assert_in_range(json_array_size(json_object_get(into, "tail")), 300, 500);
	failed("kill -SEGV $$", 60, "died by");
	failed("exec /no/such/file", 60, "status 127");
	failed("exec sleep 30", 1, "longer than 1 s");
	/* Neither a signal nor closed streams keep it. */
	failed("exec >&- 2>&-; exec sleep 30", 1, "longer than 1 s");
}

static void endless_output(void **state)
{
	(void)state;
	failed("exec yes bench:", 60, "64 MiB");
	failed("exec tr '\\0' x </dev/zero", 60, "64 MiB");
	assert_int_equal(json_object_size(json_object_get(into, "samples")), 0);
}

/* What it leaves running has its streams still. */
static void children_that_stay(void **state)
{
	(void)state;
	assert_int_equal(run_for("sleep 1000 & echo bench: begin x; echo bench: end", 20, -1), 0);
	assert_string_equal(text("status"), "ok");
}

static void a_signal_ends_it(void **state)
{
	sigset_t mask;
	int fd;

	(void)state;
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	assert_true(fd >= 0);
	raise(SIGINT);
	assert_int_equal(run_for("echo bench: begin x; exec sleep 1000", 60, fd), SIGINT);
	assert_string_equal(text("status"), "interrupted");
	close(fd);
	sigprocmask(SIG_UNBLOCK, &mask, NULL);
}

static void counters_of_statistics(void **state)
{
	json_t *stats = json_pack("{s:i, s:{s:i, s:i, s:{s:i, s:i}}, s:[{s:i, s:i}, {s:i, s:i}],"
	                          " s:[{s:s, s:i, s:i, s:i}, {s:s, s:i, s:i, s:i}], s:{s:i}}",
	                          "wall_ns", 1000, "exits", "total", 7, "ns", 300, "by_reason", "pio", 7, "mmio", 0,
	                          "vcpus", "running_ns", 500, "blocked_ns", 400, "running_ns", 100, "blocked_ns", 50,
	                          "plugins", "axis", "disk", "exits", 3, "exit_ns", 30, "io_ns", 300, "axis", "disk",
	                          "exits", 4, "exit_ns", 40, "io_ns", 400, "memory", "beyond_guest", 3 << 19);
	json_t *c = bench_counters(stats), *disk = json_object_get(json_object_get(c, "axes"), "disk");

	(void)state;
	assert_int_equal(json_integer_value(json_object_get(c, "guest_ns")), 300);
	assert_int_equal(json_integer_value(json_object_get(c, "monitor_ns")), 300);
	assert_int_equal(json_integer_value(json_object_get(c, "idle_ns")), 450);
	assert_int_equal(json_object_size(json_object_get(c, "by_reason")), 1);
	assert_true(json_real_value(json_object_get(c, "memory_overhead_mib")) == 1.5);
	assert_int_equal(json_integer_value(json_object_get(disk, "exits")), 7);
	assert_int_equal(json_integer_value(json_object_get(disk, "io_ns")), 700);
	json_decref(c);
	json_decref(stats);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(a_good_run, teardown),
		cmocka_unit_test_teardown(exits_of_a_turn, teardown),
		cmocka_unit_test_teardown(runs_that_fail, teardown),
		cmocka_unit_test_teardown(endless_output, teardown),
		cmocka_unit_test_teardown(children_that_stay, teardown),
		cmocka_unit_test_teardown(a_signal_ends_it, teardown),
		cmocka_unit_test(counters_of_statistics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
