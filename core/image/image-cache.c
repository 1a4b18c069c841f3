/* SPDX-License-Identifier: MIT */
/*
 * Unpacking a distribution's xz kernel takes a sizable part of a second at
 * every boot; mapping yesterday's result takes milliseconds.
 *
 * An entry is the ELF file itself, mapped as it is, with a trailer that holds
 * its size and checksum, so a torn or damaged entry is noticed and made again.
 * Its name is made of the packed file's identity (device, inode, size, times)
 * and a checksum of its bytes.
 *
 * Trust. What is in the cache is run as a guest's kernel, so it must come from
 * us: the folder and the entry have to be owned by the user and writable by
 * nobody else, and neither may be a symbolic link. The checksum in the name is
 * not a cryptographic one, and need not be: a kernel made to collide with
 * another one's would also have to have its inode and change time, which the
 * file system hands out and nobody can choose.
 */
#include "image/image-cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "image/image-hash.h"

#define TRAILER_MAGIC 0x314c454b54554d47ull /* "GMUTKEL1" */
#define MAX_ENTRIES   8
#define STALE_SECONDS 3600

struct trailer {
	uint64_t magic;
	uint64_t size;
	struct image_hash hash;
};

/* ---- the folder ------------------------------------------------------------------- */

static bool default_dir(char *path, size_t len)
{
	const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	int n;

	/* The XDG specification: a relative path is to be ignored. */
	if (xdg && xdg[0] == '/')
		n = snprintf(path, len, "%s/gamut/kernels", xdg);
	else if (home && home[0] == '/')
		n = snprintf(path, len, "%s/.cache/gamut/kernels", home);
	else
		return false;
	return n > 0 && (size_t)n < len;
}

/* mkdir -p with owner-only rights; errors show when the folder is opened. */
static void make_dirs(const char *dir)
{
	char path[PATH_MAX];
	size_t len = strlen(dir);

	if (len >= sizeof(path))
		return;
	memcpy(path, dir, len + 1);
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		(void)mkdir(path, 0700);
		*p = '/';
	}
	(void)mkdir(path, 0700);
}

static bool is_ours(const struct stat *st)
{
	return st->st_uid == geteuid() && !(st->st_mode & 022);
}

static int open_dir(const char *dir)
{
	char path[PATH_MAX];
	struct stat st;
	int fd;

	if (!dir && !default_dir(path, sizeof(path)))
		return -1;
	if (!dir)
		dir = path;
	make_dirs(dir);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && is_ours(&st))
		return fd;
	close(fd);
	return -1;
}

/* Everything that tells one packed kernel from another, in the order of hashing. */
struct identity {
	uint64_t dev, ino, size;
	int64_t mtime, mtime_ns, ctime, ctime_ns;
	struct image_hash content;
};

void image_cache_init(struct image_cache *cache, const char *dir, const struct stat *st,
                      const struct image_bytes *packed)
{
	const struct identity id = {
	        .dev = st->st_dev,
	        .ino = st->st_ino,
	        .size = (uint64_t)st->st_size,
	        .mtime = st->st_mtim.tv_sec,
	        .mtime_ns = st->st_mtim.tv_nsec,
	        .ctime = st->st_ctim.tv_sec,
	        .ctime_ns = st->st_ctim.tv_nsec,
	        .content = image_hash(packed->data, packed->size),
	};
	struct image_hash hash = image_hash(&id, sizeof(id));

	*cache = (struct image_cache){.dir_fd = open_dir(dir)};
	snprintf(cache->name, sizeof(cache->name), "%016" PRIx64 "%016" PRIx64 ".elf", hash.word[0],
	         hash.word[1]);
}

void image_cache_finish(struct image_cache *cache)
{
	if (cache->dir_fd >= 0)
		close(cache->dir_fd);
	cache->dir_fd = -1;
}

/* ---- reading ----------------------------------------------------------------------- */

static bool is_sound(const uint8_t *data, size_t total)
{
	struct trailer t;
	struct image_hash hash;

	memcpy(&t, data + total - sizeof(t), sizeof(t));
	if (t.magic != TRAILER_MAGIC || t.size != total - sizeof(t))
		return false;
	hash = image_hash(data, t.size);
	return !memcmp(&hash, &t.hash, sizeof(hash));
}

