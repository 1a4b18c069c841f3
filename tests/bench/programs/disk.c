/* SPDX-License-Identifier: MIT */
/*
 * usage: disk DEVICE
 *
 * What a disk does past the guest's page cache, one request at a time: in sequence in
 * pieces of 256 KiB, and 4 KiB at random places. Prints "disk: NAME VALUE UNIT".
 * Overwrites the disk. Each line comes when it is measured.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define PIECE (256u << 10)
#define SMALL 4096u
#define SECONDS 1.5

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void one(int fd, int write, void *buf, size_t len, off_t at)
{
	ssize_t n = write ? pwrite(fd, buf, len, at) : pread(fd, buf, len, at);

	if (n != (ssize_t)len) {
		perror(write ? "pwrite" : "pread");
		exit(1);
	}
}

/* Over and over the disk, until the time is up. */
static void sequence(int fd, const char *name, int write, void *buf, unsigned long long size)
{
	double start = now(), end = start + SECONDS, t;
	unsigned long long bytes = 0;

	do {
		one(fd, write, buf, PIECE, (off_t)(bytes % size));
		bytes += PIECE;
		t = now();
	} while (t < end);
	printf("disk: %s %.2f MB/s\n", name, (double)bytes / 1e6 / (t - start));
}

static void at_random(int fd, const char *name, int write, void *buf, unsigned long long size)
{
	double start = now(), end = start + SECONDS, t;
	unsigned long long state = 88172645463325252ull, n = 0;

	do {
		state ^= state << 13, state ^= state >> 7, state ^= state << 17;
		one(fd, write, buf, SMALL, (off_t)(state % (size / SMALL) * SMALL));
		n++;
		t = now();
	} while (t < end);
	printf("disk: %s %.1f requests/s\n", name, (double)n / (t - start));
}

int main(int argc, char **argv)
{
	int fd = argc == 2 ? open(argv[1], O_RDWR | O_DIRECT) : -1;
	unsigned long long size;
	void *buf;

	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size) || posix_memalign(&buf, 4096, PIECE)) {
		perror("disk");
		return 1;
	}
	size -= size % PIECE;
	setvbuf(stdout, NULL, _IOLBF, 0);
	memset(buf, 0x5a, PIECE);
	printf("disk: start\n");
	sequence(fd, "seq-read", 0, buf, size);
	sequence(fd, "seq-write", 1, buf, size);
	at_random(fd, "random-read", 0, buf, size);
	at_random(fd, "random-write", 1, buf, size);
	return 0;
}
