/* SPDX-License-Identifier: MIT */
/*
 * The socket is handed over as systemd hands one to a service: a listening
 * socket as descriptor 3, and LISTEN_FDS and LISTEN_PID in the environment. So
 * there is no name in the file system that somebody else could connect to, and
 * no waiting for one to appear: the connection is in the backlog before the
 * server runs.
 */
#include "dm/block/nbd-server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROGRAM "qemu-nbd"
#define PACKAGE "qemu-utils"
#define LISTEN_FD 3

/* Writing back can take long on a slow disk; only one that does nothing at all is ended. */
#define PATIENCE_MS 60000
#define LAST_WORDS_MS 2000

extern char **environ;

/* ---- the sockets ---- */

/* A listening socket without a name in the file system, and a connection to it. 0 or -errno. */
static int make_sockets(int *listener, int *connection)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(sa_family_t);
	int l = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int c = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int error;

	/* Binding to no name at all makes the kernel choose an abstract one (unix(7), autobind). */
	if (l < 0 || c < 0 || bind(l, (struct sockaddr *)&address, len) || listen(l, 1))
		goto fail;
	len = sizeof(address);
	if (getsockname(l, (struct sockaddr *)&address, &len) || connect(c, (struct sockaddr *)&address, len))
		goto fail;
	*listener = l;
	*connection = c;
	return 0;

fail:
	error = -errno;
	if (l >= 0)
		close(l);
	if (c >= 0)
		close(c);
	return error;
}

/* ---- the child ---- */

/* What the child needs, made before the fork: after it, only system calls are allowed. */
struct child {
	char *const *argv;
	char **envp;
	char pid_text[32]; /* "LISTEN_PID=", filled in by the child */
	int listener, errors;
};

static void write_pid(char *text, unsigned long pid)
{
	char digits[24];
	int n = 0;

	text += strlen(text);
	do {
		digits[n++] = (char)('0' + pid % 10);
		pid /= 10;
	} while (pid);
	while (n)
		*text++ = digits[--n];
	*text = 0;
}

static void reset_signals(void)
{
	struct sigaction standard = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		sigaction(sig, &standard, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Never returns. The terminal's signals are not for it: a group of its own. */
static void child_main(struct child *c)
{
	int null = open("/dev/null", O_RDWR);

	reset_signals();
	setpgid(0, 0);
	if (null < 0)
		_exit(127);
	/* Above what is about to be replaced. */
	c->listener = fcntl(c->listener, F_DUPFD_CLOEXEC, LISTEN_FD + 1);
	c->errors = fcntl(c->errors, F_DUPFD_CLOEXEC, LISTEN_FD + 1);
	if (dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(c->errors, 2) < 0 || dup2(c->listener, LISTEN_FD) < 0)
		_exit(127);
	syscall(SYS_close_range, LISTEN_FD + 1, ~0u, 0);
	write_pid(c->pid_text, (unsigned long)getpid());
	execvpe(c->argv[0], c->argv, c->envp);
	_exit(127);
}

/* The environment with the two variables; NULL: no memory. The strings are not copied. */
static char **make_environment(char *pid_text)
{
	static char fds[] = "LISTEN_FDS=1";
	size_t n = 0, out = 0;
	char **envp;

	while (environ[n])
		n++;
	envp = calloc(n + 3, sizeof(*envp));
	if (!envp)
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (strncmp(environ[i], "LISTEN_", 7) != 0)
			envp[out++] = environ[i];
	envp[out++] = fds;
	envp[out] = pid_text;
	return envp;
}

/* execvpe would say so too, but in the child, where nobody hears it. */
static bool program_exists(void)
{
	const char *path = getenv("PATH");
	char file[4096];

	for (path = path ? path : "/usr/bin:/bin"; *path;) {
		size_t len = strcspn(path, ":");

		if (len && snprintf(file, sizeof(file), "%.*s/" PROGRAM, (int)len, path) < (int)sizeof(file) &&
		    !access(file, X_OK))
			return true;
		path += len + (path[len] == ':');
	}
	return false;
}

int nbd_server_start(struct nbd_server *server, const char *path, const char *driver, bool readonly, bool discard,
                     char *err, size_t err_len)
{
	static char program[] = PROGRAM, shared[] = "--shared=1", cache[] = "--cache=writeback",
		    unmap[] = "--discard=unmap", ignore[] = "--discard=ignore", end[] = "--", only[] = "--read-only";
	char format[64];
	/* An option that is not wanted gives its place to one that may come twice. */
	char *argv[] = { program, format, shared, cache, discard ? unmap : ignore, readonly ? only : shared, end,
		         (char *)path, NULL };
	struct child child = { .argv = argv, .pid_text = "LISTEN_PID=" };
	int listener = -1, connection = -1, errors[2] = { -1, -1 }, rc;

	*server = (struct nbd_server){ .errors = -1 };
	if (!program_exists()) {
		snprintf(err, err_len, "%s: an image of format %s needs the program " PROGRAM
		         ", which is not there; install the package " PACKAGE, path, driver);
		return -ENOENT;
	}
	snprintf(format, sizeof(format), "--format=%s", driver);
	rc = make_sockets(&listener, &connection);
	if (!rc && pipe2(errors, O_CLOEXEC | O_NONBLOCK))
		rc = -errno;
	child.envp = rc ? NULL : make_environment(child.pid_text);
	if (!rc && !child.envp)
		rc = -ENOMEM;
	child.listener = listener;
	child.errors = errors[1];
	server->pid = rc ? 0 : fork();
	if (!rc && !server->pid)
		child_main(&child);
	if (!rc && server->pid < 0) {
		rc = -errno;
		server->pid = 0;
	}
	free(child.envp);
	if (listener >= 0)
		close(listener);
	if (errors[1] >= 0)
		close(errors[1]);
	server->errors = errors[0];
	if (!rc)
		return connection;
	snprintf(err, err_len, "%s: cannot start " PROGRAM ": %s", path, strerror(-rc));
	if (connection >= 0)
		close(connection);
	nbd_server_stop(server);
	return rc;
}

/* ---- its end ---- */

static void sleep_ms(long ms)
{
	const struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

/* True when it has ended, within the time. */
static bool reap(struct nbd_server *server, int ms, int *status)
{
	for (int waited = 0; server->pid; waited += 2) {
		pid_t gone = waitpid(server->pid, status, WNOHANG);

		if (gone == server->pid || (gone < 0 && errno == ECHILD)) {
			server->pid = 0;
			return true;
		}
		if (waited >= ms)
			return false;
		sleep_ms(2);
	}
	return true;
}

void nbd_server_last_words(struct nbd_server *server, char *line, size_t len)
{
	char text[4096];
	ssize_t n = 0;
	int status;

	if (!len)
		return;
	line[0] = 0;
	reap(server, LAST_WORDS_MS, &status);
	if (server->errors >= 0)
		n = read(server->errors, text, sizeof(text) - 1);
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '))
		n--;
	if (n <= 0)
		return;
	text[n] = 0;
	snprintf(line, len, "%s", strrchr(text, '\n') ? strrchr(text, '\n') + 1 : text);
}

bool nbd_server_stop(struct nbd_server *server)
{
	int status = 0;
	bool well = true;

	if (server->pid && !reap(server, PATIENCE_MS, &status)) {
		kill(server->pid, SIGKILL);
		well = false;
		waitpid(server->pid, &status, 0);
		server->pid = 0;
	}
	if (server->errors >= 0)
		close(server->errors);
	server->errors = -1;
	return well && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
