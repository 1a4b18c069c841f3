/* SPDX-License-Identifier: MIT */
/* A guest with the memory map of diff.h, whose every exception ends in a hypercall. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diff.h"

static int accept_irq(void *opaque)
{
	struct guest *g = opaque;
	int vector = g->irq;

	g->irq = -1;
	return vector;
}

static int irq_is_pending(void *opaque)
{
	return ((struct guest *)opaque)->irq >= 0;
}

static void changed(void *opaque, uint64_t gpa, uint64_t len, bool remapped)
{
	engine_bt.mem_changed(((struct guest *)opaque)->vm, gpa, len, remapped);
}

bool guest_init(struct guest *g, const char *debug, bool shadow)
{
	struct engine_config config = { .vcpus = 1, .code_cache = 4u << 20, .debug = debug, .shadow = shadow };
	struct engine_vcpu_env env = { .opaque = g, .attention = &g->attention, .irq_accept = accept_irq,
				       .irq_pending = irq_is_pending };
	struct cpuid_entry *leaves = NULL;
	uint32_t n_leaves = 0;
	char err[160] = "";

	memset(g, 0, sizeof(*g));
	g->irq = -1;
	if (mem_init(&g->mem, RAM_SIZE, err, sizeof(err)) ||
	    engine_bt.vm_create(&g->vm, &g->mem, &config, err, sizeof(err)) ||
	    engine_bt.vcpu_create(g->vm, 0, &env, &g->vcpu, err, sizeof(err))) {
		fprintf(stderr, "bt-diff: %s\n", err);
		return false;
	}
	if (engine_bt.cpuid_supported(g->vm, &leaves, &n_leaves) || engine_bt.cpuid_set(g->vcpu, leaves, n_leaves)) {
		fprintf(stderr, "bt-diff: CPUID\n");
		return false;
	}
	free(leaves);
	g->mem.changed = changed;
	g->mem.changed_opaque = g;
	guest_layout(g);
	return true;
}

void guest_finish(struct guest *g)
{
	engine_bt.vcpu_destroy(g->vcpu);
	engine_bt.vm_destroy(g->vm);
	mem_finish(&g->mem);
}

/* ---- layout -------------------------------------------------------------------- */

void guest_put64(struct guest *g, uint64_t gpa, uint64_t value)
{
	mem_write(&g->mem, gpa, &value, 8);
}

/* Neighbours in linear memory are not neighbours in guest memory. */
uint64_t data_gpa(unsigned page)
{
	return DATA_GPA + (uint64_t)(DATA_PAGES - 1 - page) * 4096;
}

static uint64_t pde(uint64_t va)
{
	return 0x3000 + 8 * (va >> 21 & 511);
}

static void make_tables(struct guest *g)
{
	const uint64_t nx = 1ull << 63;

	guest_put64(g, 0x1000, 0x2000 | 7);
	guest_put64(g, 0x2000, 0x9000 | 7);
	guest_put64(g, 0x2000 + 8, 0x3000 | 7);
	guest_put64(g, 0x9000 + 8 * 511, 0x7000 | 7);
	guest_put64(g, pde(DATA_VA), PT_DATA | 7);
	guest_put64(g, pde(CODE_VA), PT_CODE | 7);
	guest_put64(g, pde(ALIAS_VA), 0x8000 | 7);
	guest_put64(g, pde(SYS_VA), PT_SYS | 7);
	guest_put64(g, 0x7000 + 8 * 511, RO_GPA | 5);
	for (unsigned i = 0; i < DATA_PAGES; i++)
		guest_put64(g, PT_DATA + 8 * i, data_gpa(i) | 7);
	for (unsigned i = 0; i < CODE_SIZE / 4096; i++) {
		guest_put64(g, PT_CODE + 8 * i, (CODE_GPA + i * 4096) | 7 | (i == 2 ? nx : 0));
		guest_put64(g, 0x8000 + 8 * i, (CODE_GPA + i * 4096) | 7 | nx);
	}
	for (unsigned i = 0; i < SYS_SIZE / 4096; i++)
		guest_put64(g, PT_SYS + 8 * i, (SYS_GPA + i * 4096) | 3);
	for (unsigned i = 0; i < TABLE_SIZE / 4096; i++)
		guest_put64(g, PT_SYS + 8 * (256 + i), (TABLE_GPA + i * 4096) | 3);
}

