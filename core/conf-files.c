/* SPDX-License-Identifier: MIT */
#include "conf-internal.h"

#include <errno.h>
#include <fcntl.h> /* AT_EACCESS */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define MIB (1024ull * 1024)

char *conf_resolve(const char *dir, const char *path)
{
	char *resolved;

	if (path[0] == '/' || strcmp(dir, ".") == 0)
		return strdup(path);
	return asprintf(&resolved, "%s/%s", dir, path) < 0 ? NULL : resolved;
}

/* ---- files a domain uses ------------------------------------------------------ */

static bool bad(char *why, size_t why_len, const char *fmt, ...) GAMUT_PRINTF(3, 4);
static bool bad(char *why, size_t why_len, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, why_len, fmt, args);
	va_end(args);
	return false;
}

static bool file_there(const char *path, struct stat *st, char *why, size_t why_len)
{
	if (stat(path, st))
		return errno == ENOENT ? bad(why, why_len,
		                             "%s: no such file; paths are relative to the domain file", path)
		                       : bad(why, why_len, "%s: %s", path, strerror(errno));
	if (S_ISDIR(st->st_mode))
		return bad(why, why_len, "%s is a directory; name a file", path);
	if (faccessat(AT_FDCWD, path, R_OK, AT_EACCESS))
		return bad(why, why_len, "%s cannot be read: %s; change its permissions", path,
		           strerror(errno));
	return true;
}

bool conf_file_readable(const char *path, char *why, size_t why_len)
{
	struct stat st;

	if (!file_there(path, &st, why, why_len))
		return false;
	if (!S_ISREG(st.st_mode))
		return bad(why, why_len, "%s is no regular file; name one", path);
	if (st.st_size == 0)
		return bad(why, why_len, "%s is empty; name a file with something in it", path);
	return true;
}

bool conf_path_readable(const char *path, char *why, size_t why_len)
{
	struct stat st;

	if (stat(path, &st) || !S_ISDIR(st.st_mode))
		return file_there(path, &st, why, why_len);
	if (faccessat(AT_FDCWD, path, R_OK | X_OK, AT_EACCESS))
		return bad(why, why_len, "%s cannot be read: %s; change its permissions", path, strerror(errno));
	return true;
}

/*
 * No write bit at all is somebody's word that the image must not change; root,
 * whom permissions do not stop, heeds it as well.
 */
static bool disk_writable(const char *path, const struct stat *st, char *why, size_t why_len)
{
	static const char remedy[] = "give readonly = true, or change its permissions";

	if ((st->st_mode & 0222) == 0)
		return bad(why, why_len, "%s is write-protected; %s", path, remedy);
	if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS))
		return bad(why, why_len, "%s cannot be written: %s; %s", path, strerror(errno), remedy);
	return true;
}

bool conf_disk_usable(const char *path, bool readonly, char *why, size_t why_len)
{
	struct stat st;

	if (!file_there(path, &st, why, why_len))
		return false;
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return bad(why, why_len, "%s is neither a regular file nor a block device; name an image",
		           path);
	if (S_ISREG(st.st_mode) && st.st_size < 512)
		return bad(why, why_len, "%s holds %lld bytes, less than one sector; make an image first",
		           path, (long long)st.st_size);
	return readonly || disk_writable(path, &st, why, why_len);
}

/* ---- the host ------------------------------------------------------------------- */

static void check_memory(struct conf_loader *l)
{
	unsigned line = conf_line(l->c, "memory");
	struct sysinfo si;
	uint64_t ram, swap;

	if (sysinfo(&si))
		return;
	ram = (uint64_t)si.totalram * si.mem_unit / MIB;
	swap = (uint64_t)si.totalswap * si.mem_unit / MIB;
	if ((uint64_t)l->c->memory <= ram + swap)
		return;
	conf_error(l, line,
	           "memory: %" PRId64 " MiB is more than this host has (%" PRIu64 " MiB, and %" PRIu64
	           " MiB of swap); give less",
	           l->c->memory, ram, swap);
}

static void check_affinity(struct conf_loader *l)
{
	long n = sysconf(_SC_NPROCESSORS_CONF);

	for (uint32_t i = 0; n > 0 && i < l->c->n_affinity; i++)
		if (l->c->affinity[i] >= (unsigned long)n)
			conf_error(l, conf_line(l->c, "sched.affinity"),
			           "sched.affinity: there is no processor %" PRIu32
			           "; this host has 0 to %ld",
			           l->c->affinity[i], n - 1);
}

void conf_check_host(struct conf_loader *l)
{
	check_memory(l);
	check_affinity(l);
}
