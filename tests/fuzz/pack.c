/* SPDX-License-Identifier: MIT */
/*
 * Corpora of thousands of small inputs as one file, which replay reads: each
 * input is its length in two bytes, low one first, and its bytes.
 *
 *     pack OUT.pack FILE...       makes one, of files in the order given
 *     pack -x IN.pack FOLDER      files again, for libFuzzer: FOLDER/0, FOLDER/1 ...
 */
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define INPUT_MAX 65535u

static uint8_t data[INPUT_MAX + 1];

/* How many bytes of a file there are in data; -1, with a message, when it does not fit or cannot be read. */
static long load(const char *path)
{
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(data, 1, sizeof(data), f) : 0;

	if (!f || ferror(f))
		perror(path);
	else if (n > INPUT_MAX)
		fprintf(stderr, "%s: is longer than %u bytes\n", path, INPUT_MAX);
	else {
		fclose(f);
		return (long)n;
	}
	if (f)
		fclose(f);
	return -1;
}

static int make(const char *out, char **paths, int n)
{
	FILE *f = fopen(out, "we");

	for (int i = 0; f && i < n; i++) {
		long len = load(paths[i]);
		uint8_t head[2] = { (uint8_t)len, (uint8_t)(len >> 8) };

		if (len < 0)
			break;
		if (fwrite(head, 1, 2, f) != 2 || fwrite(data, 1, (size_t)len, f) != (size_t)len)
			break;
		if (i == n - 1 && !fclose(f))
			return 0;
	}
	perror(out);
	return 1;
}

static int save(const char *folder, uint32_t number, size_t len)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%u", folder, number);
	f = fopen(path, "we");
	if (f && fwrite(data, 1, len, f) == len && !fclose(f))
		return 0;
	perror(path);
	return 1;
}

static int extract(const char *in, const char *folder)
{
	FILE *f = fopen(in, "re");
	uint8_t head[2];

	for (uint32_t i = 0; f; i++) {
		size_t got = fread(head, 1, 2, f), len;

		if (!got && !ferror(f))
			return fclose(f) != 0;
		len = head[0] | (size_t)head[1] << 8;
		if (got != 2 || fread(data, 1, len, f) != len || save(folder, i, len))
			break;
	}
	perror(in);
	return 1;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "-x"))
		return extract(argv[2], argv[3]);
	if (argc > 2 && argv[1][0] != '-')
		return make(argv[1], argv + 2, argc - 2);
	fprintf(stderr, "usage: pack OUT.pack FILE... | pack -x IN.pack FOLDER\n");
	return 1;
}
