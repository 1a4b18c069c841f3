/* SPDX-License-Identifier: MIT */
#include "dm/xen/pv/notes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dm/xen/image.h"

#include <xen/elfnote.h>

#define TEXT 64u
#define LEGACY_NAME "__xen_guest"
#define LEGACY_MAX 4096u

/* Notes and legacy fields alike are put here as they come; what they mean together is worked out at the end. */
struct reading {
	struct pv_notes *out;
	const struct gamut_host *host;
	struct gamut_inst *inst;
	const struct gamut_boot *boot;
	bool legacy;
	uint64_t virt_base, paddr_offset, hypercall_frame, hv_start_low;
	char loader[TEXT], guest_os[TEXT], xen_version[TEXT], features[1024];
};

static int refuse(const struct reading *r, const char *why)
{
	return r->host->fail(r->inst, ENOEXEC, "%s cannot boot as a PV guest: %s", r->boot->kernel_path, why);
}

/* ---- features ---------------------------------------------------------------- */

static const char *const feature_names[] = {
	[XENFEAT_writable_page_tables] = "writable_page_tables",
	[XENFEAT_writable_descriptor_tables] = "writable_descriptor_tables",
	[XENFEAT_auto_translated_physmap] = "auto_translated_physmap",
	[XENFEAT_supervisor_mode_kernel] = "supervisor_mode_kernel",
	[XENFEAT_pae_pgdir_above_4gb] = "pae_pgdir_above_4gb",
	[XENFEAT_mmu_pt_update_preserve_ad] = "mmu_pt_update_preserve_ad",
	[XENFEAT_highmem_assist] = "highmem_assist",
	[XENFEAT_gnttab_map_avail_bits] = "gnttab_map_avail_bits",
	[XENFEAT_direct_mapped] = "direct_mapped",
};

/*
 * Two more than are told count as there: stores to page tables are emulated,
 * and 64-bit guests have top-level tables anywhere. Linux requires the first
 * without having it on any Xen.
 */
static bool have_feature(const char *name, size_t len)
{
	const uint32_t have = PV_FEATURES | 1u << XENFEAT_writable_page_tables | 1u << XENFEAT_pae_pgdir_above_4gb;

	for (uint32_t i = 0; i < sizeof(feature_names) / sizeof(feature_names[0]); i++)
		if (feature_names[i] && strlen(feature_names[i]) == len && !memcmp(feature_names[i], name, len))
			return have >> i & 1;
	return false;
}

/* "a|!b|c": b is required. */
static int check_features(const struct reading *r)
{
	const char *p = r->features;

	while (*p) {
		size_t len = strcspn(p, "|");

		if (*p == '!' && !have_feature(p + 1, len - 1))
			return r->host->fail(r->inst, ENOEXEC,
			                     "%s cannot boot as a PV guest: it requires the Xen feature \"%.*s\", "
			                     "which PV domains do not have",
			                     r->boot->kernel_path, (int)(len - 1), p + 1);
		p += len + (p[len] != 0);
	}
	return 0;
}

/* ---- ELF notes ------------------------------------------------------------------ */

static const struct {
	uint32_t type;
	size_t at, size; /* of a text in struct reading */
} texts[] = {
	{ XEN_ELFNOTE_LOADER, offsetof(struct reading, loader), TEXT },
	{ XEN_ELFNOTE_GUEST_OS, offsetof(struct reading, guest_os), TEXT },
	{ XEN_ELFNOTE_XEN_VERSION, offsetof(struct reading, xen_version), TEXT },
	{ XEN_ELFNOTE_FEATURES, offsetof(struct reading, features), sizeof(((struct reading *)0)->features) },
};

/* Bytes that are not said to end, as a string that fits; too long is cut, as by libelf. */
static void copy_text(char *to, size_t size, const char *from, size_t len)
{
	len = strnlen(from, len < size ? len : size - 1);
	memcpy(to, from, len);
	to[len] = 0;
}