static bool map_entry(int fd, uint64_t max, struct image_bytes *bytes)
{
	struct stat st;
	size_t total;
	void *data;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || !is_ours(&st))
		return false;
	if (st.st_size <= (off_t)sizeof(struct trailer) ||
	    (uint64_t)st.st_size - sizeof(struct trailer) > max)
		return false;
	total = (size_t)st.st_size;
	data = mmap(NULL, total, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (data == MAP_FAILED)
		return false;
	if (!is_sound(data, total)) {
		munmap(data, total);
		return false;
	}
	*bytes = (struct image_bytes){data, total - sizeof(struct trailer), total, true};
	return true;
}

bool image_cache_get(struct image_cache *cache, uint64_t max, struct image_bytes *bytes)
{
	bool found;
	int fd;

	if (cache->dir_fd < 0)
		return false;
	fd = openat(cache->dir_fd, cache->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return false;
	found = map_entry(fd, max, bytes);
	/* The time of last use decides who is dropped. */
	if (found)
		(void)futimens(fd, NULL);
	close(fd);
	return found;
}

/* ---- writing ----------------------------------------------------------------------- */

static bool write_all(int fd, const void *data, size_t size)
{
	const uint8_t *p = data;

	while (size) {
		ssize_t n = write(fd, p, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		size -= (size_t)n;
	}
	return true;
}

struct census {
	int entries;
	char oldest[NAME_MAX + 1];
	struct timespec oldest_time;
};

static bool earlier(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

static void count_entry(struct census *census, int dir_fd, const char *name)
{
	const char *dot = strrchr(name, '.');
	struct stat st;

	if (!dot || fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
		return;
	/* Left behind by a run that was killed while it wrote. */
	if (!strcmp(dot, ".tmp") && st.st_mtim.tv_sec + STALE_SECONDS < time(NULL))
		(void)unlinkat(dir_fd, name, 0);
	if (strcmp(dot, ".elf"))
		return;
	if (!census->entries++ || earlier(&st.st_mtim, &census->oldest_time)) {
		census->oldest_time = st.st_mtim;
		snprintf(census->oldest, sizeof(census->oldest), "%s", name);
	}
}

/* A running domain that maps a dropped entry keeps it: unlink takes the name alone. */
static void drop_oldest(int dir_fd)
{
	for (int round = 0; round < 2 * MAX_ENTRIES; round++) {
		int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		DIR *dir = fd < 0 ? NULL : fdopendir(fd);
		struct census census = {0};
		struct dirent *entry;

		if (!dir) {
			if (fd >= 0)
				close(fd);
			return;
		}
		while ((entry = readdir(dir)))
			count_entry(&census, dir_fd, entry->d_name);
		closedir(dir);
		if (census.entries <= MAX_ENTRIES || unlinkat(dir_fd, census.oldest, 0))
			return;
	}
}

void image_cache_put(struct image_cache *cache, const struct image_bytes *bytes)
{
	struct trailer trailer = {TRAILER_MAGIC, bytes->size, {{0}}};
	char temporary[128];
	bool written;
	int fd;

	if (cache->dir_fd < 0)
		return;
	trailer.hash = image_hash(bytes->data, bytes->size);
	/* Each writer has a file of its own; the last to rename wins, with the same content. */
	snprintf(temporary, sizeof(temporary), "%s.%ld.%p.tmp", cache->name, (long)getpid(), (void *)cache);
	fd = openat(cache->dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	/* No fsync: after a crash of the host the checksum tells, and fsync costs more than unpacking. */
	written = write_all(fd, bytes->data, bytes->size) && write_all(fd, &trailer, sizeof(trailer));
	if (close(fd) || !written || renameat(cache->dir_fd, temporary, cache->dir_fd, cache->name)) {
		(void)unlinkat(cache->dir_fd, temporary, 0);
		return;
	}
	drop_oldest(cache->dir_fd);
}
