/* SPDX-License-Identifier: MIT */
/* The protocol of a control socket, by good clients and bad ones. What becomes of commands: test_domain.c. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "fake/control-rig.h"

static struct control_rig rig;
static char answer[1 << 20];

static int setup(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	return control_rig_init(&rig);
}

static int teardown(void **state)
{
	(void)state;
	control_rig_finish(&rig);
	return 0;
}

static void put(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* All that has come, as text. */
static const char *take(int fd)
{
	size_t n = 0;
	ssize_t rc;

	for (int i = 0; i < 4; i++) {
		control_rig_turn(&rig, 2);
		while ((rc = recv(fd, answer + n, sizeof(answer) - 1 - n, 0)) > 0)
			n += (size_t)rc;
	}
	answer[n] = 0;
	return answer;
}

static bool is_closed(int fd)
{
	char byte;

	control_rig_turn(&rig, 4);
	for (int i = 0; i < 1000000; i++) {
		ssize_t n = recv(fd, &byte, 1, 0);

		if (n <= 0)
			return n == 0 || errno == ECONNRESET;
	}
	return false;
}

static int greeted(void)
{
	int fd = control_rig_connect(&rig);

	assert_true(fd >= 0);
	assert_non_null(strstr(take(fd), "\"protocol\":1,\"domain\":\"web\",\"id\":3"));
	return fd;
}

static void assert_asks(int fd, const char *request, const char *part)
{
	put(fd, request);
	put(fd, "\n");
	if (!strstr(take(fd), part))
		fail_msg("%s: %s", request, answer);
}

static void test_requests(void **state)
{
	int fd = greeted();

	(void)state;
	assert_asks(fd, "{\"id\":1,\"method\":\"summary\"}", "\"state\":\"building\"");
	assert_non_null(strstr(answer, "{\"id\":1,\"result\":{\"name\":\"web\""));
	assert_asks(fd, "{\"id\":\"x\",\"method\":\"info\"}", "{\"id\":\"x\",\"result\"");
	assert_non_null(strstr(answer, "\"consoles\":[{\"name\":\"xen\""));
	assert_asks(fd, " { \"method\" : \"summary\" , \"id\" : 1.5 } ", "{\"id\":1.5,");
	assert_asks(fd, "{\"method\":\"summary\"}", "{\"id\":null,\"result\"");
	assert_asks(fd, "{\"id\":[1],\"method\":\"summary\"}", "{\"id\":null,\"result\"");
	/* There is no domain as yet. */
	assert_asks(fd, "{\"id\":2,\"method\":\"pause\"}", "{\"id\":2,\"error\":{\"code\":\"not-ready\"");
	assert_asks(fd, "{\"id\":2,\"method\":\"destroy\"}", "not-ready");
	assert_asks(fd, "{\"id\":2,\"method\":\"stats\"}", "not-ready");
	control_domain(rig.control, NULL);
	assert_asks(fd, "{\"id\":2,\"method\":\"summary\"}", "\"state\":\"ending\"");
	close(fd);
}

static void test_mistakes(void **state)
{
	int fd = greeted();

	(void)state;
	assert_asks(fd, "{\"id\":1,\"method\":\"paws\"}", "\"unknown-method\",\"message\":\"there is no method \\\"paws\\\"\"");
	assert_asks(fd, "{\"id\":1}", "bad-request");
	assert_asks(fd, "{\"id\":1,\"method\":7}", "bad-request");
	assert_asks(fd, "[]", "bad-request");
	assert_asks(fd, "{\"method\":\"info\",\"params\":3}", "bad-params");
	assert_asks(fd, "{\"method\":\"shutdown\",\"params\":{\"reboot\":1}}", "bad-params");
	assert_asks(fd, "{\"method\":\"watch\",\"params\":{\"interval_ms\":19}}", "bad-params");
	assert_asks(fd, "{\"method\":\"watch\",\"params\":{\"interval_ms\":\"1\"}}", "bad-params");
	assert_asks(fd, "{\"method\":\"watch\",\"params\":{\"interval_ms\":1e300}}", "bad-params");
	assert_asks(fd, "{\"method\":\"watch\",\"params\":{\"method\":\"destroy\"}}", "bad-params");
	assert_asks(fd, "{\"method\":\"console\",\"params\":{\"console\":2}}", "there are: 0 xen 1 serial1");
	assert_asks(fd, "{\"method\":\"console\",\"params\":{\"console\":-1}}", "bad-params");
	assert_asks(fd, "{\"method\":\"console\",\"params\":{\"console\":{}}}", "bad-params");
	assert_asks(fd, "{\"method\":\"console\",\"params\":{\"history\":0}}", "bad-params");
	/* What is no JSON ends it. */
	assert_asks(fd, "{\"method\":", "bad-request");
	assert_true(is_closed(fd));
	close(fd);
	fd = greeted();
	assert_asks(fd, "{\"id\":1,\"id\":2,\"method\":\"info\"}", "bad-request");
	assert_true(is_closed(fd));
	close(fd);
}

