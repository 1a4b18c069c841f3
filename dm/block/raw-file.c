/* SPDX-License-Identifier: MIT */
/*
 * Opening a raw image: what it is, whether we may have it, and how direct I/O
 * must be aligned on it.
 *
 * Nothing here changes the file. The one thing that could be mistaken for a
 * write is the test for hole punching: it punches beyond the end of the file
 * with FALLOC_FL_KEEP_SIZE, where there is nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "dm/block/raw.h"

#define MAX_DIRECT_ALIGN 65536u

struct message {
	const char *path;
	char *text;
	size_t len;
};

static int GAMUT_PRINTF(3, 4) refuse(const struct message *m, int error, const char *fmt, ...)
{
	int n = snprintf(m->text, m->len, "%s: ", m->path);
	va_list args;

	if (n >= 0 && (size_t)n < m->len) {
		va_start(args, fmt);
		vsnprintf(m->text + n, m->len - (size_t)n, fmt, args);
		va_end(args);
	}
	return -error;
}

static int refuse_open(const struct message *m, int error, bool readonly)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
		return refuse(m, error,
		              "no such disk image; create it first, for instance with truncate -s 10G");
	case EISDIR:
		return refuse(m, error, "is a directory, not a disk image or block device");
	case EROFS:
		return refuse(m, error, "is on a read-only file system; set readonly for this disk");
	case EBUSY:
		return refuse(m, error, "the block device is in use by the host (mounted?)");
	case EACCES:
	case EPERM:
		if (!readonly)
			return refuse(m, error,
			              "may not be written; set readonly for this disk or change its rights");
		return refuse(m, error, "may not be read: %s", strerror(error));
	default:
		return refuse(m, error, "cannot be opened: %s", strerror(error));
	}
}

/* O_NONBLOCK keeps open() from waiting for a FIFO's peer; io_uring would later take it as RWF_NOWAIT. */
static int open_plain(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int now, error;

	if (fd < 0)
		return -errno;
	now = fcntl(fd, F_GETFL);
	if (now >= 0 && fcntl(fd, F_SETFL, now & ~O_NONBLOCK) == 0)
		return fd;
	error = errno;
	close(fd);
	return -error;
}

static int check_kind(const struct message *m, const struct stat *st, bool readonly)
{
	if (S_ISDIR(st->st_mode))
		return refuse_open(m, EISDIR, readonly);
	if (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode))
		return refuse(m, EINVAL, "is neither a regular file nor a block device");
	/* Root may write what nobody may; whoever took the rights away meant the image all the same. */
	if (!readonly && S_ISREG(st->st_mode) && !(st->st_mode & 0222))
		return refuse_open(m, EACCES, readonly);
	return 0;
}

/*
 * A lock of the open file description: two domains of one process exclude
 * each other as well, and closing another descriptor does not drop it.
 */
static int lock_image(const struct message *m, int fd, bool readonly)
{
	struct flock lock = {.l_type = readonly ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};

	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return refuse(m, EBUSY, "in use by another domain%s", readonly ? ", which writes to it" : "");
	return refuse(m, errno, "cannot be locked against other domains: %s", strerror(errno));
}

/* One number of /sys/dev/block/<dev>/queue, or of the disk when dev is a partition; 0 when unknown. */
static uint64_t queue_limit(dev_t dev, const char *name)
{
	static const char *const formats[] = {"/sys/dev/block/%u:%u/queue/%s",
	                                      "/sys/dev/block/%u:%u/../queue/%s"};
	uint64_t value = 0;
	char path[128];

	for (size_t i = 0; i < 2; i++) {
		FILE *f;

		snprintf(path, sizeof(path), formats[i], major(dev), minor(dev), name);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fscanf(f, "%" SCNu64, &value) != 1)
			value = 0;
		fclose(f);
		break;
	}
	return value;
}

static bool can_punch(int fd, uint64_t size, uint32_t block)
{
	uint64_t beyond = (size + block) / block * block;

	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)beyond, block) == 0;
}

static bool power_of_two(uint64_t n)
{
	return n && !(n & (n - 1));
}

static int measure_device(const struct message *m, int fd, const struct stat *st, struct block_info *info)
{
	unsigned int physical = 0;
	int logical = 0, readonly = 0;
	uint64_t size = 0;

	if (ioctl(fd, BLKGETSIZE64, &size) || ioctl(fd, BLKSSZGET, &logical))
		return refuse(m, errno, "cannot tell its size: %s", strerror(errno));
	if (ioctl(fd, BLKPBSZGET, &physical) || physical < (unsigned int)logical)
		physical = (unsigned int)logical;
	if (logical < (int)BLOCK_SECTOR || !power_of_two((uint64_t)logical))
		return refuse(m, EINVAL, "has sectors of %d bytes, which cannot be shown to a guest",
		              logical);
	if (!info->readonly && ioctl(fd, BLKROGET, &readonly) == 0 && readonly)
		return refuse(m, EROFS, "is a read-only device; set readonly for this disk");
	info->capacity = size;
	info->logical_sector = (uint32_t)logical;
	info->physical_sector = physical;
	info->discard = queue_limit(st->st_rdev, "discard_max_bytes") != 0;
	info->discard_granularity = (uint32_t)queue_limit(st->st_rdev, "discard_granularity");
	return 0;
}

