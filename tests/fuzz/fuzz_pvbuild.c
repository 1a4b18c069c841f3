/* SPDX-License-Identifier: MIT */
/*
 * A PV kernel that says anything of itself. The input is memory, segments,
 * ramdisk and notes; numbers are an interesting one plus a small one. What the
 * builder takes must then load, and every page table that it made leads to RAM,
 * never to a writable page table.
 */
#include "dm/xen/pv/build.h"
#include "fake/host-fake.h"
#include "fuzz-input.h"

#include <xen/elfnote.h>

#define NOTES 12u
#define SEGMENTS 4u
#define BYTES 64u /* of a segment, and of a note */

struct kernel {
	struct gamut_elf_note notes[NOTES];
	struct gamut_segment_load segments[SEGMENTS];
	uint64_t numbers[NOTES];
	uint8_t texts[NOTES][BYTES];
	uint8_t data[BYTES];
};

static uint64_t number(struct fuzz_input *in)
{
	static const uint64_t round[] = {
		0, 0, 0x200000, 0xffffffff80000000, 0xffffffff80200000, 0x8000000000, 0x800000000000,
		0xffff800000000000, 0xffff880000000000, UINT64_MAX, 1ull << 63, UINT64_MAX - 0xfff,
	};
	uint64_t value = round[fuzz_u8(in) % (sizeof(round) / sizeof(round[0]))];
	uint64_t offset = (uint64_t)(int64_t)(int16_t)fuzz_u16(in);

	return value + offset * (fuzz_u8(in) & 1 ? 1 : 4096);
}

static void add_segments(struct kernel *k, struct gamut_boot *boot, struct fuzz_input *in)
{
	boot->segments = k->segments;
	boot->n_segments = fuzz_u8(in) % (SEGMENTS + 1);
	for (uint32_t i = 0; i < boot->n_segments; i++) {
		struct gamut_segment_load *s = &k->segments[i];

		s->paddr = number(in);
		s->memsz = number(in);
		s->filesz = fuzz_u8(in) % (BYTES + 1);
		s->data = k->data;
	}
}

static void add_notes(struct kernel *k, struct gamut_boot *boot, struct fuzz_input *in)
{
	boot->notes = k->notes;
	while (in->left && boot->n_notes < NOTES) {
		uint32_t i = boot->n_notes++, kind = fuzz_u8(in);
		struct gamut_elf_note *note = &k->notes[i];
		size_t n;
		const uint8_t *p;

		note->name = kind & 0x80 ? "__xen_guest" : "Xen";
		note->type = kind & 0x1f;
		note->desc = &k->numbers[i];
		note->desc_size = 8;
		if (kind & 0x20) {
			k->numbers[i] = number(in);
			continue;
		}
		p = fuzz_bytes(in, fuzz_u8(in) % (BYTES + 1), &n);
		memcpy(k->texts[i], p, n);
		note->desc = k->texts[i];
		note->desc_size = (uint32_t)n;
	}
}

/* Every entry below a table, whose level is given; returns how many pages are mapped. */
static uint64_t check_table(const struct host_fake *f, const struct pv_build *b, uint64_t frame, int level)
{
	uint64_t pages = 0;

	for (uint32_t slot = 0; slot < 512; slot++) {
		uint64_t entry;

		FUZZ_CHECK(!f->host->mem_read(f->inst, (frame << 12) + slot * 8, &entry, sizeof(entry)));
		if (!(entry & 1))
			continue;
		entry = entry >> 12 & 0xffffffffff;
		FUZZ_CHECK(entry < f->ram_size >> 12 && entry < b->layout.pages);
		FUZZ_CHECK(level < 4 || slot < 256 || slot >= 272);
		pages += level > 1 ? check_table(f, b, entry, level - 1) : 1;
	}
	return pages;
}

static void check_built(const struct host_fake *f, const struct pv_build *b)
{
	const struct pv_layout *l = &b->layout;
	uint64_t mapped = ((l->region[0].last - l->region[0].first) >> 12) + 1;

	FUZZ_CHECK(l->pages <= f->ram_size >> 12);
	FUZZ_CHECK(l->stack < mapped && l->console < l->root);
	FUZZ_CHECK(check_table(f, b, b->boot.root, 4) == mapped + (l->p2m_apart ? l->p2m_pages : 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct kernel *k = calloc(1, sizeof(*k));
	struct host_fake *f = host_fake_create((1 + fuzz_u8(&in) % 16) * (1ull << 20), 1);
	struct pv_build b = { .host = f->host, .inst = f->inst, .shared_info = 0xf0000000 };

	f->boot.elf_class = fuzz_u8(&in) & 15 ? 64 : 32;
	f->boot.elf_entry = number(&in);
	f->boot.ramdisk = k->data;
	f->boot.ramdisk_size = fuzz_u8(&in) % (BYTES + 1);
	add_segments(k, &f->boot, &in);
	add_notes(k, &f->boot, &in);
	if (!pv_build_check(&b)) {
		FUZZ_CHECK(!pv_build_load(&b, 1));
		check_built(f, &b);
	} else {
		FUZZ_CHECK(f->fails == 1);
	}
	FUZZ_CHECK(!host_fake_destroy(f));
	free(k);
	return 0;
}
