/* SPDX-License-Identifier: MIT */
/*
 * A VM of the kvm engine with 16 MiB of memory and one vCPU, for snippets of
 * guest code. What comes out is in rig->exit. The interrupt controller is a
 * list of vectors. Without /dev/kvm the tests are skipped.
 *
 * Real mode: code at RIG_CODE; the handler of every vector writes its number
 * to port RIG_TRAP_PORT and returns. Long mode: 4 GiB mapped one to one by
 * pages of 2 MiB, for the kernel alone, and the same handlers (of vectors
 * without error code).
 */
#ifndef KVM_RIG_H
#define KVM_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/kvm/kvm.h"

#define RIG_MEM 0x1000000ull
#define RIG_CODE 0x1000u
#define RIG_HANDLERS 0x2000u /* 16 bytes each */
#define RIG_STACK 0x7000u
#define RIG_DATA 0x8000u
#define RIG_PML4 0x10000u
#define RIG_PDPT 0x11000u
#define RIG_PD 0x12000u /* 4 of them */
#define RIG_GDT 0x18000u
#define RIG_IDT 0x19000u
#define RIG_HANDLERS64 0x20000u /* 16 bytes each */
#define RIG_TRAP_PORT 0x99
#define RIG_HOLE 0xe0000000ull
#define RIG_WAIT_S 20u /* no snippet takes long; a host that hangs in one ends the test */

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10 };

struct rig {
	struct mem mem;
	struct engine_vm *vm;
	struct engine_vcpu *v;
	struct vcpu_exit exit;
	struct gamut_vcpu_state state;
	_Atomic uint32_t attention;
	int vectors[8]; /* pending, in order; ends with -1 */
	unsigned accepted;
	bool cr8_outside;
	uint64_t cr8;
	unsigned cr8_writes;
};

static inline int rig_accept(void *opaque)
{
	struct rig *r = opaque;
	int vector = r->vectors[0];

	if (vector >= 0) {
		memmove(r->vectors, r->vectors + 1, sizeof(r->vectors) - sizeof(r->vectors[0]));
		r->accepted++;
	}
	return vector;
}

static inline int rig_pending(void *opaque)
{
	return ((struct rig *)opaque)->vectors[0] >= 0;
}

static inline void rig_changed(void *opaque, uint64_t gpa, uint64_t len, bool remapped)
{
	engine_kvm.mem_changed(((struct rig *)opaque)->vm, gpa, len, remapped);
}

static inline uint64_t rig_cr8_read(void *opaque)
{
	return ((struct rig *)opaque)->cr8;
}

static inline void rig_cr8_write(void *opaque, uint64_t value)
{
	struct rig *r = opaque;

	r->cr8 = value;
	r->cr8_writes++;
}

/* Before anything else in a test. */
#define RIG(r)                            \
	struct rig *r = *state;           \
	if (!(r))                         \
	skip()

static inline int rig_setup_cpus(void **state, uint32_t vcpus)
{
	struct engine_config config = { .vcpus = vcpus };
	struct engine_caps caps;
	struct engine_vcpu_env env;
	char err[256];
	struct rig *r;

	*state = NULL;
	if (!engine_kvm.probe(&caps, err, sizeof(err))) {
		print_message("skipped: %s\n", err);
		return 0;
	}
	alarm(RIG_WAIT_S);
	r = calloc(1, sizeof(*r));
	memset(r->vectors, -1, sizeof(r->vectors));
	assert_int_equal(mem_init(&r->mem, RIG_MEM, err, sizeof(err)), 0);
	if (engine_kvm.vm_create(&r->vm, &r->mem, &config, err, sizeof(err)))
		fail_msg("%s", err);
	r->mem.changed = rig_changed;
	r->mem.changed_opaque = r;
	env = (struct engine_vcpu_env){
		.opaque = r,
		.attention = &r->attention,
		.irq_accept = rig_accept,
		.irq_pending = rig_pending,
		.cr8_outside = &r->cr8_outside,
		.cr8_read = rig_cr8_read,
		.cr8_write = rig_cr8_write,
	};
	if (engine_kvm.vcpu_create(r->vm, 0, &env, &r->v, err, sizeof(err)))
		fail_msg("%s", err);
	r->state.size = sizeof(r->state);
	*state = r;
	return 0;
}

static inline int rig_setup(void **state)
{
	return rig_setup_cpus(state, 1);
}

static inline int rig_teardown(void **state)
{
	struct rig *r = *state;

	alarm(0);
	if (!r)
		return 0;
	engine_kvm.vcpu_destroy(r->v);
	engine_kvm.vm_destroy(r->vm);
	mem_finish(&r->mem);
	free(r);
	return 0;
}

#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

/* ---- memory ------------------------------------------------------------------- */

static inline uint8_t *rig_at(struct rig *r, uint64_t gpa)
{
	return r->mem.base + gpa;
}

static inline uint64_t rig_get64(struct rig *r, uint64_t gpa)
{
	uint64_t value;

	memcpy(&value, rig_at(r, gpa), 8);
	return value;
}

static inline void rig_put64(struct rig *r, uint64_t gpa, uint64_t value)
{
	memcpy(rig_at(r, gpa), &value, 8);
}

#define RIG_BYTES(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })

static inline void rig_code(struct rig *r, const uint8_t *code, size_t n)
{
	memcpy(rig_at(r, RIG_CODE), code, n);
}