static void read_texts(struct reading *r)
{
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const struct gamut_elf_note *note = xen_image_note(r->boot, texts[i].type);

		if (note)
			copy_text((char *)r + texts[i].at, texts[i].size, note->desc, note->desc_size);
	}
}

static int read_number(const struct reading *r, uint32_t type, const char *name, uint64_t *value)
{
	const struct gamut_elf_note *note = xen_image_note(r->boot, type);

	if (!note || xen_image_number(note, value))
		return 0;
	return r->host->fail(r->inst, ENOEXEC, "%s: its note XEN_ELFNOTE_%s is not a number of 4 or 8 bytes",
	                     r->boot->kernel_path, name);
}

static int read_notes(struct reading *r)
{
	uint64_t mod = 0;
	const struct {
		uint32_t type;
		const char *name;
		uint64_t *value;
	} numbers[] = {
		{ XEN_ELFNOTE_VIRT_BASE, "VIRT_BASE", &r->virt_base },
		{ XEN_ELFNOTE_PADDR_OFFSET, "PADDR_OFFSET", &r->paddr_offset },
		{ XEN_ELFNOTE_ENTRY, "ENTRY", &r->out->entry },
		{ XEN_ELFNOTE_HYPERCALL_PAGE, "HYPERCALL_PAGE", &r->out->hypercall_page },
		{ XEN_ELFNOTE_INIT_P2M, "INIT_P2M", &r->out->init_p2m },
		{ XEN_ELFNOTE_HV_START_LOW, "HV_START_LOW", &r->hv_start_low },
		{ XEN_ELFNOTE_MOD_START_PFN, "MOD_START_PFN", &mod },
	};
	int rc = 0;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]) && !rc; i++)
		rc = read_number(r, numbers[i].type, numbers[i].name, numbers[i].value);
	read_texts(r);
	r->out->mod_start_pfn = mod != 0;
	return rc;
}

/* ---- the section from before ------------------------------------------------------ */

static const struct gamut_elf_note *find_legacy(const struct gamut_boot *boot)
{
	for (uint32_t i = 0; i < boot->n_notes; i++)
		if (!strcmp(boot->notes[i].name, LEGACY_NAME))
			return &boot->notes[i];
	return NULL;
}

/* One NAME=VALUE of "NAME=VALUE,NAME=VALUE"; what is not of use here is passed over. */
static void read_legacy_field(struct reading *r, const char *name, const char *value)
{
	const struct {
		const char *name;
		char *text;
		size_t size;
		uint64_t *number;
	} fields[] = {
		{ "LOADER", r->loader, TEXT, NULL },
		{ "GUEST_OS", r->guest_os, TEXT, NULL },
		{ "XEN_VER", r->xen_version, TEXT, NULL },
		{ "FEATURES", r->features, sizeof(r->features), NULL },
		{ "VIRT_BASE", NULL, 0, &r->virt_base },
		{ "VIRT_ENTRY", NULL, 0, &r->out->entry },
		{ "ELF_PADDR_OFFSET", NULL, 0, &r->paddr_offset },
		{ "HYPERCALL_PAGE", NULL, 0, &r->hypercall_frame },
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (strcmp(fields[i].name, name))
			continue;
		if (fields[i].text)
			copy_text(fields[i].text, fields[i].size, value, strlen(value));
		else
			*fields[i].number = strtoull(value, NULL, 0);
	}
}

static void read_legacy(struct reading *r, const struct gamut_elf_note *note)
{
	char text[LEGACY_MAX], *save = NULL;

	copy_text(text, sizeof(text), note->desc, note->desc_size);
	r->legacy = true;
	for (char *field = strtok_r(text, ",", &save); field; field = strtok_r(NULL, ",", &save)) {
		char *value = strchr(field, '=');

		if (value)
			*value++ = 0;
		read_legacy_field(r, field, value ? value : "");
	}
}