static void make_gate(struct guest *g, unsigned vector)
{
	uint64_t stub = SYS_VA + STUB_OFF + 16 * vector;
	unsigned dpl = vector == EXC_BP || vector == EXC_OF || vector >= 0x30 ? 0x60 : 0;

	guest_put64(g, SYS_GPA + IDT_OFF + 16 * vector,
		    (stub & 0xffff) | (uint64_t)SEL_KCS << 16 | (0x8e01ull | dpl << 8) << 32 |
			    (stub >> 16 & 0xffff) << 48);
	guest_put64(g, SYS_GPA + IDT_OFF + 16 * vector + 8, stub >> 32);
	mem_write(&g->mem, SYS_GPA + STUB_OFF + 16 * vector, "\x0f\x01\xc1\xf4", 4);
}

void guest_layout(struct guest *g)
{
	static const uint64_t gdt[] = { 0, 0, 0x00af9b000000ffffull, 0x00cf93000000ffffull, 0x00cffb000000ffffull,
					0x00cff3000000ffffull, 0x00affb000000ffffull };
	static const uint8_t zero[4096];

	for (uint64_t at = TABLE_GPA; at < TABLE_GPA + TABLE_SIZE; at += 4096)
		mem_write(&g->mem, at, zero, 4096);
	for (uint64_t at = SYS_GPA; at < SYS_GPA + SYS_SIZE; at += 4096)
		mem_write(&g->mem, at, zero, 4096);
	make_tables(g);
	for (unsigned i = 0; i < 0x32; i++) {
		if (i < 32 || i >= 0x30)
			make_gate(g, i);
	}
	mem_write(&g->mem, SYS_GPA + GDT_OFF, gdt, sizeof(gdt));
	guest_put64(g, SYS_GPA + GDT_OFF + SEL_TSS, 0x67 | ((SYS_VA + TSS_OFF) & 0xffffff) << 16 | 0x8bull << 40 |
							    (SYS_VA >> 24 & 0xff) << 56);
	guest_put64(g, SYS_GPA + TSS_OFF + 0x60, 0x68ull << 48); /* no I/O bitmap */
	guest_put64(g, SYS_GPA + TSS_OFF + 4, SYS_VA + STACK_OFF + 0x2000);
	guest_put64(g, SYS_GPA + TSS_OFF + 0x24, SYS_VA + STACK_OFF + 0x2000); /* IST 1 */
	memset(g->mem.base + RO_GPA, 0x5a, 4096);
}

/* ---- a user-mode case --------------------------------------------------------------- */

static void segment(struct gamut_vcpu_state *s, enum gamut_seg i, uint16_t selector, uint32_t attr)
{
	s->seg[i] = (struct gamut_segment){ .limit = UINT32_MAX, .selector = selector, .attr = attr };
}

static void small_segment(struct gamut_vcpu_state *s, enum gamut_seg i, uint16_t selector, uint64_t base, uint32_t limit,
			  uint32_t attr)
{
	s->seg[i] = (struct gamut_segment){ .base = base, .limit = limit, .selector = selector, .attr = attr };
}