/* ---- modes ---------------------------------------------------------------------- */

static inline void rig_set(struct rig *r)
{
	assert_int_equal(engine_kvm.vcpu_set(r->v, &r->state), 0);
}

static inline void rig_fetch(struct rig *r)
{
	assert_int_equal(engine_kvm.vcpu_get(r->v, &r->state), 0);
}

/* From 0, with handlers for all vectors. */
static inline void rig_real(struct rig *r, const uint8_t *code, size_t n)
{
	rig_fetch(r);
	for (unsigned i = 0; i < 256; i++) {
		/* push ax; mov al, i; out port, al; pop ax; iret */
		const uint8_t handler[] = { 0x50, 0xb0, (uint8_t)i, 0xe6, RIG_TRAP_PORT, 0x58, 0xcf };
		uint32_t at = RIG_HANDLERS + i * 16;

		memcpy(rig_at(r, at), handler, sizeof(handler));
		memcpy(rig_at(r, i * 4ull), &at, 4); /* segment 0 */
	}
	for (unsigned i = 0; i < 6; i++) {
		r->state.seg[i].base = 0;
		r->state.seg[i].selector = 0;
	}
	r->state.rip = RIG_CODE;
	r->state.rflags = 2;
	r->state.gpr[RSP] = RIG_STACK;
	rig_set(r);
	rig_code(r, code, n);
}

static inline void rig_tables(struct rig *r)
{
	rig_put64(r, RIG_PML4, RIG_PDPT | 3);
	for (unsigned i = 0; i < 4; i++)
		rig_put64(r, RIG_PDPT + i * 8, (RIG_PD + i * PAGE_SIZE) | 3);
	for (uint64_t i = 0; i < 2048; i++)
		rig_put64(r, RIG_PD + i * 8, i << 21 | 0x83);
}

/* Interrupt gates for all vectors, to 64-bit code at level 0. */
static inline void rig_gates(struct rig *r)
{
	rig_put64(r, RIG_GDT + 8, 0x00af9b000000ffff);
	rig_put64(r, RIG_GDT + 16, 0x00cf93000000ffff);
	for (unsigned i = 0; i < 256; i++) {
		/* push rax; mov al, i; out port, al; pop rax; iretq */
		const uint8_t handler[] = { 0x50, 0xb0, (uint8_t)i, 0xe6, RIG_TRAP_PORT, 0x58, 0x48, 0xcf };
		uint64_t at = RIG_HANDLERS64 + i * 16;

		memcpy(rig_at(r, at), handler, sizeof(handler));
		rig_put64(r, RIG_IDT + i * 16, (at & 0xffff) | 8ull << 16 | 0x8e00ull << 32 | (at >> 16) << 48);
		rig_put64(r, RIG_IDT + i * 16 + 8, 0);
	}
	r->state.gdt = (struct gamut_table){ .base = RIG_GDT, .limit = 23 };
	r->state.idt = (struct gamut_table){ .base = RIG_IDT, .limit = 0xfff };
}

static inline void rig_long(struct rig *r, const uint8_t *code, size_t n)
{
	struct gamut_segment data = { .limit = UINT32_MAX, .selector = 16, .attr = 0xc093 };

	rig_tables(r);
	rig_fetch(r);
	rig_gates(r);
	for (unsigned i = 0; i < 6; i++)
		r->state.seg[i] = data;
	r->state.seg[GAMUT_CS].attr = 0xa09b;
	r->state.seg[GAMUT_CS].selector = 8;
	r->state.seg[GAMUT_TR] = (struct gamut_segment){ .limit = 0x67, .attr = 0x8b };
	r->state.cr0 = 0x80010031;
	r->state.cr3 = RIG_PML4;
	r->state.cr4 = 0x620;
	r->state.efer = 0xd01; /* NXE LMA LME SCE */
	r->state.rip = RIG_CODE;
	r->state.rflags = 2;
	r->state.gpr[RSP] = RIG_STACK;
	rig_set(r);
	rig_code(r, code, n);
}

/* ---- running ----------------------------------------------------------------------- */

static inline void rig_run(struct rig *r)
{
	engine_kvm.vcpu_run(r->v, &r->exit);
	if (r->exit.reason == EXIT_ERROR)
		print_message("%s\n", r->exit.error.text);
}

static inline void rig_wants(struct rig *r, enum exit_reason reason)
{
	rig_run(r);
	assert_int_equal(r->exit.reason, reason);
}

static inline void rig_wants_out(struct rig *r, uint16_t port, uint8_t width, uint32_t data)
{
	rig_wants(r, EXIT_PIO);
	assert_true(r->exit.pio.write);
	assert_int_equal(r->exit.pio.port, port);
	assert_int_equal(r->exit.pio.width, width);
	assert_int_equal(r->exit.pio.data, data);
}

static inline void rig_wants_in(struct rig *r, uint16_t port, uint8_t width, uint32_t answer)
{
	rig_wants(r, EXIT_PIO);
	assert_false(r->exit.pio.write);
	assert_int_equal(r->exit.pio.port, port);
	assert_int_equal(r->exit.pio.width, width);
	r->exit.pio.data = answer;
}

/* The handler of a vector has been entered (real mode). */
static inline void rig_wants_vector(struct rig *r, uint8_t vector)
{
	rig_wants_out(r, RIG_TRAP_PORT, 1, vector);
}

#endif
