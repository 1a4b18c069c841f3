/* SPDX-License-Identifier: MIT */
/*
 * A vCPU of the bt engine without the translator: 16 MiB of guest memory, a
 * GDT, IDT and TSS at fixed places, and identity page tables on demand. The
 * four services of the code cache are counted instead of done.
 */
#ifndef BT_RIG_H
#define BT_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "engine/bt/decode.h"
#include "engine/bt/exception.h"
#include "engine/bt/fpu.h"
#include "engine/bt/interp.h"
#include "engine/bt/mmu.h"
#include "engine/bt/segment.h"
#include "engine/bt/shadow.h"
#include "engine/bt/sys.h"

#define RIG_MEM 0x1000000ull
/* Guest physical places; identity-mapped. */
#define RIG_PML4 0x1000u
#define RIG_PDPT 0x2000u
#define RIG_PD 0x3000u
#define RIG_PT 0x4000u
#define RIG_GDT 0x8000u
#define RIG_IDT 0x9000u
#define RIG_TSS 0xa000u
#define RIG_TSS2 0xb000u
#define RIG_STACK 0x20000u  /* top */
#define RIG_STACK0 0x28000u /* of level 0, in the TSS */
#define RIG_IST1 0x2c000u
#define RIG_DATA 0x40000u

/* Selectors. */
enum {
	SEL_CODE64 = 0x08, SEL_DATA = 0x10, SEL_CODE32 = 0x18, SEL_UDATA = 0x20 | 3, SEL_UCODE64 = 0x28 | 3,
	SEL_UCODE32 = 0x30 | 3, SEL_TSS = 0x38, /* 16 bytes */ SEL_FREE = 0x48
};

struct rig {
	struct bt_vcpu *v;
	struct mem mem;
	struct vcpu_exit exit;
	_Atomic uint32_t attention;
	struct gamut_vcpu_state state;
	/* calls of the code cache */
	unsigned jc_flushes, jc_flush_globals, jc_class_flushes[2], jc_pages, invalidations;
	uint64_t invalidated_gpa;
	bool covers;
	struct shadow *shadow; /* of a rig that was made while rig_with_shadow was set */
};

static bool rig_with_shadow;

static struct rig *rig_of; /* the rig of the running test: the code cache's services have no other way to it */

void bt_code_invalidate(struct bt_vcpu *v, uint64_t gpa, uint32_t len) __attribute__((weak));
bool bt_code_covers(struct bt_vcpu *v, uint64_t gpa, uint32_t len) __attribute__((weak));
void jc_flush(struct bt_vcpu *v, bool global) __attribute__((weak));
void jc_flush_class(struct bt_vcpu *v, unsigned class, bool global) __attribute__((weak));
void jc_flush_page(struct bt_vcpu *v, uint64_t va) __attribute__((weak));

void bt_code_invalidate(struct bt_vcpu *v, uint64_t gpa, uint32_t len)
{
	(void)v;
	(void)len;
	rig_of->invalidations++;
	rig_of->invalidated_gpa = gpa;
}

bool bt_code_covers(struct bt_vcpu *v, uint64_t gpa, uint32_t len)
{
	(void)v;
	(void)gpa;
	(void)len;
	return rig_of->covers;
}

void jc_flush(struct bt_vcpu *v, bool global)
{
	for (unsigned class = 0; class < 2; class++) {
		v->itlb_gen[class][0]++;
		v->itlb_gen[class][1] += global;
	}
	rig_of->jc_flushes++;
	rig_of->jc_flush_globals += global;
}

void jc_flush_class(struct bt_vcpu *v, unsigned class, bool global)
{
	v->itlb_gen[class][0]++;
	v->itlb_gen[class][1] += global;
	rig_of->jc_class_flushes[class]++;
}

void jc_flush_page(struct bt_vcpu *v, uint64_t va)
{
	for (unsigned class = 0; class < 2; class++)
		v->itlb[class][va >> PAGE_SHIFT & 255].gen = 0;
	rig_of->jc_pages++;
}

static inline uint8_t *rig_at(struct rig *r, uint64_t gpa)
{
	return r->mem.base + gpa;
}

/* As another thread of the host would: the engine hears of it. */
static inline void rig_put64(struct rig *r, uint64_t gpa, uint64_t value)
{
	memcpy(rig_at(r, gpa), &value, 8);
	if (r->v->spt)
		shadow_changed(r->v, gpa, false);
}