void guest_state(struct gamut_vcpu_state *s, const struct state *start, enum insn_mode mode)
{
	memset(s, 0, sizeof(*s));
	s->size = sizeof(*s);
	memcpy(s->gpr, start->gpr, sizeof(s->gpr));
	s->rip = start->rip;
	s->rflags = start->rflags | 0x202;
	for (enum gamut_seg i = GAMUT_ES; i <= GAMUT_GS; i++)
		segment(s, i, 0, SEG_UNUSABLE);
	if (mode == MODE_32) {
		segment(s, GAMUT_DS, SEL_DS, 0xc0f3);
		segment(s, GAMUT_ES, SEL_DS, 0xc0f3);
	}
	segment(s, GAMUT_SS, SEL_DS, 0xc0f3);
	segment(s, GAMUT_CS, mode == MODE_64 ? SEL_CS64 : SEL_CS32, mode == MODE_64 ? 0xa0fb : 0xc0fb);
	if (mode == MODE_16) {
		small_segment(s, GAMUT_CS, SEL_CS16, CODE_VA, CODE_SIZE - 1, 0xfb);
		small_segment(s, GAMUT_DS, SEL_DS16, DATA_VA, DS16_LIMIT, 0xf3);
		small_segment(s, GAMUT_ES, SEL_DS16, DATA_VA, DS16_LIMIT, 0xf3);
		small_segment(s, GAMUT_SS, SEL_SS16, DATA_VA, DATA_SIZE - 1, 0xf3);
	}
	segment(s, GAMUT_LDTR, 0, SEG_UNUSABLE | 0x82);
	segment(s, GAMUT_TR, SEL_TSS, 0x8b);
	s->seg[GAMUT_TR].base = SYS_VA + TSS_OFF;
	s->seg[GAMUT_TR].limit = 0x67;
	s->gdt = (struct gamut_table){ .base = SYS_VA + GDT_OFF, .limit = SEL_TSS + 15 };
	s->idt = (struct gamut_table){ .base = SYS_VA + IDT_OFF, .limit = VECTORS * 16 - 1 };
	s->cr0 = 0x80050033;
	s->cr3 = 0x1000;
	s->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
	s->efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
	s->dr[6] = 0xffff0ff0;
	s->dr[7] = 0x400;
}

static uint64_t frame(struct guest *g, unsigned i, uint64_t rsp)
{
	uint64_t value = 0, off = rsp + 8ull * i - SYS_VA;

	mem_read(&g->mem, SYS_GPA + off, &value, 8);
	return value;
}

static bool has_error(int vector)
{
	return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
}

static void guest_end(struct guest *g, struct state *end)
{
	struct gamut_vcpu_state s = { .size = sizeof(s) };
	uint64_t rsp;
	unsigned e;

	engine_bt.vcpu_get(g->vcpu, &s);
	memcpy(end->gpr, s.gpr, sizeof(end->gpr));
	memcpy(end->fx, ((struct bt_vcpu *)g->vcpu)->fpu_area, FX_SIZE);
	end->rip = s.rip;
	end->rflags = s.rflags;
	end->vector = -2;
	end->cr2 = s.cr2;
	end->error = 0;
	if (s.rip - (SYS_VA + STUB_OFF) >= VECTORS * 16)
		return;
	end->vector = (int)((s.rip - (SYS_VA + STUB_OFF)) / 16);
	e = has_error(end->vector);
	rsp = s.gpr[RSP];
	if (e)
		end->error = frame(g, 0, rsp);
	end->rip = frame(g, e, rsp);
	end->rflags = frame(g, e + 2, rsp);
	end->gpr[RSP] = frame(g, e + 3, rsp);
}

bool guest_load(struct guest *g, const struct gamut_vcpu_state *s, const struct state *start)
{
	struct bt_vcpu *v = (struct bt_vcpu *)g->vcpu;

	if (engine_bt.vcpu_set(g->vcpu, s)) {
		fprintf(stderr, "bt-diff: vcpu_set refused the state\n");
		return false;
	}
	v->xcr0 = 7;
	v->exited = EXIT_INTR; /* the last case's hypercall needs no completion */
	bt_update_key(v);
	memcpy(v->fpu_area, start->fx, FX_SIZE);
	return true;
}

bool guest_run(struct guest *g, const struct gen *gen, const struct state *start, struct state *end)
{
	struct gamut_vcpu_state s;
	struct vcpu_exit exit = { .reason = EXIT_INTR };

	guest_state(&s, start, gen->mode);
	if (!guest_load(g, &s, start))
		return false;
	do
		engine_bt.vcpu_run(g->vcpu, &exit);
	while (exit.reason == EXIT_INTR);
	if (exit.reason != EXIT_HYPERCALL) {
		fprintf(stderr, "bt-diff: unexpected exit %d at %#" PRIx64 " %s\n", exit.reason, exit.rip,
			exit.reason == EXIT_ERROR ? exit.error.text : "");
		return false;
	}
	guest_end(g, end);
	return true;
}
