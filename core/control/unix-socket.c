/* SPDX-License-Identifier: MIT */
#include "control/unix-socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 128
#define CONNECT_S 5

static int set_address(struct sockaddr_un *a, int dir, const char *name)
{
	int n;

	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	n = snprintf(a->sun_path, sizeof(a->sun_path), "/proc/self/fd/%d/%s", dir, name);
	return n < 0 || (size_t)n >= sizeof(a->sun_path) ? -ENAMETOOLONG : 0;
}

int unix_connect_at(int dir, const char *name)
{
	struct sockaddr_un a;
	int rc = set_address(&a, dir, name), fd;

	if (rc)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* One whose queue is full and who does not accept is not waited for for ever. */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &(struct timeval){ .tv_sec = CONNECT_S }, sizeof(struct timeval));
	if (!connect(fd, (struct sockaddr *)&a, sizeof(a)))
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

/* ---- listening ---------------------------------------------------------------------- */

/* Removes what a dead process has left. */
static int clear_name(int dir, const char *name)
{
	struct stat st;
	int fd;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = unix_connect_at(dir, name);
	if (fd >= 0) {
		close(fd);
		return -EADDRINUSE;
	}
	if (fd != -ECONNREFUSED)
		return fd == -ENOENT ? 0 : fd;
	return unlinkat(dir, name, 0) && errno != ENOENT ? -errno : 0;
}

static int bind_name(struct unix_listener *l)
{
	struct sockaddr_un a;
	struct stat st;
	int rc = set_address(&a, l->dir, l->name);

	if (rc)
		return rc;
	/* Before the name is there: it never has other rights. */
	if (fchmod(l->fd, 0600) || bind(l->fd, (struct sockaddr *)&a, sizeof(a)))
		return -errno;
	if (fstatat(l->dir, l->name, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	return listen(l->fd, BACKLOG) ? -errno : 0;
}

int unix_listener_open_at(struct unix_listener *l, int dir, const char *name)
{
	int rc = clear_name(dir, name);

	*l = (struct unix_listener){ .fd = -1, .dir = -1 };
	if (rc)
		return rc;
	if (strlen(name) >= sizeof(l->name))
		return -ENAMETOOLONG;
	memcpy(l->name, name, strlen(name) + 1);
	l->dir = fcntl(dir, F_DUPFD_CLOEXEC, 0);
	if (l->dir < 0)
		return -errno;
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	rc = l->fd < 0 ? -errno : bind_name(l);
	if (rc)
		unix_listener_close(l);
	return rc;
}

int unix_listener_open(struct unix_listener *l, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash == path ? strdup("/") : slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
	int dir = folder ? open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	int rc = !folder ? -ENOMEM : dir < 0 ? -errno : unix_listener_open_at(l, dir, slash ? slash + 1 : path);

	if (dir >= 0)
		close(dir);
	else
		*l = (struct unix_listener){ .fd = -1, .dir = -1 };
	free(folder);
	return rc;
}

void unix_listener_close(struct unix_listener *l)
{
	struct stat st;

	if (l->fd < 0 && l->dir < 0)
		return;
	if (l->ino && !fstatat(l->dir, l->name, &st, AT_SYMLINK_NOFOLLOW) && st.st_ino == l->ino && st.st_dev == l->dev)
		unlinkat(l->dir, l->name, 0);
	if (l->fd >= 0)
		close(l->fd);
	close(l->dir);
	*l = (struct unix_listener){ .fd = -1, .dir = -1 };
}

int unix_accept(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	int s = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (s < 0)
		return -errno;
	if (!getsockopt(s, SOL_SOCKET, SO_PEERCRED, &peer, &len) && (peer.uid == geteuid() || peer.uid == 0))
		return s;
	close(s);
	return -EPERM;
}
