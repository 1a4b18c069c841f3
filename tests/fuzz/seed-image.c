/* SPDX-License-Identifier: MIT */
/* Writes the seeds of tests/fuzz/corpus/image: seed-image FOLDER */
#include <stdio.h>

#include "unit/core/image/image-build.h"

static int save(const char *dir, const char *name, const struct blob *b)
{
	char path[512];
	FILE *f;
	int bad;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "we");
	if (!f)
		return 1;
	bad = fwrite(b->data, 1, b->size, f) != b->size;
	return fclose(f) || bad;
}

int main(int argc, char **argv)
{
	struct blob elf = build_elf64(NOTES_PVH | NOTES_PV), elf32 = build_elf32(NOTES_PVH);
	struct blob sections = build_elf64_section_notes(NOTES_PVH);
	int bad;

	if (argc != 2)
		return 2;
	bad = save(argv[1], "elf64", &elf) | save(argv[1], "elf32", &elf32) |
	      save(argv[1], "section-notes", &sections);
	for (size_t i = 0; i < N_PACKERS; i++) {
		struct blob packed = packers[i].pack(&elf), bz = build_bzimage(&packed, (uint32_t)elf.size);
		char name[64];

		snprintf(name, sizeof(name), "bzimage-%s", packers[i].name);
		bad |= save(argv[1], name, &bz);
		bad |= save(argv[1], packers[i].name, &packed);
		blob_free(&bz);
		blob_free(&packed);
	}
	blob_free(&sections);
	blob_free(&elf32);
	blob_free(&elf);
	return bad;
}
