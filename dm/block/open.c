/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dm/block/format.h"
#include "dm/block/limit.h"
#include "dm/block/nbd.h"
#include "dm/block/raw.h"
#include "dm/limit/rate.h"

#define HEAD 512u

/* What a file that is taken for raw looks like inside; NULL: like nothing else. */
static const char *looks_like(const char *path)
{
	char head[HEAD], tail[HEAD];
	const char *format = NULL;
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n;

	if (fd < 0)
		return NULL;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size >= (off_t)HEAD) {
		n = pread(fd, head, HEAD, 0);
		if (n == (ssize_t)HEAD && pread(fd, tail, HEAD, st.st_size - (off_t)HEAD) == (ssize_t)HEAD)
			format = block_format_of_content(head, HEAD, tail);
	}
	close(fd);
	return format;
}

static struct block *open_format(const struct gamut_host *host, struct gamut_inst *inst, const char *path,
                                 const struct block_options *options, char *err, size_t err_len)
{
	const char *format = options->format ? options->format : "auto", *inside;
	bool guessed = !strcmp(format, "auto");

	if (guessed)
		format = block_format_of_name(path);
	if (strcmp(format, "raw") != 0)
		return nbd_open(host, inst, path, format, options, err, err_len);
	inside = guessed ? looks_like(path) : NULL;
	if (inside)
		host->log(inst, GAMUT_LOG_WARN,
		          "%s: looks like %s inside, and is used as a raw disk; say format = \"%s\" or \"raw\"", path,
		          inside, inside);
	return raw_open(host, inst, path, options, err, err_len);
}

/* False: bps is no rate. */
static bool read_limits(const struct block_options *options, struct block_limits *limits)
{
	struct rate rate = {0};

	*limits = (struct block_limits){.requests = options->iops,
	                                .burst = (options->burst ? options->burst : 100u) * 1000000ull};
	if (options->bps && (strchr(options->bps, '@') || !rate_parse(options->bps, &rate)))
		return false;
	limits->bytes = rate.bytes;
	return true;
}

struct block *block_open(const struct gamut_host *host, struct gamut_inst *inst, const char *path,
                         const struct block_options *options, char *err, size_t err_len)
{
	struct block *block, *limited;
	struct block_limits limits;

	if (!read_limits(options, &limits)) {
		snprintf(err, err_len, "bps: \"%s\" is no rate; write 50MB/s or 400Kb/s", options->bps);
		errno = EINVAL;
		return NULL;
	}
	block = open_format(host, inst, path, options, err, err_len);
	if (!block || (!limits.bytes && !limits.requests))
		return block;
	limited = block_limit(host, inst, block, &limits);
	if (!limited) {
		snprintf(err, err_len, "%s: %s", path, strerror(errno));
		block_close(block);
		errno = ENOMEM;
	}
	return limited;
}
