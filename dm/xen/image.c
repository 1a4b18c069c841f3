/* SPDX-License-Identifier: MIT */
#include "dm/xen/image.h"

#include <errno.h>
#include <string.h>

int xen_image_init(struct xen_image *image, const struct gamut_host *host, struct gamut_inst *inst)
{
	*image = (struct xen_image){ .host = host, .inst = inst, .boot = host->boot(inst) };
	image->n_ram = host->mem_ranges(inst, image->ram, XEN_IMAGE_RANGES);
	if (!image->n_ram || image->n_ram > XEN_IMAGE_RANGES)
		return host->fail(inst, EINVAL, "the guest's memory has %u ranges", image->n_ram);
	if (!image->boot || !image->boot->n_segments)
		return host->fail(inst, ENOEXEC, "no kernel to boot: boot.kernel is not set");
	return 0;
}

const struct gamut_elf_note *xen_image_note(const struct gamut_boot *boot, uint32_t type)
{
	for (uint32_t i = 0; i < boot->n_notes; i++)
		if (boot->notes[i].type == type && !strcmp(boot->notes[i].name, "Xen"))
			return &boot->notes[i];
	return NULL;
}

bool xen_image_number(const struct gamut_elf_note *note, uint64_t *value)
{
	uint64_t wide = 0;

	if (note->desc_size != 4 && note->desc_size != 8)
		return false;
	memcpy(&wide, note->desc, note->desc_size);
	*value = wide;
	return true;
}

/* ---- checks ------------------------------------------------------------------- */

/* Whether [addr, addr + size) is RAM as configured. */
static bool in_ram(const struct xen_image *image, uint64_t addr, uint64_t size)
{
	for (uint32_t i = 0; i < image->n_ram; i++) {
		uint64_t off = addr - image->ram[i].gpa;

		if (addr >= image->ram[i].gpa && off <= image->ram[i].size && size <= image->ram[i].size - off)
			return true;
	}
	return false;
}

/* Both are in RAM. */
static bool overlap(const struct xen_image *image, const struct gamut_segment_load *a,
                    const struct gamut_segment_load *b)
{
	uint64_t at_a = xen_image_gpa(image, a), at_b = xen_image_gpa(image, b);

	return a->memsz && b->memsz && at_a < at_b + b->memsz && at_b < at_a + a->memsz;
}

static int check_segment(const struct xen_image *image, uint32_t i)
{
	const struct gamut_segment_load *s = &image->boot->segments[i];
	const struct gamut_host *host = image->host;

	if (s->filesz > s->memsz)
		return host->fail(image->inst, ENOEXEC, "%s: segment %u is longer in the file than in memory",
		                  image->boot->kernel_path, i);
	if (!in_ram(image, xen_image_gpa(image, s), s->memsz))
		return host->fail(image->inst, ENOMEM,
		                  "%s: segment %u at 0x%llx, %llu KiB, does not fit into the guest's memory: give it "
		                  "more memory",
		                  image->boot->kernel_path, i, (unsigned long long)s->paddr,
		                  (unsigned long long)(s->memsz >> 10));
	for (uint32_t j = 0; j < i; j++)
		if (overlap(image, s, &image->boot->segments[j]))
			return host->fail(image->inst, ENOEXEC, "%s: segments %u and %u overlap",
			                  image->boot->kernel_path, j, i);
	return 0;
}

int xen_image_check(const struct xen_image *image)
{
	int rc = 0;

	for (uint32_t i = 0; i < image->boot->n_segments && !rc; i++)
		rc = check_segment(image, i);
	return rc;
}

/* ---- writing -------------------------------------------------------------------- */

int xen_image_zero(const struct xen_image *image, uint64_t gpa, uint64_t len)
{
	static const uint8_t zeroes[65536];
	int rc = 0;

	for (; len && !rc; len -= len < sizeof(zeroes) ? len : sizeof(zeroes), gpa += sizeof(zeroes))
		rc = image->host->mem_write(image->inst, gpa, zeroes, len < sizeof(zeroes) ? len : sizeof(zeroes));
	return rc;
}

int xen_image_write(const struct xen_image *image)
{
	int rc = 0;

	for (uint32_t i = 0; i < image->boot->n_segments && !rc; i++) {
		const struct gamut_segment_load *s = &image->boot->segments[i];
		uint64_t gpa = xen_image_gpa(image, s);

		rc = image->host->mem_write(image->inst, gpa, s->data, s->filesz);
		if (!rc)
			rc = xen_image_zero(image, gpa + s->filesz, s->memsz - s->filesz);
	}
	return rc;
}