static void measure_file(int fd, const struct stat *st, struct block_info *info)
{
	uint32_t block = power_of_two((uint64_t)st->st_blksize) ? (uint32_t)st->st_blksize : 4096;

	info->capacity = (uint64_t)st->st_size;
	info->logical_sector = BLOCK_SECTOR;
	info->physical_sector = block < 4096 ? 4096 : block > 65536 ? 65536 : block;
	info->discard = !info->readonly && can_punch(fd, info->capacity, block);
	info->discard_granularity = block;
}

static int measure(const struct message *m, int fd, const struct stat *st, bool no_discard,
                   struct block_info *info)
{
	int error = 0;

	if (S_ISBLK(st->st_mode))
		error = measure_device(m, fd, st, info);
	else
		measure_file(fd, st, info);
	if (error)
		return error;
	info->capacity -= info->capacity % info->logical_sector;
	if (!info->capacity)
		return refuse(m, EINVAL, "is empty; give it a size, for instance with truncate -s 10G");
	if (info->readonly || no_discard)
		info->discard = false;
	if (info->discard && info->discard_granularity < info->logical_sector)
		info->discard_granularity = info->logical_sector;
	if (!info->discard)
		info->discard_granularity = 0;
	return 0;
}

/* The kernel's own answer, since 6.1. False when it has none. */
static bool ask_alignment(struct raw_file *file)
{
#ifdef STATX_DIOALIGN
	struct statx stx = {0};

	if (statx(file->direct_fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
	    (stx.stx_mask & STATX_DIOALIGN)) {
		file->memory_align = stx.stx_dio_mem_align;
		file->offset_align = stx.stx_dio_offset_align;
		return true;
	}
#endif
	(void)file;
	return false;
}

/* The smallest alignment at which a read succeeds, memory and offset together. */
static void probe_alignment(struct raw_file *file)
{
	void *buf;

	file->memory_align = file->offset_align = 0;
	if (posix_memalign(&buf, MAX_DIRECT_ALIGN, 2 * MAX_DIRECT_ALIGN))
		return;
	for (uint32_t align = BLOCK_SECTOR; align <= MAX_DIRECT_ALIGN; align *= 2) {
		/* An address and an offset that are multiples of align and of nothing larger. */
		if (pread(file->direct_fd, (char *)buf + align, align, align) < 0)
			continue;
		file->memory_align = file->offset_align = align;
		break;
	}
	free(buf);
}

static bool same_file(int fd, const struct stat *st)
{
	struct stat other;

	return fstat(fd, &other) == 0 && other.st_dev == st->st_dev && other.st_ino == st->st_ino;
}

static void open_direct(struct raw_file *file, const char *path, int flags, const struct stat *st)
{
	file->direct_fd = open_plain(path, flags | O_DIRECT);
	if (file->direct_fd < 0) {
		file->direct_fd = -1;
		return;
	}
	if (!ask_alignment(file))
		probe_alignment(file);
	if (same_file(file->direct_fd, st) && power_of_two(file->memory_align) &&
	    power_of_two(file->offset_align))
		return;
	close(file->direct_fd);
	file->direct_fd = -1;
}

static int open_checked(struct raw_file *file, struct block_info *info, const struct message *m,
                        const struct block_options *options)
{
	int flags = options->readonly ? O_RDONLY : O_RDWR;
	struct stat st;
	int error;

	/* Look before opening: opening some special files has effects. */
	if (stat(m->path, &st))
		return refuse_open(m, errno, options->readonly);
	error = check_kind(m, &st, options->readonly);
	if (error)
		return error;
	/* On a device without O_CREAT, O_EXCL means: not while it is mounted. */
	file->fd = open_plain(m->path, flags | (S_ISBLK(st.st_mode) && !options->readonly ? O_EXCL : 0));
	if (file->fd < 0)
		return refuse_open(m, -file->fd, options->readonly);
	error = lock_image(m, file->fd, options->readonly);
	if (error)
		return error;
	/* Again, of what was really opened, and only now that nobody else changes its size. */
	if (fstat(file->fd, &st))
		return refuse(m, errno, "cannot be examined: %s", strerror(errno));
	error = check_kind(m, &st, options->readonly);
	if (!error)
		error = measure(m, file->fd, &st, options->no_discard, info);
	if (error)
		return error;
	file->device = S_ISBLK(st.st_mode);
	if (options->direct != BLOCK_DIRECT_OFF)
		open_direct(file, m->path, flags, &st);
	if (options->direct == BLOCK_DIRECT_ON && file->direct_fd < 0)
		return refuse(m, EINVAL, "its file system has no direct I/O; leave the direct setting out");
	info->direct = file->direct_fd >= 0;
	return 0;
}

int raw_file_open(struct raw_file *file, struct block_info *info, const char *path,
                  const struct block_options *options, char *err, size_t err_len)
{
	struct message m = {path, err, err_len};
	int error;

	*file = (struct raw_file){.fd = -1, .direct_fd = -1};
	*info = (struct block_info){.readonly = options->readonly};
	error = open_checked(file, info, &m, options);
	if (error)
		raw_file_close(file);
	return error;
}

void raw_file_close(struct raw_file *file)
{
	struct flock unlock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	if (file->direct_fd >= 0)
		close(file->direct_fd);
	/* By hand: an io_uring that is being torn down may hold the description a little longer than we do.
	 */
	if (file->fd >= 0) {
		(void)fcntl(file->fd, F_OFD_SETLK, &unlock);
		close(file->fd);
	}
	file->fd = file->direct_fd = -1;
}
