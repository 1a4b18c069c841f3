/* SPDX-License-Identifier: MIT */
/* Dispatch and exit codes of the command, with what it prints and where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <jansson.h>

#include "cmd.h"

#define FAKE     TEST_BUILD_DIR "/tests/abi/fake"
#define BAD      TEST_BUILD_DIR "/tests/abi/bad"
#define MAX_TEXT 65536

struct result {
	int rc;
	char out[MAX_TEXT], err[MAX_TEXT];
};

/* Points a stream's descriptor at a fresh file; *saved is the one to put back. */
static int capture(int fd, int *saved)
{
	int file = memfd_create("gamut-test", MFD_CLOEXEC);

	assert_true(file >= 0);
	*saved = dup(fd);
	dup2(file, fd);
	return file;
}

static void restore(int fd, int saved, int file, char text[MAX_TEXT])
{
	ssize_t n = pread(file, text, MAX_TEXT - 1, 0);

	assert_true(n >= 0);
	text[n] = 0;
	dup2(saved, fd);
	close(saved);
	close(file);
}

static void run(struct result *r, char *const *args)
{
	char *argv[16];
	int argc = 0, out, err, saved_out, saved_err;

	argv[argc++] = (char *)"gamut";
	while (args[argc - 1]) {
		argv[argc] = args[argc - 1];
		argc++;
	}
	argv[argc] = NULL;
	fflush(stdout);
	fflush(stderr);
	out = capture(1, &saved_out);
	err = capture(2, &saved_err);
	r->rc = cmd_main(argc, argv);
	fflush(stdout);
	fflush(stderr);
	restore(1, saved_out, out, r->out);
	restore(2, saved_err, err, r->err);
}

#define RUN(r, ...) run(r, (char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static struct result r;

static const char *const no_interval[] = { "", "0", "-1", "nan", "inf", "1s", "0.0199", "3600.1", "x" };

static void bad_usage_is_two(void **state)
{
	(void)state;
	RUN(&r);
	assert_int_equal(r.rc, CMD_USAGE);
	assert_string_equal(r.out, "");
	RUN(&r, (char *)"chek");
	assert_int_equal(r.rc, CMD_USAGE);
	assert_non_null(strstr(r.err, "did you mean \"check\"?"));
	RUN(&r, (char *)"--frob");
	assert_int_equal(r.rc, CMD_USAGE);
	RUN(&r, (char *)"check");
	assert_int_equal(r.rc, CMD_USAGE);
	RUN(&r, (char *)"check", (char *)"--frob", (char *)"x");
	assert_int_equal(r.rc, CMD_USAGE);
	RUN(&r, (char *)"advise", (char *)"--frob");
	assert_int_equal(r.rc, CMD_USAGE);
	RUN(&r, (char *)"advise", (char *)"a", (char *)"b");
	assert_int_equal(r.rc, CMD_USAGE);
	RUN(&r, (char *)"color");
	assert_int_equal(r.rc, CMD_USAGE);
	RUN(&r, (char *)"color", (char *)"a", (char *)"b");
	assert_int_equal(r.rc, CMD_USAGE);
	RUN(&r, (char *)"color", (char *)"--frob", (char *)"a");
	assert_int_equal(r.rc, CMD_USAGE);
	for (size_t i = 0; i < sizeof(no_interval) / sizeof(no_interval[0]); i++) {
		RUN(&r, (char *)"color", (char *)"--interval", (char *)(uintptr_t)no_interval[i], (char *)"a");
		assert_int_equal(r.rc, CMD_USAGE);
		assert_non_null(strstr(r.err, "0.02 to 3600"));
	}
	RUN(&r, (char *)"plugin");
	assert_int_equal(r.rc, CMD_USAGE);
	RUN(&r, (char *)"plugin", (char *)"frob");
	assert_int_equal(r.rc, CMD_USAGE);
	RUN(&r, (char *)"plugin", (char *)"list", (char *)"x");
	assert_int_equal(r.rc, CMD_USAGE);
	RUN(&r, (char *)"plugin", (char *)"info");
	assert_int_equal(r.rc, CMD_USAGE);
	RUN(&r, (char *)"plugin", (char *)"check");
	assert_int_equal(r.rc, CMD_USAGE);
	assert_string_equal(r.out, "");
}

