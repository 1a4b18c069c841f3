/* SPDX-License-Identifier: MIT */
/* The run-time folder: whose it must be, names, ids, and what dead processes leave. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/rundir.h"
#include "control/unix-socket.h"

static char base[32], path[64], err[512];

static int setup(void **state)
{
	(void)state;
	snprintf(base, sizeof(base), "/tmp/gamut-rundir-XXXXXX");
	if (!mkdtemp(base))
		return -1;
	snprintf(path, sizeof(path), "%s/gamut", base);
	return setenv("XDG_RUNTIME_DIR", base, 1);
}

static int teardown(void **state)
{
	char command[96];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", base);
	return system(command);
}

static void test_folder(void **state)
{
	struct rundir r;
	struct stat st;
	char *file;

	(void)state;
	assert_int_equal(rundir_open(&r, false, err, sizeof(err)), -ENOENT);
	assert_int_equal(rundir_open(&r, true, err, sizeof(err)), 0);
	assert_string_equal(r.path, path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	file = rundir_file(&r, "a@b", ".pty");
	assert_non_null(strstr(file, "/gamut/a@b.pty"));
	free(file);
	rundir_close(&r);
	assert_int_equal(rundir_open(&r, false, err, sizeof(err)), 0);
	rundir_close(&r);
	/* Others can enter it. */
	assert_int_equal(chmod(path, 0750), 0);
	assert_int_equal(rundir_open(&r, true, err, sizeof(err)), -EPERM);
	assert_non_null(strstr(err, "0700"));
	assert_int_equal(rmdir(path), 0);
	/* A link to a folder that would do; a file. */
	assert_int_equal(symlink("/root", path), 0);
	assert_true(rundir_open(&r, true, err, sizeof(err)) < 0);
	assert_int_equal(unlink(path), 0);
	close(open(path, O_CREAT | O_WRONLY, 0700));
	assert_int_equal(rundir_open(&r, true, err, sizeof(err)), -ENOTDIR);
	/* Somebody else's. */
	if (geteuid() == 0) {
		assert_int_equal(unlink(path) | mkdir(path, 0700) | chown(path, 12345, 12345), 0);
		assert_int_equal(rundir_open(&r, true, err, sizeof(err)), -EPERM);
	}
	/* What is no absolute path does not count. */
	setenv("XDG_RUNTIME_DIR", "relative", 1);
	if (!rundir_open(&r, false, err, sizeof(err))) {
		assert_true(r.path[0] == '/');
		rundir_close(&r);
	}
}

static void test_claims(void **state)
{
	struct claim a, b, c;
	struct rundir r;

	(void)state;
	assert_int_equal(rundir_open(&r, true, err, sizeof(err)), 0);
	assert_int_equal(claim_take(&a, &r, "web", err, sizeof(err)), 0);
	assert_int_equal(a.id, 1);
	assert_int_equal(claim_take(&b, &r, "web", err, sizeof(err)), -EBUSY);
	assert_non_null(strstr(err, "\"web\" is running already"));
	assert_int_equal(claim_take(&b, &r, "db", err, sizeof(err)), 0);
	assert_int_equal(b.id, 2);
	claim_release(&a);
	claim_release(&a);
	/* The lowest id that is free. */
	assert_int_equal(claim_take(&c, &r, "web", err, sizeof(err)), 0);
	assert_int_equal(c.id, 1);
	claim_release(&b);
	claim_release(&c);
	rundir_close(&r);
	assert_int_equal(rmdir(path), 0);
}

/* A claim ends with its process, however that ends; who claims next finds the files. */
static void test_killed(void **state)
{
	struct unix_listener l;
	struct claim c;
	struct rundir r;
	int status;
	pid_t pid;

	(void)state;
	assert_int_equal(rundir_open(&r, true, err, sizeof(err)), 0);
	pid = fork();
	if (!pid) {
		struct unix_listener left;

		_exit(claim_take(&c, &r, "web", err, sizeof(err)) || unix_listener_open_at(&left, r.fd, "web.sock"));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(faccessat(r.fd, "web.sock", F_OK, 0), 0);
	assert_int_equal(unix_connect_at(r.fd, "web.sock"), -ECONNREFUSED);
	assert_int_equal(claim_take(&c, &r, "web", err, sizeof(err)), 0);
	assert_int_equal(c.id, 1);
	assert_int_equal(unix_listener_open_at(&l, r.fd, "web.sock"), 0);
	unix_listener_close(&l);
	unix_listener_close(&l);
	claim_release(&c);
	rundir_close(&r);
	assert_int_equal(rmdir(path), 0);
}

static void test_names(void **state)
{
	static const char *const files[] = { "b.sock", "a.sock", "a@xen.sock", "c.lock", ".sock", "d.sock.old" };
	struct rundir r;
	char **names;

	(void)state;
	assert_int_equal(rundir_open(&r, true, err, sizeof(err)), 0);
	assert_int_equal(rundir_names(&r, &names), 0);
	rundir_names_free(names, 0);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		close(openat(r.fd, files[i], O_CREAT | O_WRONLY, 0600));
	assert_int_equal(rundir_names(&r, &names), 2);
	assert_string_equal(names[0], "a");
	assert_string_equal(names[1], "b");
	rundir_names_free(names, 2);
	rundir_close(&r);
}

static void test_sockets(void **state)
{
	struct unix_listener l, second;
	char long_path[400];
	struct stat st;
	struct rundir r;
	int fd, peer;

	(void)state;
	assert_int_equal(rundir_open(&r, true, err, sizeof(err)), 0);
	assert_int_equal(unix_listener_open_at(&l, r.fd, "s"), 0);
	assert_int_equal(fstatat(r.fd, "s", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(unix_listener_open_at(&second, r.fd, "s"), -EADDRINUSE);
	/* One that asked while we were trying is to be taken in, too. */
	fd = unix_connect_at(r.fd, "s");
	assert_true(fd >= 0);
	peer = unix_accept(l.fd);
	close(peer);
	assert_true(peer >= 0);
	peer = unix_accept(l.fd);
	assert_true(peer >= 0);
	assert_int_equal(unix_accept(l.fd), -EAGAIN);
	assert_true(fcntl(peer, F_GETFL) & O_NONBLOCK);
	close(fd);
	close(peer);
	/* The name is another's by now: it is left alone. */
	assert_int_equal(renameat(r.fd, "s", r.fd, "t"), 0);
	close(openat(r.fd, "s", O_CREAT | O_WRONLY, 0600));
	unix_listener_close(&l);
	assert_int_equal(faccessat(r.fd, "s", F_OK, 0), 0);
	assert_int_equal(unix_listener_open_at(&second, r.fd, "s"), -EEXIST);
	/* A path that is too long for the kernel. */
	snprintf(long_path, sizeof(long_path), "%s/%0100d", path, 1);
	assert_int_equal(mkdir(long_path, 0700), 0);
	snprintf(long_path, sizeof(long_path), "%s/%0100d/socket", path, 1);
	assert_int_equal(unix_listener_open(&l, long_path), 0);
	assert_int_equal(access(long_path, F_OK), 0);
	unix_listener_close(&l);
	assert_int_equal(access(long_path, F_OK), -1);
	assert_int_equal(unix_listener_open(&l, "/no/such/folder"), -ENOENT);
	assert_int_equal(unix_connect_at(r.fd, "nobody"), -ENOENT);
	rundir_close(&r);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_folder), TEST(test_claims), TEST(test_killed), TEST(test_names), TEST(test_sockets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
