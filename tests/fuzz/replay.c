/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target over files and over the files of folders: replay PATH...
 * A file whose name ends in .pack is many inputs, see pack.c.
 */
#include "fuzz.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* NULL, with a message, when it cannot be read. */
static uint8_t *load(const char *path, size_t *size)
{
	FILE *f = fopen(path, "re");
	uint8_t *data = NULL;
	long end = -1;

	if (f && fseek(f, 0, SEEK_END) == 0)
		end = ftell(f);
	if (end >= 0)
		data = malloc((size_t)end + 1);
	if (!data || fseek(f, 0, SEEK_SET) || fread(data, 1, (size_t)end, f) != (size_t)end) {
		perror(path);
		free(data);
		data = NULL;
	}
	if (f)
		fclose(f);
	*size = data ? (size_t)end : 0;
	return data;
}

/* An input in memory of its own, so that a sanitizer sees who reads beyond it. */
static void run(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size + !size);

	if (!copy)
		abort();
	memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

/* How many ran, or -1. */
static int replay_pack(const char *path, const uint8_t *data, size_t size)
{
	int n = 0;

	while (size >= 2) {
		size_t len = data[0] | (size_t)data[1] << 8;

		if (len > size - 2)
			break;
		run(data + 2, len);
		data += 2 + len;
		size -= 2 + len;
		n++;
	}
	if (!size)
		return n;
	fprintf(stderr, "%s: is cut off after %d inputs\n", path, n);
	return -1;
}

static int replay_file(const char *path)
{
	const char *dot = strrchr(path, '.');
	size_t size;
	uint8_t *data = load(path, &size);
	int n = 1;

	if (!data)
		return -1;
	if (dot && !strcmp(dot, ".pack"))
		n = replay_pack(path, data, size);
	else
		run(data, size);
	free(data);
	return n;
}

/* How many inputs ran, or -1. */
static int replay(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int total = 0, n;

	if (!dir)
		return replay_file(path);
	while (total >= 0 && (entry = readdir(dir))) {
		char name[PATH_MAX];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		n = replay_file(name);
		total = n < 0 ? -1 : total + n;
	}
	closedir(dir);
	return total;
}

int main(int argc, char **argv)
{
	int total = 0;

	for (int i = 1; i < argc; i++) {
		int n = replay(argv[i]);

		if (n < 0)
			return 1;
		total += n;
	}
	printf("%d inputs\n", total);
	/* An empty corpus proves nothing. */
	return total ? 0 : 1;
}