static void help_and_version_go_to_standard_output(void **state)
{
	(void)state;
	RUN(&r, (char *)"--help");
	assert_int_equal(r.rc, CMD_OK);
	assert_string_equal(r.err, "");
	for (size_t i = 0; i < n_cmds; i++)
		assert_non_null(strstr(r.out, cmds[i].name));
	RUN(&r, (char *)"--version");
	assert_int_equal(r.rc, CMD_OK);
	assert_int_equal(strncmp(r.out, "gamut ", 6), 0);
	RUN(&r, (char *)"check", (char *)"--help");
	assert_int_equal(r.rc, CMD_OK);
	assert_non_null(strstr(r.out, "on_reboot"));
	RUN(&r, (char *)"advise", (char *)"--help");
	assert_int_equal(r.rc, CMD_OK);
	assert_non_null(strstr(r.out, "Usage: gamut advise"));
	RUN(&r, (char *)"plugin", (char *)"list", (char *)"--help");
	assert_int_equal(r.rc, CMD_OK);
	assert_non_null(strstr(r.out, "Usage: gamut plugin"));
}

static void plugin_list_and_info(void **state)
{
	json_t *j;

	(void)state;
	setenv("GAMUT_PLUGIN_PATH", FAKE, 1);
	RUN(&r, (char *)"plugin", (char *)"list");
	assert_int_equal(r.rc, CMD_OK);
	assert_non_null(strstr(r.out, "fake blkback"));
	RUN(&r, (char *)"plugin", (char *)"list", (char *)"--json");
	j = json_loads(r.out, 0, NULL);
	assert_true(json_is_array(j) && json_array_size(j) >= 8);
	json_decref(j);
	RUN(&r, (char *)"plugin", (char *)"info", (char *)"disk-xen");
	assert_int_equal(r.rc, CMD_OK);
	assert_non_null(strstr(r.out, "an integer from 1 to 64 (32)"));
	RUN(&r, (char *)"plugin", (char *)"info", (char *)"--json", (char *)FAKE "/disk-xen.so");
	j = json_loads(r.out, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(j, "name")), "disk-xen");
	json_decref(j);
	RUN(&r, (char *)"plugin", (char *)"info", (char *)"disk-xem");
	assert_int_equal(r.rc, CMD_PROBLEM);
	assert_non_null(strstr(r.err, "did you mean \"disk-xen\"?"));
	setenv("GAMUT_PLUGIN_PATH", BAD, 1);
	RUN(&r, (char *)"plugin", (char *)"list");
	assert_int_equal(r.rc, CMD_PROBLEM);
	assert_non_null(strstr(r.err, "ABI 2.7"));
	assert_non_null(strstr(r.out, "disk-fails-in-create"));
	unsetenv("GAMUT_PLUGIN_PATH");
}

static void plugin_check(void **state)
{
	(void)state;
	RUN(&r, (char *)"plugin", (char *)"check", (char *)FAKE "/disk-xen.so");
	assert_int_equal(r.rc, CMD_OK);
	assert_string_equal(r.err, "");
	RUN(&r, (char *)"plugin", (char *)"check", (char *)FAKE "/disk-xen.so",
	    (char *)BAD "/disk-undefined.so");
	assert_int_equal(r.rc, CMD_PROBLEM);
	assert_non_null(strstr(r.out, "disk-xen.so: ok"));
	assert_non_null(strstr(r.err, "core_other_secret"));
}

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void check_files(void **state)
{
	char dir[] = "/tmp/gamut-test-XXXXXX", good[64], bad[64], unfit[64], kernel[64];
	json_t *j;

	(void)state;
	setenv("GAMUT_PLUGIN_PATH", FAKE, 1);
	assert_non_null(mkdtemp(dir));
	snprintf(good, sizeof(good), "%s/good.cfg", dir);
	snprintf(bad, sizeof(bad), "%s/bad.cfg", dir);
	snprintf(kernel, sizeof(kernel), "%s/vmlinuz", dir);
	snprintf(unfit, sizeof(unfit), "%s/unfit.cfg", dir);
	write_text(good, "name = \"g\"; mode = \"pvh\"; boot = { kernel = \"" TEST_BUILD_DIR "/guests/probe\"; };\n");
	write_text(unfit, "name = \"u\"; mode = \"pvh\";\nboot = { kernel = \"vmlinuz\"; };\n");
	write_text(
	        bad,
	        "name = \"b\"; mode = \"pvh\"; boot = { kernel = \"vmlinuz\"; };\nmemory = 0;\nvcpu = 1;\n");
	write_text(kernel, "kernel");

	RUN(&r, (char *)"check", good);
	assert_int_equal(r.rc, CMD_OK);
	assert_string_equal(r.err, "");
	assert_non_null(strstr(r.out, "platform=pvh"));
	assert_non_null(strstr(r.out, "; engine "));
	assert_non_null(strstr(r.out, " (auto: "));
	RUN(&r, (char *)"check", unfit);
	assert_int_equal(r.rc, CMD_PROBLEM);
	assert_non_null(strstr(r.err, "unfit.cfg:2: "));
	assert_non_null(strstr(r.err, "vmlinuz"));
	write_text(unfit, "name = \"u\"; mode = \"pvh\"; boot = { kernel = \"" TEST_BUILD_DIR "/guests/probe\"; };\nvcpus = 4096;\n");
	RUN(&r, (char *)"check", unfit);
	assert_int_equal(r.rc, CMD_PROBLEM);
	assert_non_null(strstr(r.err, "unfit.cfg:2: vcpus: 4096 are too many"));
	RUN(&r, (char *)"check", bad, good);
	assert_int_equal(r.rc, CMD_PROBLEM);
	assert_non_null(strstr(r.err, "bad.cfg:2: memory:"));
	assert_non_null(strstr(r.err, "bad.cfg:3: vcpu: unknown key"));
	assert_non_null(strstr(r.out, "good.cfg: ok"));
	RUN(&r, (char *)"check", (char *)"--json", (char *)"--", bad, good);
	assert_int_equal(r.rc, CMD_PROBLEM);
	j = json_loads(r.out, 0, NULL);
	assert_int_equal(json_array_size(j), 2);
	assert_true(json_is_false(json_object_get(json_array_get(j, 0), "ok")));
	assert_int_equal(json_array_size(json_object_get(json_array_get(j, 0), "problems")), 2);
	assert_true(json_is_true(json_object_get(json_array_get(j, 1), "ok")));
	assert_true(json_is_string(json_object_get(json_array_get(j, 1), "engine")));
	assert_true(json_is_string(json_object_get(json_array_get(j, 1), "engine_reason")));
	json_decref(j);
	unlink(good);
	unlink(bad);
	unlink(unfit);
	unlink(kernel);
	rmdir(dir);
	unsetenv("GAMUT_PLUGIN_PATH");
}

