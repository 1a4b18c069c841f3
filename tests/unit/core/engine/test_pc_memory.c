/* SPDX-License-Identifier: MIT */
/*
 * What a PC does with its memory, on each engine: firmware in ROM at the top of
 * 4 GiB and below 1 MiB, shadow RAM that takes its place under the code that
 * runs in it, the VGA window, and code where no memory is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/engine.h"
#include "mem.h"

#define RAM (16ull << 20)
#define CODE 0x1000u
#define STACK 0x7000u
#define GDT 0x8000u
#define IDT 0x9000u
#define HANDLER 0xa000u
#define VGA 0xa0000u
#define ROM 0xc8000u
#define TOP 0xffff0000ull
#define TRAP_PORT 0x99

struct rig {
	const struct engine_ops *ops;
	struct mem mem;
	struct engine_vm *vm;
	struct engine_vcpu *v;
	struct vcpu_exit exit;
	struct gamut_vcpu_state state;
	_Atomic uint32_t attention;
};

static void changed(void *opaque, uint64_t gpa, uint64_t len, bool remapped)
{
	struct rig *r = opaque;

	r->ops->mem_changed(r->vm, gpa, len, remapped);
}

static int none(void *opaque)
{
	(void)opaque;
	return 0;
}

static int no_vector(void *opaque)
{
	(void)opaque;
	return -1;
}

static int setup_engine(void **state, const struct engine_ops *ops)
{
	const struct engine_config config = { .vcpus = 1, .debug = "" };
	struct engine_vcpu_env env = { .irq_accept = no_vector, .irq_pending = none };
	struct engine_caps caps;
	char err[256];
	struct rig *r;

	*state = NULL;
	if (!ops->probe(&caps, err, sizeof(err)))
		return 0;
	alarm(60);
	r = calloc(1, sizeof(*r));
	assert_non_null(r);
	r->ops = ops;
	env.opaque = r;
	env.attention = &r->attention;
	assert_int_equal(mem_init(&r->mem, RAM, err, sizeof(err)), 0);
	assert_int_equal(ops->vm_create(&r->vm, &r->mem, &config, err, sizeof(err)), 0);
	r->mem.changed_opaque = r;
	r->mem.changed = changed;
	assert_int_equal(ops->vcpu_create(r->vm, 0, &env, &r->v, err, sizeof(err)), 0);
	assert_int_equal(mem_release(&r->mem, VGA, 0x20000), 0);
	*state = r;
	return 0;
}

static int setup_bt(void **state)
{
	return setup_engine(state, &engine_bt);
}

static int setup_kvm(void **state)
{
	return setup_engine(state, &engine_kvm);
}

static int teardown(void **state)
{
	struct rig *r = *state;

	alarm(0);
	if (!r)
		return 0;
	r->ops->vcpu_destroy(r->v);
	r->mem.changed = NULL;
	r->ops->vm_destroy(r->vm);
	mem_finish(&r->mem);
	free(r);
	return 0;
}

#define RIG(r)                            \
	struct rig *r = *state;           \
	if (!(r))                         \
	skip()

/* ---- the guest ---------------------------------------------------------------------- */

static void put(struct rig *r, uint64_t gpa, const void *bytes, size_t n)
{
	assert_int_equal(mem_write(&r->mem, gpa, bytes, n), 0);
}

#define PUT(r, gpa, ...) put(r, gpa, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

