/* SPDX-License-Identifier: MIT */
#include "dm/block/format.h"

#include <string.h>
#include <strings.h>

const char *const block_format_choices[] = { "auto", "raw", "qcow2", "qcow", "qed", "vhd", "vhdx", "vmdk", "vdi",
	                                     "parallels", "dmg", NULL };

static const struct format {
	const char *choice, *driver;
	const char *suffixes[3];
	const char *magic; /* NULL: none that is safe to tell by */
	size_t magic_len, magic_at;
} formats[] = {
	{ "qcow2", "qcow2", { "qcow2" }, "QFI\xfb\0\0\0\2", 8, 0 },
	{ "qcow2", "qcow2", { NULL }, "QFI\xfb\0\0\0\3", 8, 0 },
	{ "qcow", "qcow", { "qcow" }, "QFI\xfb\0\0\0\1", 8, 0 },
	{ "qed", "qed", { "qed" }, "QED\0", 4, 0 },
	{ "vhd", "vpc", { "vhd", "vpc" }, "conectix", 8, 0 },
	{ "vhdx", "vhdx", { "vhdx" }, "vhdxfile", 8, 0 },
	{ "vmdk", "vmdk", { "vmdk" }, "KDMV", 4, 0 },
	{ "vmdk", "vmdk", { NULL }, "# Disk DescriptorFile", 21, 0 },
	{ "vdi", "vdi", { "vdi" }, "\x7f\x10\xda\xbe", 4, 0x40 },
	{ "parallels", "parallels", { "hds", "parallels" }, "WithoutFreeSpace", 16, 0 },
	{ "parallels", "parallels", { NULL }, "WithouFreSpacExt", 16, 0 },
	{ "dmg", "dmg", { "dmg" }, NULL, 0, 0 },
};

#define N_FORMATS (sizeof(formats) / sizeof(formats[0]))

const char *block_format_of_name(const char *path)
{
	const char *dot = strrchr(path, '.');

	for (size_t i = 0; dot && !strchr(dot, '/') && i < N_FORMATS; i++)
		for (size_t j = 0; j < 3 && formats[i].suffixes[j]; j++)
			if (!strcasecmp(dot + 1, formats[i].suffixes[j]))
				return formats[i].choice;
	return "raw";
}

const char *block_format_of_content(const void *head, size_t len, const void *tail)
{
	const char *bytes = head;

	for (size_t i = 0; i < N_FORMATS; i++) {
		const struct format *f = &formats[i];

		if (!f->magic || f->magic_at > len || f->magic_len > len - f->magic_at)
			continue;
		if (!memcmp(bytes + f->magic_at, f->magic, f->magic_len))
			return f->choice;
	}
	/* A VHD of fixed size has its mark at the end alone. */
	return tail && !memcmp(tail, "conectix", 8) ? "vhd" : NULL;
}

const char *block_format_driver(const char *choice)
{
	for (size_t i = 0; i < N_FORMATS; i++)
		if (!strcmp(formats[i].choice, choice))
			return formats[i].driver;
	return "raw";
}