static inline void rig_put32(struct rig *r, uint64_t gpa, uint32_t value)
{
	memcpy(rig_at(r, gpa), &value, 4);
	if (r->v->spt)
		shadow_changed(r->v, gpa, false);
}

static inline uint64_t rig_get64(struct rig *r, uint64_t gpa)
{
	uint64_t value;

	memcpy(&value, rig_at(r, gpa), 8);
	return value;
}

static inline uint32_t rig_get32(struct rig *r, uint64_t gpa)
{
	return (uint32_t)rig_get64(r, gpa);
}

static inline uint64_t rig_desc(uint32_t base, uint32_t limit, uint32_t attr)
{
	return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)(attr & 0xff) << 40 |
	       (uint64_t)(limit >> 16 & 15) << 48 | (uint64_t)(attr >> 12 & 15) << 52 | (uint64_t)(base >> 24) << 56;
}

/* Writes descriptor `selector`; limit in the unit of attr's G. */
static inline void rig_gdt(struct rig *r, unsigned selector, uint32_t base, uint32_t limit, uint32_t attr)
{
	rig_put64(r, RIG_GDT + (selector & 0xfff8), rig_desc(base, limit, attr));
}

/* Segment register contents as a load of the descriptor would make them. */
static inline struct gamut_segment rig_seg(struct rig *r, unsigned selector)
{
	uint64_t raw = rig_get64(r, RIG_GDT + (selector & 0xfff8));
	struct desc d = { .lo = (uint32_t)raw, .hi = (uint32_t)(raw >> 32) };

	return desc_segment(&d, (uint16_t)selector);
}

/* type: of the gate; dpl and present in attr form: 0x8e = present interrupt gate of DPL 0. */
static inline void rig_gate64(struct rig *r, unsigned vector, uint16_t selector, uint64_t offset, unsigned access,
                              unsigned ist)
{
	rig_put64(r, RIG_IDT + vector * 16,
	          (offset & 0xffff) | (uint64_t)selector << 16 | (uint64_t)ist << 32 | (uint64_t)access << 40 |
	                  (offset >> 16 & 0xffff) << 48);
	rig_put64(r, RIG_IDT + vector * 16 + 8, offset >> 32);
}

static inline void rig_gate32(struct rig *r, unsigned vector, uint16_t selector, uint32_t offset, unsigned access)
{
	rig_put64(r, RIG_IDT + vector * 8,
	          (offset & 0xffff) | (uint64_t)selector << 16 | (uint64_t)access << 40 | (uint64_t)(offset >> 16) << 48);
}

static inline void rig_lists(struct bt_vcpu *v, bool on)
{
	for (int t = 0; t < 2; t++)
		for (int g = 0; g < 2; g++) {
			if (on)
				v->tlb_list[t][g] = calloc(TLB_SIZE, sizeof(uint16_t));
			else
				free(v->tlb_list[t][g]);
		}
}

static inline void rig_tables(struct rig *r)
{
	rig_gdt(r, SEL_CODE64, 0, 0xfffff, 0xa09b);
	rig_gdt(r, SEL_DATA, 0, 0xfffff, 0xc093);
	rig_gdt(r, SEL_CODE32, 0, 0xfffff, 0xc09b);
	rig_gdt(r, SEL_UDATA, 0, 0xfffff, 0xc0f3);
	rig_gdt(r, SEL_UCODE64, 0, 0xfffff, 0xa0fb);
	rig_gdt(r, SEL_UCODE32, 0, 0xfffff, 0xc0fb);
	rig_gdt(r, SEL_TSS, RIG_TSS, 0x2067, 0x008b);
	rig_put64(r, RIG_PML4, RIG_PDPT | 7);
	rig_put64(r, RIG_PDPT, RIG_PD | 7);
	rig_put64(r, RIG_PD, RIG_PT | 7);
	for (unsigned i = 0; i < 512; i++)
		rig_put64(r, RIG_PT + i * 8, i * 4096u | 7);
	for (unsigned i = 1; i < 8; i++)
		rig_put64(r, RIG_PD + i * 8, i * 0x200000u | 0x87);
}

