/* SPDX-License-Identifier: MIT */
#include "world.h"

#include "dm/xen/pvh.h"

#include <stdlib.h>

#include <xen/arch-x86/hvm/start_info.h>
#include <xen/elfnote.h>

static const uint32_t entry = 0x100010;
static const char code[32] = "kernel text";

static struct gamut_elf_note notes[] = {
	{ .name = "GNU", .type = XEN_ELFNOTE_PHYS32_ENTRY, .desc_size = 4, .desc = "xxxx" },
	{ .name = "Xen", .type = XEN_ELFNOTE_PHYS32_ENTRY, .desc_size = 4, .desc = &entry },
};

static const struct xen_e820 extra[] = {
	{ 0xfc000000, 0x1000, XEN_E820_ACPI },
	{ 0xfeff8000, 0x8000, XEN_E820_RESERVED },
};

static struct gamut_segment_load segments[2];

static struct pvh_config config_of(struct host_fake *f)
{
	segments[0] = (struct gamut_segment_load){ 0x100000, 0, sizeof(code), 0x3000, code };
	segments[1] = (struct gamut_segment_load){ 0x103000, 0, 4, 8, "data" };
	f->boot.segments = segments;
	f->boot.n_segments = 2;
	f->boot.notes = notes;
	f->boot.n_notes = 2;
	f->boot.cmdline = "console=hvc0";
	f->boot.ramdisk = "initramfs";
	f->boot.ramdisk_size = 9;
	return (struct pvh_config){ f->host, f->inst, extra, 2, true, 0xfc000000 };
}

static int setup(void **state)
{
	*state = host_fake_create(4 << 20, 1);
	return 0;
}

static int teardown(void **state)
{
	assert_int_equal(host_fake_destroy(*state), 0);
	return 0;
}

static void loads_all_parts(void **state)
{
	struct host_fake *f = *state;
	struct pvh_config config = config_of(f);
	const struct hvm_start_info *info;
	const struct hvm_modlist_entry *mod;
	const struct hvm_memmap_table_entry *map;

	memset(f->ram, 0xaa, f->ram_size);
	assert_int_equal(pvh_load(&config), 0);
	assert_memory_equal(f->ram + 0x100000, code, sizeof(code));
	for (uint32_t i = sizeof(code); i < 0x3000; i++)
		assert_int_equal(f->ram[0x100000 + i], 0);
	info = (const void *)(f->ram + f->vcpu[0].state.gpr[3]);
	assert_int_equal(info->magic, XEN_HVM_START_MAGIC_VALUE);
	assert_int_equal(info->version, 1);
	assert_int_equal(info->rsdp_paddr, 0xfc000000);
	assert_int_equal(info->nr_modules, 1);
	mod = (const void *)(f->ram + info->modlist_paddr);
	assert_true(mod->paddr >= 0x103008 && mod->paddr % 4096 == 0);
	assert_int_equal(mod->size, 9);
	assert_memory_equal(f->ram + mod->paddr, "initramfs", 9);
	assert_string_equal((char *)f->ram + info->cmdline_paddr, "console=hvc0");
	assert_true(f->vcpu[0].state.gpr[3] >= mod->paddr + mod->size);
	assert_int_equal(info->memmap_entries, 3);
	map = (const void *)(f->ram + info->memmap_paddr);
	assert_int_equal(map[0].size, f->ram_size);
	assert_int_equal(map[0].type, XEN_HVM_MEMMAP_TYPE_RAM);
	assert_int_equal(map[1].addr, 0xfc000000);
	assert_int_equal(map[1].type, XEN_HVM_MEMMAP_TYPE_ACPI);
	assert_int_equal(map[2].addr, 0xfeff8000);
	assert_int_equal(map[2].type, XEN_HVM_MEMMAP_TYPE_RESERVED);
}

static void first_vcpu_is_in_flat_protected_mode(void **state)
{
	struct host_fake *f = *state;
	struct pvh_config config = config_of(f);
	const struct gamut_vcpu_state *s = &f->vcpu[0].state;

	assert_int_equal(pvh_load(&config), 0);
	assert_int_equal(s->rip, entry);
	assert_int_equal(s->rflags, 2);
	assert_int_equal(s->cr0, 0x11);
	assert_int_equal(s->cr4 | s->efer | s->cr3, 0);
	assert_int_equal(s->seg[GAMUT_CS].attr, 0xc09b);
	assert_int_equal(s->seg[GAMUT_CS].limit, UINT32_MAX);
	assert_int_equal(s->seg[GAMUT_DS].attr, 0xc093);
	assert_int_equal(s->seg[GAMUT_TR].attr, 0x8b);
	assert_int_equal(s->seg[GAMUT_TR].limit, 0x67);
}

/* Each is refused with a sentence, and the guest's memory stays as it was. */
static void refused(struct host_fake *f, const struct pvh_config *config, int err, const char *word)
{
	uint32_t fails = f->fails;

	memset(f->ram, 0x55, f->ram_size);
	assert_int_equal(pvh_load(config), -err);
	assert_int_equal(f->fails, fails + 1);
	if (!strstr(f->last_fail, word))
		fail_msg("\"%s\" does not say \"%s\"", f->last_fail, word);
	for (uint64_t i = 0; i < f->ram_size; i++)
		assert_int_equal(f->ram[i], 0x55);
}