/* Flat 32-bit code at level 0 without paging, and a handler of #UD that says so and stops. */
static void flat(struct rig *r, uint32_t rip)
{
	static const uint64_t gdt[3] = { 0, 0x00cf9b000000ffff, 0x00cf93000000ffff };
	const uint64_t gate = (HANDLER & 0xffff) | 8ull << 16 | 0x8e00ull << 32;
	struct gamut_vcpu_state *s = &r->state;

	put(r, GDT, gdt, sizeof(gdt));
	put(r, IDT + 6 * 8, &gate, sizeof(gate));
	PUT(r, HANDLER, 0xb0, 0x06, 0xe6, TRAP_PORT, 0xf4); /* mov $6, %al; out; hlt */
	s->size = sizeof(*s);
	assert_int_equal(r->ops->vcpu_get(r->v, s), 0);
	for (unsigned i = GAMUT_ES; i <= GAMUT_GS; i++)
		s->seg[i] = (struct gamut_segment){ .limit = UINT32_MAX, .selector = i == GAMUT_CS ? 8 : 16,
			                            .attr = i == GAMUT_CS ? 0xc09b : 0xc093 };
	s->gdt = (struct gamut_table){ .base = GDT, .limit = 23 };
	s->idt = (struct gamut_table){ .base = IDT, .limit = 0x7ff };
	s->cr0 |= 1;
	s->rip = rip;
	s->rflags = 2;
	s->gpr[4] = STACK;
	assert_int_equal(r->ops->vcpu_set(r->v, s), 0);
}

static void wants(struct rig *r, enum exit_reason reason)
{
	r->ops->vcpu_run(r->v, &r->exit);
	if (r->exit.reason == EXIT_ERROR)
		print_message("%s\n", r->exit.error.text);
	assert_int_equal(r->exit.reason, reason);
}

static void wants_out(struct rig *r, uint16_t port, uint8_t value)
{
	wants(r, EXIT_PIO);
	assert_true(r->exit.pio.write);
	assert_int_equal(r->exit.pio.port, port);
	assert_int_equal(r->exit.pio.data & 0xff, value);
}

static void wants_mmio(struct rig *r, uint64_t gpa, uint8_t width, bool write, uint64_t data)
{
	wants(r, EXIT_MMIO);
	assert_int_equal(r->exit.mmio.gpa, gpa);
	assert_int_equal(r->exit.mmio.width, width);
	assert_int_equal(r->exit.mmio.write, write);
	if (write)
		assert_int_equal(r->exit.mmio.data, data);
	else
		r->exit.mmio.data = data;
}

static void map(struct rig *r, struct gamut_page *p, uint32_t index, uint64_t gpa, uint32_t how)
{
	assert_int_equal(mem_page_map_as(&r->mem, p, index, gpa, how), 0);
}

/* ---- ROM -------------------------------------------------------------------------------- */

/* From the reset vector to the copy below 1 MiB, in real mode. */
static void reset_vector(void **state)
{
	static const uint8_t reset[] = { 0xea, 0x00, 0x01, 0x00, 0xf0 };  /* ljmp $0xf000, $0x100 */
	static const uint8_t entry[] = { 0xb0, 0x5a, 0xe6, 0x80,          /* mov $0x5a, %al; out %al, $0x80 */
		                         0x2e, 0xa0, 0x00, 0x02,          /* mov %cs:0x200, %al */
		                         0xe6, 0x81,                      /* out %al, $0x81 */
		                         0x2e, 0xc6, 0x06, 0x00, 0x02, 7, /* movb $7, %cs:0x200 */
		                         0x2e, 0xa0, 0x00, 0x02, 0xe6, 0x82, 0xf4 };
	struct gamut_page *bios;
	uint8_t *host;

	RIG(r);
	bios = mem_page_alloc(&r->mem, 32, (void **)&host);
	assert_non_null(bios);
	for (uint32_t i = 0; i < 16; i++) {
		map(r, bios, i, TOP + i * PAGE_SIZE, GAMUT_PAGE_ROM);
		map(r, bios, 16 + i, 0xf0000 + i * PAGE_SIZE, GAMUT_PAGE_ROM);
	}
	memcpy(host + 0xfff0, reset, sizeof(reset));
	memcpy(host + 0x10100, entry, sizeof(entry));
	host[0x10200] = 0x42;
	for (unsigned life = 0; life < 2; life++) {
		r->ops->vcpu_reset(r->v);
		r->exit.reason = EXIT_INTR;
		wants_out(r, 0x80, 0x5a);
		wants_out(r, 0x81, 0x42);
		wants_mmio(r, 0xf0200, 1, true, 7);
		wants_out(r, 0x82, 0x42);
		wants(r, EXIT_HLT);
		assert_int_equal(host[0x10200], 0x42);
		assert_int_equal(mem_reset(&r->mem), 0);
		assert_int_equal(mem_release(&r->mem, VGA, 0x20000), 0);
	}
	mem_page_free(&r->mem, bios);
}