static const char *row_of(json_t *advice, const char *mode, const char *key)
{
	json_t *rows = json_object_get(advice, "modes");

	for (size_t i = 0; i < json_array_size(rows); i++) {
		json_t *row = json_array_get(rows, i);

		if (!strcmp(json_string_value(json_object_get(row, "mode")), mode))
			return json_string_value(json_object_get(row, key));
	}
	return NULL;
}

static void advise_kernels(void **state)
{
	json_t *j, *best;

	(void)state;
	setenv("GAMUT_PLUGIN_PATH", FAKE, 1);
	RUN(&r, (char *)"advise");
	assert_int_equal(r.rc, CMD_OK);
	assert_string_equal(r.err, "");
	assert_non_null(strstr(r.out, "Recommended: mode = \"pvh\" on engine "));
	RUN(&r, (char *)"advise", (char *)"--json", (char *)"--", (char *)TEST_BUILD_DIR "/guests/probe");
	assert_int_equal(r.rc, CMD_OK);
	j = json_loads(r.out, 0, NULL);
	best = json_object_get(j, "recommended");
	assert_string_equal(json_string_value(json_object_get(best, "mode")), "pvh");
	assert_string_equal(row_of(j, "pvh", "can_run"), "yes");
	assert_string_equal(row_of(j, "hvm", "can_run"), "no");
	assert_non_null(strstr(row_of(j, "hvm", "reason"), "bzImage"));
	assert_true(json_is_string(json_object_get(json_object_get(json_object_get(j, "host"), "kvm"), "kind")));
	json_decref(j);
	RUN(&r, (char *)"advise", (char *)TEST_SOURCE_DIR "/README.md");
	assert_int_equal(r.rc, CMD_PROBLEM);
	assert_string_equal(r.out, "");
	assert_non_null(strstr(r.err, "README.md: "));
	unsetenv("GAMUT_PLUGIN_PATH");
}

/* This program is an ELF file that no mode has an entry into. */
static void advise_none(void **state)
{
	json_t *j;

	(void)state;
	RUN(&r, (char *)"advise", (char *)"--json", (char *)"/proc/self/exe");
	assert_int_equal(r.rc, CMD_PROBLEM);
	assert_string_equal(r.err, "");
	j = json_loads(r.out, 0, NULL);
	assert_string_equal(row_of(j, "pv", "can_run"), "no");
	assert_true(json_is_null(json_object_get(json_object_get(j, "recommended"), "mode")));
	json_decref(j);
	RUN(&r, (char *)"advise", (char *)"/proc/self/exe");
	assert_int_equal(r.rc, CMD_PROBLEM);
	assert_non_null(strstr(r.out, "Recommended: none: no mode can run here"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(bad_usage_is_two),
	        cmocka_unit_test(help_and_version_go_to_standard_output),
	        cmocka_unit_test(plugin_list_and_info),
	        cmocka_unit_test(plugin_check),
	        cmocka_unit_test(check_files),
	        cmocka_unit_test(advise_kernels),
	        cmocka_unit_test(advise_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