/* In pieces, several at once, none at all. */
static void test_pieces(void **state)
{
	static const char text[] = "{\"id\":1,\"method\":\"summary\"}\n{\"id\":2,\"method\":\"summary\"}\n";
	int fd = greeted();

	(void)state;
	for (const char *p = text; *p; p++) {
		char c[2] = { *p, 0 };

		put(fd, c);
		control_rig_turn(&rig, 1);
	}
	take(fd);
	assert_non_null(strstr(answer, "{\"id\":1,"));
	assert_non_null(strstr(answer, "{\"id\":2,"));
	put(fd, text);
	take(fd);
	assert_non_null(strstr(answer, "{\"id\":2,"));
	/* Half a request and the end: the whole one before it has its answer. */
	put(fd, "{\"id\":3,\"method\":\"summary\"}\n{\"id\":4,\"meth");
	shutdown(fd, SHUT_WR);
	take(fd);
	assert_non_null(strstr(answer, "{\"id\":3,"));
	assert_null(strstr(answer, "{\"id\":4,"));
	assert_true(is_closed(fd));
	close(fd);
}

static void test_too_long(void **state)
{
	static char much[65536];
	int fd = greeted();

	(void)state;
	memset(much, ' ', sizeof(much));
	for (size_t at = 0; at < sizeof(much); at += 4096) {
		assert_int_equal(send(fd, much, 4096, MSG_NOSIGNAL), 4096);
		control_rig_turn(&rig, 2);
	}
	take(fd);
	assert_non_null(strstr(answer, "too-long"));
	assert_true(is_closed(fd));
	close(fd);
}

/* One that asks and does not read is not read from, and the others are served. */
static void test_deaf(void **state)
{
	static const char request[] = "{\"id\":1,\"method\":\"info\"}\n";
	int deaf = greeted(), good = greeted(), n = 0;

	(void)state;
	while (n < 1000000 && send(deaf, request, sizeof(request) - 1, MSG_NOSIGNAL) > 0) {
		n++;
		if (n % 100 == 0)
			control_rig_turn(&rig, 1);
	}
	assert_true(n < 100000);
	assert_asks(good, "{\"id\":7,\"method\":\"summary\"}", "{\"id\":7,");
	close(deaf);
	assert_asks(good, "{\"id\":8,\"method\":\"summary\"}", "{\"id\":8,");
	close(good);
}

static void test_watch(void **state)
{
	int fd = greeted();

	(void)state;
	put(fd, "{\"id\":9,\"method\":\"watch\",\"params\":{\"interval_ms\":20,\"method\":\"summary\"}}\n");
	take(fd);
	assert_non_null(strstr(answer, "{\"id\":9,\"result\":{\"text\":\"watching\"}}"));
	usleep(50000);
	take(fd);
	assert_non_null(strstr(answer, "{\"watch\":9,\"result\":{\"name\":\"web\""));
	assert_asks(fd, "{\"id\":10,\"method\":\"console\"}", "bad-request");
	assert_asks(fd, "{\"id\":10,\"method\":\"unwatch\"}", "not watching");
	usleep(50000);
	assert_string_equal(take(fd), "");
	assert_asks(fd, "{\"id\":11,\"method\":\"events\"}", "listening");
	control_event(rig.control, "paused");
	control_event(rig.control, "resumed");
	assert_string_equal(take(fd), "{\"event\":\"paused\"}\n{\"event\":\"resumed\"}\n");
	control_finish(rig.control, "the guest powered off", "by itself");
	assert_string_equal(take(fd),
	                    "{\"event\":\"ended\",\"how\":\"the guest powered off\",\"why\":\"by itself\"}\n");
	close(fd);
}

static void test_console(void **state)
{
	int fd = greeted(), watcher = greeted();
	char typed[64] = "";

	(void)state;
	console_write(rig.console[1], "before ", 7);
	put(fd, "{\"id\":1,\"method\":\"console\",\"params\":{\"console\":\"serial1\"}}\nfirst ");
	take(fd);
	assert_non_null(strstr(answer, "\"console\":\"serial1\"}}\nbefore "));
	put(watcher, "{\"id\":1,\"method\":\"console\",\"params\":{\"console\":1,\"history\":false}}\n");
	assert_null(strstr(take(watcher), "before"));
	console_write(rig.console[1], "after", 5);
	assert_string_equal(take(fd), "after");
	assert_string_equal(take(watcher), "after");
	/* Nothing is a request any more. */
	put(fd, "{\"method\":\"destroy\"}\n");
	take(fd);
	assert_int_equal(console_read(rig.console[1], typed, sizeof(typed)), 27);
	assert_string_equal(typed, "first {\"method\":\"destroy\"}\n");
	/* A guest that does not read holds its typist up, and nobody else. */
	for (int i = 0; i < 2000; i++) {
		if (send(fd, typed, 27, MSG_NOSIGNAL) < 0)
			break;
		control_rig_turn(&rig, 1);
	}
	close(fd);
	control_finish(rig.control, NULL, NULL);
	close(watcher);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_requests), TEST(test_mistakes), TEST(test_pieces),  TEST(test_too_long),
		TEST(test_deaf),     TEST(test_watch),    TEST(test_console),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