static void bad_images_are_refused(void **state)
{
	struct host_fake *f = *state;
	struct pvh_config config = config_of(f);

	f->boot.n_notes = 1; /* another vendor's note of the same number */
	refused(f, &config, ENOEXEC, "XEN_ELFNOTE_PHYS32_ENTRY");
	refused(f, &config, ENOEXEC, "\"hvm\"");
	config = config_of(f);
	segments[0].paddr = f->ram_size - 0x1000;
	refused(f, &config, ENOMEM, "does not fit");
	config = config_of(f);
	segments[0].paddr = UINT64_MAX - 0x1000;
	refused(f, &config, ENOMEM, "does not fit");
	config = config_of(f);
	segments[0].memsz = UINT64_MAX;
	refused(f, &config, ENOMEM, "does not fit");
	config = config_of(f);
	segments[1].paddr = 0x102fff;
	refused(f, &config, ENOEXEC, "overlap");
	config = config_of(f);
	segments[0].filesz = segments[0].memsz + 1;
	refused(f, &config, ENOEXEC, "longer");
	config = config_of(f);
	segments[0].paddr = 0x200000;
	refused(f, &config, ENOEXEC, "no segment");
	config = config_of(f);
	f->boot.ramdisk_size = f->ram_size;
	refused(f, &config, ENOMEM, "do not fit");
	f->boot.ramdisk_size = UINT64_MAX;
	refused(f, &config, ENOMEM, "do not fit");
	config = config_of(f);
	f->boot.n_segments = 0;
	refused(f, &config, ENOEXEC, "no kernel");
	config = config_of(f);
	notes[1].desc_size = 3;
	refused(f, &config, ENOEXEC, "32-bit address");
	notes[1].desc_size = 4;
	notes[1].type = XEN_ELFNOTE_ENTRY;
	refused(f, &config, ENOEXEC, "\"pv\"");
	notes[1].type = XEN_ELFNOTE_PHYS32_ENTRY;
}

/* ---- the hypercall instruction ------------------------------------------------------ */

static uint8_t text[256];

/* An image of one segment with the pair at these offsets. */
static struct pvh_config image_with_pairs(struct host_fake *f, const uint32_t *at, unsigned n)
{
	struct pvh_config config = config_of(f);

	memset(text, 0x90, sizeof(text));
	for (unsigned i = 0; i < n; i++) {
		memcpy(text + at[i], "\x0f\x01\xd9\xc3", 4);
		memcpy(text + at[i] + 16, "\x0f\x01\xc1\xc3", 4);
	}
	segments[0].data = text;
	segments[0].filesz = sizeof(text);
	memcpy(f->hypercall_insn, "\xe7\xea\x90", 3);
	return config;
}

static void hypercalls_are_replaced_where_the_engine_wants_others(void **state)
{
	static const uint32_t at[] = { 0x20 }, last[] = { sizeof(text) - 32 };
	struct host_fake *f = *state;
	struct pvh_config config = image_with_pairs(f, at, 1);

	assert_int_equal(pvh_load(&config), 0);
	assert_memory_equal(f->ram + 0x100020, "\xe7\xea\x90\xc3", 4);
	assert_memory_equal(f->ram + 0x100030, "\xe7\xea\x90\xc3", 4);
	config = image_with_pairs(f, last, 1);
	assert_int_equal(pvh_load(&config), 0);
	assert_memory_equal(f->ram + 0x100000 + last[0] + 16, "\xe7\xea\x90\xc3", 4);
	/* The processor's own stay, whichever it is. */
	config = image_with_pairs(f, at, 1);
	memcpy(f->hypercall_insn, "\x0f\x01\xd9", 3);
	assert_int_equal(pvh_load(&config), 0);
	assert_memory_equal(f->ram + 0x100000, text, sizeof(text));
}

static void what_is_not_the_one_pair_is_left_alone(void **state)
{
	static const uint32_t two[] = { 0x20, 0x60 }, odd[] = { 0x28 };
	struct host_fake *f = *state;
	struct pvh_config config = image_with_pairs(f, two, 2);

	assert_int_equal(pvh_load(&config), 0);
	assert_memory_equal(f->ram + 0x100000, text, sizeof(text));
	config = image_with_pairs(f, odd, 1);
	assert_int_equal(pvh_load(&config), 0);
	assert_memory_equal(f->ram + 0x100000, text, sizeof(text));
	/* Aligned as the guest will see it, not as it lies in the file. */
	segments[0].paddr = 0x100008;
	segments[0].memsz = 0x1000;
	assert_int_equal(pvh_load(&config), 0);
	assert_memory_equal(f->ram + 0x100030, "\xe7\xea\x90\xc3", 4);
	/* A segment that is too short for a pair. */
	segments[0].filesz = 18;
	assert_int_equal(pvh_load(&config), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(loads_all_parts),
		T(first_vcpu_is_in_flat_protected_mode),
		T(hypercalls_are_replaced_where_the_engine_wants_others),
		T(what_is_not_the_one_pair_is_left_alone),
		T(bad_images_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
