/* SPDX-License-Identifier: MIT */
/* Runs a fuzz target over files and over the files of folders: replay PATH... */
#include "fuzz.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static int replay_file(const char *path)
{
	FILE *f = fopen(path, "re");
	uint8_t *data = NULL;
	long size = -1;

	if (f && fseek(f, 0, SEEK_END) == 0)
		size = ftell(f);
	if (size >= 0)
		data = malloc((size_t)size + 1);
	if (!data || fseek(f, 0, SEEK_SET) || fread(data, 1, (size_t)size, f) != (size_t)size) {
		perror(path);
		free(data);
		if (f)
			fclose(f);
		return -1;
	}
	fclose(f);
	LLVMFuzzerTestOneInput(data, (size_t)size);
	free(data);
	return 1;
}

/* How many inputs ran, or -1. */
static int replay(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int total = 0;

	if (!dir)
		return replay_file(path);
	while (total >= 0 && (entry = readdir(dir))) {
		char name[PATH_MAX];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		total = replay_file(name) < 0 ? -1 : total + 1;
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
