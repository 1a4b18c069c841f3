/* SPDX-License-Identifier: MIT */
#include "image/image-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int image_fail(const struct image_error *err, int error, const char *fmt, ...)
{
	int n = snprintf(err->text, err->len, "%s: ", err->path);
	va_list args;

	if (n >= 0 && (size_t)n < err->len) {
		va_start(args, fmt);
		vsnprintf(err->text + n, err->len - (size_t)n, fmt, args);
		va_end(args);
	}
	return -error;
}

static int open_regular(const char *what, struct stat *st, const struct image_error *err)
{
	/* O_NONBLOCK: a FIFO must not make us wait for a writer. */
	int fd = open(err->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int error = 0;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return image_fail(err, errno, "no such %s; check the path", what);
	if (fd < 0)
		return image_fail(err, errno, "the %s cannot be read: %s", what, strerror(errno));
	if (fstat(fd, st))
		error = image_fail(err, errno, "the %s cannot be examined: %s", what, strerror(errno));
	else if (S_ISDIR(st->st_mode))
		error = image_fail(err, EISDIR, "is a directory, not a %s", what);
	else if (!S_ISREG(st->st_mode))
		error = image_fail(err, EINVAL, "is not a regular file, so no %s", what);
	else if (!st->st_size)
		error = image_fail(err, ENOEXEC, "the %s is empty; copy it again", what);
	if (!error)
		return fd;
	close(fd);
	return error;
}

int image_map_file(struct image_bytes *bytes, const char *what, struct stat *st,
                   const struct image_error *err)
{
	int fd = open_regular(what, st, err);
	void *data;

	if (fd < 0)
		return fd;
	data = mmap(NULL, (size_t)st->st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (data == MAP_FAILED)
		return image_fail(err, errno, "the %s cannot be mapped: %s", what, strerror(errno));
	(void)madvise(data, (size_t)st->st_size, MADV_WILLNEED);
	*bytes = (struct image_bytes){data, (size_t)st->st_size, (size_t)st->st_size, true};
	return 0;
}

void image_drop_pages(const struct image_bytes *bytes)
{
	if (bytes->file)
		(void)madvise((void *)(uintptr_t)bytes->data, bytes->mapped, MADV_DONTNEED);
}

void image_unmap(struct image_bytes *bytes)
{
	if (bytes->data)
		munmap((void *)(uintptr_t)bytes->data, bytes->mapped);
	*bytes = (struct image_bytes){0};
}
