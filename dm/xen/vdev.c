/* SPDX-License-Identifier: MIT */
#include "dm/xen/vdev.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* Disks from the 17th on, and partitions from the 16th on, have numbers of this form. */
#define EXTENDED       (1u << 28)
#define EXTENDED_DISKS (1u << 20)

/* "a" is 0, "z" 25, "aa" 26: the name as Linux makes it. Returns what follows, NULL when there is none. */
static const char *parse_letters(const char *text, uint32_t *disk)
{
	uint32_t n = 0;

	if (*text < 'a' || *text > 'z')
		return NULL;
	for (; *text >= 'a' && *text <= 'z'; text++) {
		n = n * 26 + (uint32_t)(*text - 'a') + 1;
		if (n > EXTENDED_DISKS)
			return NULL;
	}
	*disk = n - 1;
	return text;
}

static bool parse_partition(const char *text, uint32_t *part)
{
	*part = 0;
	if (!*text)
		return true;
	if (*text == '0')
		return false;
	for (; *text >= '0' && *text <= '9'; text++) {
		*part = *part * 10 + (uint32_t)(*text - '0');
		if (*part > 255)
			return false;
	}
	return !*text;
}

static int xvd(uint32_t disk, uint32_t part, uint32_t *number)
{
	*number = disk < 16 && part < 16 ? 202u << 8 | disk << 4 | part : EXTENDED | disk << 8 | part;
	return 0;
}

static int hd(uint32_t disk, uint32_t part, uint32_t *number)
{
	if (disk > 3 || part > 63)
		return -EINVAL;
	*number = (disk < 2 ? 3u : 22u) << 8 | (disk & 1) << 6 | part;
	return 0;
}

static int sd(uint32_t disk, uint32_t part, uint32_t *number)
{
	if (disk > 15 || part > 15)
		return -EINVAL;
	*number = 8u << 8 | disk << 4 | part;
	return 0;
}

static const struct {
	const char *prefix;
	int (*number)(uint32_t disk, uint32_t part, uint32_t *number);
} families[] = {{"xvd", xvd}, {"hd", hd}, {"sd", sd}};

int vdev_number(const char *name, uint32_t *number)
{
	uint32_t disk, part;

	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		size_t len = strlen(families[i].prefix);

		if (strncmp(name, families[i].prefix, len))
			continue;
		name = parse_letters(name + len, &disk);
		if (!name || !parse_partition(name, &part))
			return -EINVAL;
		return families[i].number(disk, part, number);
	}
	return -EINVAL;
}
