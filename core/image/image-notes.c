/* SPDX-License-Identifier: MIT */
#include "image/image-notes.h"

#include <string.h>
#include <xen/elfnote.h>

const struct gamut_elf_note *image_note(const struct gamut_boot *boot, uint32_t type)
{
	for (uint32_t i = 0; i < boot->n_notes; i++)
		if (boot->notes[i].type == type && !strcmp(boot->notes[i].name, "Xen"))
			return &boot->notes[i];
	return NULL;
}

bool image_note_int(const struct gamut_boot *boot, uint32_t type, uint64_t *value)
{
	const struct gamut_elf_note *note = image_note(boot, type);
	uint64_t wide = 0;

	if (!note || (note->desc_size != 4 && note->desc_size != 8))
		return false;
	/* x86: little-endian, and notes are aligned to 4 only. */
	memcpy(&wide, note->desc, note->desc_size);
	*value = wide;
	return true;
}

const char *image_note_string(const struct gamut_boot *boot, uint32_t type)
{
	const struct gamut_elf_note *note = image_note(boot, type);

	if (!note || !note->desc_size || !memchr(note->desc, 0, note->desc_size))
		return NULL;
	return note->desc;
}

bool image_is_pv(const struct gamut_boot *boot)
{
	for (uint32_t i = 0; i < boot->n_notes; i++)
		if (!strcmp(boot->notes[i].name, "__xen_guest"))
			return true;
	if (image_note(boot, XEN_ELFNOTE_ENTRY) || image_note(boot, XEN_ELFNOTE_VIRT_BASE))
		return true;
	return image_note(boot, XEN_ELFNOTE_XEN_VERSION) && !image_note(boot, XEN_ELFNOTE_PHYS32_ENTRY);
}

const char *image_note_name(uint32_t type)
{
#define NAME(n) [XEN_ELFNOTE_##n] = "XEN_ELFNOTE_" #n
	static const char *const names[] = {
	        NAME(INFO),         NAME(ENTRY),         NAME(HYPERCALL_PAGE),
	        NAME(VIRT_BASE),    NAME(PADDR_OFFSET),  NAME(XEN_VERSION),
	        NAME(GUEST_OS),     NAME(GUEST_VERSION), NAME(LOADER),
	        NAME(PAE_MODE),     NAME(FEATURES),      NAME(BSD_SYMTAB),
	        NAME(HV_START_LOW), NAME(L1_MFN_VALID),  NAME(SUSPEND_CANCEL),
	        NAME(INIT_P2M),     NAME(MOD_START_PFN), NAME(SUPPORTED_FEATURES),
	        NAME(PHYS32_ENTRY),
	};
#undef NAME

	return type < sizeof(names) / sizeof(names[0]) ? names[type] : NULL;
}