/* ---- all together -------------------------------------------------------------------- */

/* As libelf: an unset base is 0; offsets in p_paddr were the rule before the notes. */
static void settle(struct reading *r)
{
	struct pv_notes *n = r->out;

	n->virt_base = r->virt_base == PV_UNSET ? 0 : r->virt_base;
	n->paddr_offset = r->paddr_offset;
	if (r->paddr_offset == PV_UNSET)
		n->paddr_offset = r->legacy ? n->virt_base : 0;
	if (r->hypercall_frame <= UINT64_MAX >> XEN_PAGE_SHIFT)
		n->hypercall_page = n->virt_base + (r->hypercall_frame << XEN_PAGE_SHIFT);
}

static int check(const struct reading *r)
{
	if (strncmp(r->loader, "generic", 7) && strncmp(r->guest_os, "linux", 5))
		return refuse(r, "it is made for a loader of its own (no LOADER \"generic\" or GUEST_OS \"linux\")");
	if (strncmp(r->xen_version, "xen-3.0", 7))
		return refuse(r, "it is not made for Xen's interface 3.0 (its XEN_VERSION is not \"xen-3.0\")");
	if (r->paddr_offset != PV_UNSET && r->virt_base == PV_UNSET)
		return refuse(r, "its notes give PADDR_OFFSET without VIRT_BASE");
	if (r->hv_start_low > HYPERVISOR_VIRT_START)
		return refuse(r, "its note HV_START_LOW does not leave 64-bit Xen's place to the hypervisor");
	return check_features(r);
}

/* A kernel for PVH alone may have some of the same notes, but does not say where it is entered or mapped. */
static bool is_pv(const struct gamut_boot *boot)
{
	if (xen_image_note(boot, XEN_ELFNOTE_ENTRY) || xen_image_note(boot, XEN_ELFNOTE_VIRT_BASE))
		return true;
	return xen_image_note(boot, XEN_ELFNOTE_XEN_VERSION) && !xen_image_note(boot, XEN_ELFNOTE_PHYS32_ENTRY);
}

static int refuse_no_notes(const struct reading *r)
{
	bool pvh = xen_image_note(r->boot, XEN_ELFNOTE_PHYS32_ENTRY);

	return r->host->fail(r->inst, ENOEXEC,
	                     "%s cannot boot as a PV guest: it has no Xen ELF notes of one; mode = %s would work",
	                     r->boot->kernel_path, pvh ? "\"pvh\"" : "\"hvm\" or \"kvm\"");
}

static int refuse_narrow(const struct reading *r)
{
	return r->host->fail(r->inst, ENOEXEC,
	                     "%s is a 32-bit PV kernel; Gamut runs 64-bit PV guests: use a 64-bit (amd64) kernel%s",
	                     r->boot->kernel_path,
	                     xen_image_note(r->boot, XEN_ELFNOTE_PHYS32_ENTRY) ? ", or mode = \"pvh\"" : "");
}

int pv_notes_read(struct pv_notes *notes, const struct gamut_host *host, struct gamut_inst *inst,
                  const struct gamut_boot *boot)
{
	struct reading r = { .out = notes, .host = host, .inst = inst, .boot = boot };
	const struct gamut_elf_note *legacy = find_legacy(boot);
	int rc;

	*notes = (struct pv_notes){ .entry = boot->elf_entry, .hypercall_page = PV_UNSET, .init_p2m = PV_UNSET };
	r.virt_base = r.paddr_offset = r.hypercall_frame = PV_UNSET;
	if (!legacy && !is_pv(boot))
		return refuse_no_notes(&r);
	if (boot->elf_class != 64)
		return refuse_narrow(&r);
	rc = read_notes(&r);
	if (rc)
		return rc;
	if (legacy)
		read_legacy(&r, legacy);
	settle(&r);
	return check(&r);
}