/* A loop in ROM; the page becomes another one, then RAM, under it. */
static void shadow_ram(void **state)
{
	uint8_t *rom_host, *ram_host;
	struct gamut_page *rom, *ram;

	RIG(r);
	rom = mem_page_alloc(&r->mem, 2, (void **)&rom_host);
	ram = mem_page_alloc(&r->mem, 2, (void **)&ram_host);
	assert_true(rom && ram);
	/* 1: mov $0x11, %al; out %al, $0x10; mov %al, 0xc8800; mov 0xc8800, %al; out %al, $0x11; jmp 1b */
	memcpy(rom_host, "\xb0\x11\xe6\x10\xa2\x00\x88\x0c\x00\xa0\x00\x88\x0c\x00\xe6\x11\xeb\xee", 18);
	rom_host[0x800] = 0x33;
	memcpy(ram_host, rom_host, PAGE_SIZE);
	ram_host[1] = 0x22;
	map(r, rom, 0, ROM, GAMUT_PAGE_ROM);
	map(r, rom, 1, ROM + PAGE_SIZE, GAMUT_PAGE_ROM);
	flat(r, ROM);
	for (unsigned i = 0; i < 3; i++) {
		wants_out(r, 0x10, 0x11);
		wants_mmio(r, ROM + 0x800, 1, true, 0x11);
		wants_out(r, 0x11, 0x33);
	}
	/* Reads and writes to RAM. */
	map(r, ram, 0, ROM, GAMUT_PAGE_RAM);
	wants_out(r, 0x10, 0x22);
	wants_out(r, 0x11, 0x22);
	assert_int_equal(ram_host[0x800], 0x22);
	assert_int_equal(rom_host[0x800], 0x33);
	/* Locked: in place, with what was written. */
	map(r, ram, 0, ROM, GAMUT_PAGE_ROM);
	ram_host[1] = 0x44;
	mem_dirty(&r->mem, ROM + 1, 1);
	wants_out(r, 0x10, 0x44);
	wants_mmio(r, ROM + 0x800, 1, true, 0x44);
	wants_out(r, 0x11, 0x22);
	/* The neighbour changes, and nothing here. */
	map(r, ram, 1, ROM + PAGE_SIZE, GAMUT_PAGE_RAM);
	wants_out(r, 0x10, 0x44);
	wants_mmio(r, ROM + 0x800, 1, true, 0x44);
	wants_out(r, 0x11, 0x22);
	/* Back to ROM, and then to the RAM below, which has nothing to execute but what is put there. */
	map(r, rom, 0, ROM, GAMUT_PAGE_ROM);
	wants_out(r, 0x10, 0x11);
	wants_mmio(r, ROM + 0x800, 1, true, 0x11);
	assert_int_equal(mem_page_unmap(&r->mem, rom, 0), 0);
	PUT(r, ROM, 0xb0, 0x55, 0xe6, 0x10, 0xeb, 0xfa);
	PUT(r, ROM + 9, 0x90, 0x90, 0x90, 0x90, 0x90, 0xe6, 0x11, 0xeb, 0xee);
	wants_out(r, 0x11, 0x11);
	wants_out(r, 0x10, 0x55);
	mem_page_free(&r->mem, rom);
	mem_page_free(&r->mem, ram);
}

/* ---- holes -------------------------------------------------------------------------------- */