static inline struct rig *rig_create(void)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct bt_vcpu *v = aligned_alloc(4096, sizeof(*v));

	assert_non_null(r);
	assert_non_null(v);
	memset(v, 0, sizeof(*v));
	r->v = v;
	rig_of = r;
	for (unsigned class = 0; class < 2; class++)
		v->itlb_gen[class][0] = v->itlb_gen[class][1] = 1;
	r->mem.base = mmap(NULL, RIG_MEM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(r->mem.base, MAP_FAILED);
	r->mem.limit = RIG_MEM;
	r->mem.kind = malloc(RIG_MEM >> PAGE_SHIFT);
	r->mem.code = calloc(RIG_MEM >> PAGE_SHIFT, 1);
	memset(r->mem.kind, MEM_RAM, RIG_MEM >> PAGE_SHIFT);
	v->mem = &r->mem;
	v->exit = &r->exit;
	v->env = &v->env_copy;
	v->env_copy.attention = &r->attention;
	rig_lists(v, true);
	assert_int_equal(cpuid_build(&v->cpuid, &v->n_cpuid), 0);
	assert_int_equal(fpu_init(v), 0);
	tlb_init(v);
	if (rig_with_shadow) {
		r->shadow = shadow_create(&r->mem, 0);
		assert_non_null(r->shadow);
		assert_int_equal(shadow_attach(v, r->shadow), 0);
	}
	sys_reset(v);
	rig_tables(r);
	return r;
}

static inline void rig_destroy(struct rig *r)
{
	shadow_detach(r->v);
	shadow_destroy(r->shadow);
	fpu_finish(r->v);
	rig_lists(r->v, false);
	free(r->v->cpuid);
	free(r->v);
	free(r->mem.kind);
	free((void *)r->mem.code);
	munmap(r->mem.base, RIG_MEM);
	free(r);
	rig_of = NULL;
}

/* Fills r->state for a mode; rig_enter applies it (so that a test can change it before). */
static inline void rig_state(struct rig *r, bool long_mode, unsigned cpl)
{
	struct gamut_vcpu_state *s = &r->state;
	unsigned data = cpl == 3 ? SEL_UDATA : SEL_DATA;
	unsigned code = long_mode ? (cpl == 3 ? SEL_UCODE64 : SEL_CODE64) : cpl == 3 ? SEL_UCODE32 : SEL_CODE32;

	memset(s, 0, sizeof(*s));
	s->size = sizeof(*s);
	s->rip = 0x30000;
	s->rflags = 2;
	s->gpr[RSP] = RIG_STACK;
	s->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_WP | (long_mode ? CR0_PG : 0);
	s->cr4 = long_mode ? CR4_PAE : 0;
	s->cr3 = RIG_PML4;
	s->efer = long_mode ? EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE : 0;
	for (int i = GAMUT_ES; i <= GAMUT_GS; i++)
		s->seg[i] = rig_seg(r, i == GAMUT_CS ? code : data);
	s->seg[GAMUT_LDTR].attr = SEG_UNUSABLE;
	s->seg[GAMUT_TR] = rig_seg(r, SEL_TSS);
	s->gdt = (struct gamut_table){ .base = RIG_GDT, .limit = 0xfff };
	s->idt = (struct gamut_table){ .base = RIG_IDT, .limit = 0xfff };
	s->dr[6] = 0xffff0ff0;
	s->dr[7] = 0x400;
}

static inline void rig_enter(struct rig *r)
{
	assert_int_equal(sys_set_state(r->v, &r->state), 0);
}

static inline void rig_long(struct rig *r, unsigned cpl)
{
	rig_state(r, true, cpl);
	rig_enter(r);
}

static inline void rig_protected(struct rig *r, unsigned cpl)
{
	rig_state(r, false, cpl);
	rig_enter(r);
}

static inline int rig_setup(void **state)
{
	*state = rig_create();
	return 0;
}

static inline int rig_teardown(void **state)
{
	rig_destroy(*state);
	return 0;
}

/* The same tests with the guest's tables walked each time, and with shadows of them. */
#define RIG_RUN_BOTH(tests)                                                                          \
	(rig_with_shadow = true, cmocka_run_group_tests_name("shadow", tests, NULL, NULL) +           \
	                                 (rig_with_shadow = false,                                    \
	                                  cmocka_run_group_tests_name("hap", tests, NULL, NULL)))

#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

/* v->exc is what a fault should be. */
#define assert_fault(v, step, vec, err)                                                                       \
	do {                                                                                                  \
		assert_int_equal(step, STEP_FAULT);                                                           \
		assert_int_equal((v)->exc.vector, vec);                                                       \
		assert_true((v)->exc.has_error);                                                              \
		assert_int_equal((v)->exc.error, err);                                                        \
	} while (0)

#endif
