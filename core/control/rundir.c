/* SPDX-License-Identifier: MIT */
#include "control/rundir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define ID_MAX 0x7fefu /* Xen's last domid */
#define SOCKET_SUFFIX ".sock"

/* ---- the folder ------------------------------------------------------------------------- */

static bool is_our_folder(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISDIR(st.st_mode) && st.st_uid == geteuid();
}

static char *folder_path(void)
{
	const char *base = getenv("XDG_RUNTIME_DIR");
	unsigned uid = (unsigned)geteuid();
	char *path = NULL, user[64];
	int n;

	snprintf(user, sizeof(user), "/run/user/%u", uid);
	if (base && *base == '/')
		n = asprintf(&path, "%s/gamut", base);
	else if (is_our_folder(user))
		n = asprintf(&path, "%s/gamut", user);
	else
		n = asprintf(&path, "/tmp/gamut-%u", uid);
	return n < 0 ? NULL : path;
}

/* Whether nobody else can have put anything into it. */
static int check_folder(int fd, const char *path, char *err, size_t err_len)
{
	struct stat st;
	int rc = fstat(fd, &st) ? -errno : 0;

	if (!rc && (st.st_uid != geteuid() || st.st_mode & 077))
		rc = -EPERM;
	if (rc == -EPERM)
		snprintf(err, err_len, "%s must be a folder of yours that nobody else can enter (mode 0700)", path);
	else if (rc)
		snprintf(err, err_len, "cannot look at %s: %s", path, strerror(-rc));
	return rc;
}

int rundir_open(struct rundir *r, bool create, char *err, size_t err_len)
{
	int rc = 0;

	*r = (struct rundir){ .fd = -1, .path = folder_path() };
	if (!r->path) {
		snprintf(err, err_len, "out of memory");
		return -ENOMEM;
	}
	if (create && mkdir(r->path, 0700) && errno != EEXIST)
		rc = -errno;
	if (!rc) {
		r->fd = open(r->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		rc = r->fd < 0 ? -errno : check_folder(r->fd, r->path, err, err_len);
	}
	if (!rc)
		return 0;
	if (r->fd < 0)
		snprintf(err, err_len, "%s: %s", r->path, strerror(-rc));
	rundir_close(r);
	return rc;
}

void rundir_close(struct rundir *r)
{
	if (r->fd >= 0)
		close(r->fd);
	free(r->path);
	*r = (struct rundir){ .fd = -1 };
}

char *rundir_file(const struct rundir *r, const char *name, const char *suffix)
{
	char *path = NULL;

	return asprintf(&path, "%s/%s%s", r->path, name, suffix) < 0 ? NULL : path;
}

/* ---- locks -------------------------------------------------------------------------------- */

/* Whether the name still leads to the file that we have locked: its last owner may just have removed it. */
static bool same_file(int dir, const char *name, int fd)
{
	struct stat a, b;

	return !fstat(fd, &a) && !fstatat(dir, name, &b, AT_SYMLINK_NOFOLLOW) && a.st_ino == b.st_ino &&
	       a.st_dev == b.st_dev;
}

/* The locked file, or -errno: -EWOULDBLOCK somebody has it. */
static int lock_take(int dir, const char *name)
{
	for (;;) {
		int fd = openat(dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600), rc;

		if (fd < 0)
			return -errno;
		rc = flock(fd, LOCK_EX | LOCK_NB) ? -errno : 0;
		if (!rc && same_file(dir, name, fd))
			return fd;
		close(fd);
		if (rc && rc != -EINTR)
			return rc;
	}
}

static void lock_drop(int dir, const char *name, int *fd)
{
	if (*fd < 0)
		return;
	unlinkat(dir, name, 0);
	close(*fd);
	*fd = -1;
}

static void name_file(const struct claim *c, char *buf, size_t len)
{
	snprintf(buf, len, "%s.lock", c->name);
}

static void id_file(uint32_t id, char *buf, size_t len)
{
	snprintf(buf, len, "@%u.lock", id);
}

static int take_name(struct claim *c, char *err, size_t err_len)
{
	char file[80];

	name_file(c, file, sizeof(file));
	c->name_lock = lock_take(c->dir, file);
	if (c->name_lock >= 0)
		return 0;
	if (c->name_lock == -EWOULDBLOCK) {
		snprintf(err, err_len, "a domain \"%s\" is running already; see `gamut list`", c->name);
		return -EBUSY;
	}
	snprintf(err, err_len, "cannot claim the name \"%s\": %s", c->name, strerror(-c->name_lock));
	return c->name_lock;
}

static int take_id(struct claim *c, char *err, size_t err_len)
{
	char file[32];

	for (c->id = 1; c->id <= ID_MAX; c->id++) {
		id_file(c->id, file, sizeof(file));
		c->id_lock = lock_take(c->dir, file);
		if (c->id_lock != -EWOULDBLOCK)
			break;
	}
	if (c->id_lock >= 0)
		return 0;
	snprintf(err, err_len, "no domain id is free: %s", strerror(-c->id_lock));
	return c->id_lock;
}

int claim_take(struct claim *c, const struct rundir *r, const char *name, char *err, size_t err_len)
{
	int rc;

	*c = (struct claim){ .dir = -1, .name_lock = -1, .id_lock = -1 };
	snprintf(c->name, sizeof(c->name), "%s", name);
	c->dir = fcntl(r->fd, F_DUPFD_CLOEXEC, 0);
	if (c->dir < 0) {
		rc = -errno;
		snprintf(err, err_len, "cannot claim the name \"%s\": %s", name, strerror(-rc));
		return rc;
	}
	rc = take_name(c, err, err_len);
	if (!rc)
		rc = take_id(c, err, err_len);
	if (rc)
		claim_release(c);
	return rc;
}

void claim_release(struct claim *c)
{
	char file[80];

	if (c->dir < 0)
		return;
	id_file(c->id, file, sizeof(file));
	lock_drop(c->dir, file, &c->id_lock);
	name_file(c, file, sizeof(file));
	lock_drop(c->dir, file, &c->name_lock);
	close(c->dir);
	*c = (struct claim){ .dir = -1, .name_lock = -1, .id_lock = -1 };
}

/* ---- names ------------------------------------------------------------------------------------ */

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_name(char ***names, int *n, const char *file)
{
	size_t len = strlen(file), suffix = strlen(SOCKET_SUFFIX);
	char **grown;

	if (len <= suffix || strcmp(file + len - suffix, SOCKET_SUFFIX) || strchr(file, '@'))
		return 0;
	grown = realloc(*names, ((size_t)*n + 1) * sizeof(**names));
	if (!grown)
		return -ENOMEM;
	*names = grown;
	grown[*n] = strndup(file, len - suffix);
	if (!grown[*n])
		return -ENOMEM;
	(*n)++;
	return 0;
}

int rundir_names(const struct rundir *r, char ***names)
{
	int fd = openat(r->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), n = 0, rc = 0;
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *e;

	*names = NULL;
	if (!dir) {
		rc = -errno;
		if (fd >= 0)
			close(fd);
		return rc;
	}
	while (!rc && (e = readdir(dir)))
		rc = add_name(names, &n, e->d_name);
	closedir(dir);
	if (rc) {
		rundir_names_free(*names, n);
		*names = NULL;
		return rc;
	}
	if (n)
		qsort(*names, (size_t)n, sizeof(**names), by_name);
	return n;
}

void rundir_names_free(char **names, int n)
{
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
}