/* mov $0x66, %al; mov %al, 0xa0000; mov 0xbffff, %al; out %al, $0x10; hlt */
static void vga_window(void **state)
{
	RIG(r);
	for (unsigned life = 0; life < 2; life++) {
		PUT(r, CODE, 0xb0, 0x66, 0xa2, 0x00, 0x00, 0x0a, 0x00, 0xa0, 0xff, 0xff, 0x0b, 0x00, 0xe6, 0x10, 0xf4);
		flat(r, CODE);
		wants_mmio(r, VGA, 1, true, 0x66);
		wants_mmio(r, 0xbffff, 1, false, 0x77);
		wants_out(r, 0x10, 0x77);
		wants(r, EXIT_HLT);
		assert_int_equal(mem_reset(&r->mem), 0);
		assert_int_equal(mem_release(&r->mem, VGA, 0x20000), 0);
		r->ops->vcpu_reset(r->v);
		r->exit.reason = EXIT_INTR;
	}
}

/* RAM comes and goes in the window while the guest runs, as with SMRAM: mov %al, 0xa0000; out; the same; hlt */
static void window_opens_and_closes(void **state)
{
	uint8_t *host;
	struct gamut_page *p;

	RIG(r);
	p = mem_page_alloc(&r->mem, 1, (void **)&host);
	assert_non_null(p);
	PUT(r, CODE, 0xb0, 0x66, 0xa2, 0x00, 0x00, 0x0a, 0x00, 0xe6, 0x10, 0xa2, 0x00, 0x00, 0x0a, 0x00, 0xe6, 0x10, 0xa2,
	    0x00, 0x00, 0x0a, 0x00, 0xf4);
	flat(r, CODE);
	wants_mmio(r, VGA, 1, true, 0x66);
	wants_out(r, 0x10, 0x66);
	map(r, p, 0, VGA, GAMUT_PAGE_RAM);
	wants_out(r, 0x10, 0x66);
	assert_int_equal(host[0], 0x66);
	assert_int_equal(mem_page_unmap(&r->mem, p, 0), 0);
	wants_mmio(r, VGA, 1, true, 0x66);
	wants(r, EXIT_HLT);
	mem_page_free(&r->mem, p);
}

/* All ones are no instruction. An engine asks the bus, or knows. */
static void jump_into_nothing(void **state)
{
	RIG(r);
	flat(r, 0xe0000000);
	for (unsigned i = 0; i < 20; i++) {
		r->ops->vcpu_run(r->v, &r->exit);
		if (r->exit.reason != EXIT_MMIO)
			break;
		assert_false(r->exit.mmio.write);
		assert_in_range(r->exit.mmio.gpa, 0xe0000000, 0xe000000f);
		r->exit.mmio.data = UINT64_MAX;
	}
	assert_int_equal(r->exit.reason, EXIT_PIO);
	assert_int_equal(r->exit.pio.port, TRAP_PORT);
	wants(r, EXIT_HLT);
}

/* Code behind a device: every access arrives there, those of the code as well. */
static void code_on_a_device(void **state)
{
	/* mov 0xa0800, %al; out %al, $0x10; hlt */
	uint8_t window[0x1000] = { 0xa0, 0x00, 0x08, 0x0a, 0x00, 0xe6, 0x10, 0xf4 };

	RIG(r);
	window[0x800] = 0x99;
	flat(r, VGA);
	for (unsigned i = 0; i < 40; i++) {
		r->ops->vcpu_run(r->v, &r->exit);
		if (r->exit.reason != EXIT_MMIO)
			break;
		assert_in_range(r->exit.mmio.gpa, VGA, VGA + 0xfff);
		memcpy(&r->exit.mmio.data, window + (r->exit.mmio.gpa - VGA), r->exit.mmio.width);
	}
	assert_int_equal(r->exit.reason, EXIT_PIO);
	assert_int_equal(r->exit.pio.data & 0xff, 0x99);
}

#define BT(f) { "bt: " #f, f, setup_bt, teardown, NULL }
#define KVM(f) { "kvm: " #f, f, setup_kvm, teardown, NULL }

int main(void)
{
	const struct CMUnitTest tests[] = {
		BT(reset_vector),      KVM(reset_vector),      BT(shadow_ram),        KVM(shadow_ram),
		BT(vga_window),        KVM(vga_window),        BT(window_opens_and_closes),
		KVM(window_opens_and_closes), BT(jump_into_nothing), KVM(jump_into_nothing), BT(code_on_a_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
