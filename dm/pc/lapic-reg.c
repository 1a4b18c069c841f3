/* SPDX-License-Identifier: MIT */
/*
 * The register file: one const table by register number, which is the offset
 * in the page / 16 and the MSR - 0x800.
 *
 * The two ways in differ in manners. The page never faults: what does not exist
 * reads as zero, is ignored, and sets "illegal register" in ESR; reserved bits
 * are dropped. An MSR faults for all of that.
 */
#include "dm/pc/lapic-internal.h"

#include <errno.h>
#include <stddef.h>

/* Where a register exists, and what may be done to it. */
enum { PAGE = 1, PAGE_WRITE = 2, MSR_READ = 4, MSR_WRITE = 8, UNLOCKED = 16 };

#define READ (PAGE | MSR_READ)
#define WRITE (PAGE_WRITE | MSR_WRITE)
#define BOTH (READ | WRITE)

struct reg {
	uint8_t flags;
	uint64_t mask; /* bits that software sets */
	uint64_t (*read)(struct lapic *a, uint32_t reg);
	/* Locked, unless UNLOCKED; value is within the mask. */
	void (*write)(struct lapic *a, uint32_t reg, uint64_t value);
};

#define REG_SVR 0x0fu
#define REG_ICR 0x30u
#define REG_SELF_IPI 0x3fu
#define REG_LVT 0x32u

#define ICR_MASK 0xccfffu /* vector, mode, logical; assert, level; shorthand */

static uint32_t load(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static void store(uint32_t *word, uint64_t value)
{
	__atomic_store_n(word, (uint32_t)value, __ATOMIC_SEQ_CST);
}

/* ---- identity ---- */

static uint64_t read_id(struct lapic *a, uint32_t reg)
{
	(void)reg;
	return lapic_x2(a) ? lapic_id(a) : load(&a->id) << 24;
}

static void write_id(struct lapic *a, uint32_t reg, uint64_t value)
{
	(void)reg;
	store(&a->id, value >> 24);
}

static uint64_t read_version(struct lapic *a, uint32_t reg)
{
	(void)reg;
	return LAPIC_VERSION | (a->set->suppress_eoi ? LAPIC_VERSION_SUPPRESS : 0);
}

uint32_t lapic_ldr(const struct lapic *a)
{
	uint32_t id = lapic_id(a);

	return lapic_x2(a) ? id >> 4 << 16 | 1u << (id & 15) : load(&a->ldr);
}

static uint64_t read_ldr(struct lapic *a, uint32_t reg)
{
	(void)reg;
	return lapic_ldr(a);
}

static void write_ldr(struct lapic *a, uint32_t reg, uint64_t value)
{
	(void)reg;
	store(&a->ldr, value);
}

static uint64_t read_dfr(struct lapic *a, uint32_t reg)
{
	(void)reg;
	return load(&a->dfr);
}

static void write_dfr(struct lapic *a, uint32_t reg, uint64_t value)
{
	(void)reg;
	store(&a->dfr, value | 0x0fffffff);
}

/* ---- priorities and service ---- */

static uint64_t read_zero(struct lapic *a, uint32_t reg)
{
	(void)a;
	(void)reg;
	return 0;
}

static uint64_t read_tpr(struct lapic *a, uint32_t reg)
{
	(void)reg;
	return load(&a->tpr);
}

static void write_tpr(struct lapic *a, uint32_t reg, uint64_t value)
{
	(void)reg;
	store(&a->tpr, value);
	lapic_recheck(a);
}

static uint64_t read_ppr(struct lapic *a, uint32_t reg)
{
	(void)reg;
	return lapic_ppr(a);
}

static void write_eoi(struct lapic *a, uint32_t reg, uint64_t value)
{
	(void)reg;
	(void)value;
	lapic_eoi(a);
}

static uint64_t read_svr(struct lapic *a, uint32_t reg)
{
	(void)reg;
	return load(&a->svr);
}

/* Disabled, all entries are masked and stay so; what is requested or in service waits. */
static void write_svr(struct lapic *a, uint32_t reg, uint64_t value)
{
	(void)reg;
	store(&a->svr, value);
	for (int i = 0; i < LVT_COUNT && !(value & SVR_ENABLE); i++)
		lapic_set_lvt(a, i, a->lvt[i] | LVT_MASKED);
	lapic_recheck(a);
}

static uint64_t read_isr(struct lapic *a, uint32_t reg)
{
	return load(&a->isr[reg & 7]);
}

static uint64_t read_tmr(struct lapic *a, uint32_t reg)
{
	return load(&a->tmr[reg & 7]);
}

static uint64_t read_irr(struct lapic *a, uint32_t reg)
{
	return load(&a->irr[reg & 7]);
}

/* ---- errors ---- */

static uint64_t read_esr(struct lapic *a, uint32_t reg)
{
	(void)reg;
	return a->esr;
}

/* A write, whatever its value, latches what has come up since the last. */
static void write_esr(struct lapic *a, uint32_t reg, uint64_t value)
{
	(void)reg;
	(void)value;
	a->esr = a->errors;
	a->errors = 0;
}

/* ---- messages ---- */

static uint64_t read_icr(struct lapic *a, uint32_t reg)
{
	(void)reg;
	return a->icr;
}

static uint64_t read_icr_high(struct lapic *a, uint32_t reg)
{
	(void)reg;
	return a->icr >> 32;
}

static void write_icr(struct lapic *a, uint32_t reg, uint64_t value)
{
	bool x2 = lapic_x2(a);

	(void)reg;
	pthread_mutex_lock(&a->lock);
	a->icr = x2 ? value : (a->icr & ~(uint64_t)UINT32_MAX) | (uint32_t)value;
	value = a->icr;
	pthread_mutex_unlock(&a->lock);
	lapic_send(a, value, x2);
}

static void write_icr_high(struct lapic *a, uint32_t reg, uint64_t value)
{
	(void)reg;
	a->icr = value << 32 | (uint32_t)a->icr;
}

static void write_self_ipi(struct lapic *a, uint32_t reg, uint64_t value)
{
	(void)reg;
	lapic_send(a, 1u << 18 | value, true);
}

/* ---- local vector table and timer ---- */

static uint64_t read_lvt(struct lapic *a, uint32_t reg)
{
	return a->lvt[reg - REG_LVT];
}

static void write_lvt(struct lapic *a, uint32_t reg, uint64_t value)
{
	if (!(load(&a->svr) & SVR_ENABLE))
		value |= LVT_MASKED;
	lapic_set_lvt(a, reg - REG_LVT, (uint32_t)value);
}

/* A level that is being served is still being served. */
static void write_lint(struct lapic *a, uint32_t reg, uint64_t value)
{
	if (value & LVT_LEVEL)
		value |= a->lvt[reg - REG_LVT] & LVT_REMOTE_IRR;
	write_lvt(a, reg, value);
	lapic_lint_recheck(a);
}

static void write_lvt_timer(struct lapic *a, uint32_t reg, uint64_t value)
{
	uint32_t old = a->lvt[LVT_TIMER] & LVT_TIMER_MODE;

	lapic_timer_catch_up(a);
	write_lvt(a, reg, value);
	lapic_timer_mode(a, old);
}

static uint64_t read_initial(struct lapic *a, uint32_t reg)
{
	(void)reg;
	return a->initial;
}

static void write_initial(struct lapic *a, uint32_t reg, uint64_t value)
{
	(void)reg;
	lapic_timer_set_initial(a, (uint32_t)value);
}

static uint64_t read_current(struct lapic *a, uint32_t reg)
{
	(void)reg;
	return lapic_timer_current(a);
}

static uint64_t read_divide(struct lapic *a, uint32_t reg)
{
	(void)reg;
	return a->divide;
}

static void write_divide(struct lapic *a, uint32_t reg, uint64_t value)
{
	(void)reg;
	lapic_timer_set_divide(a, (uint32_t)value);
}

/* ---- the table ---- */

#define LVT_SOURCE (LVT_VECTOR | 0x700 | LVT_MASKED)
#define LVT_PIN (LVT_SOURCE | 0xa000) /* polarity, trigger mode */
#define REG_LINT0 0x35u
#define REG_LVT_END 0x38u
#define WORD UINT32_MAX

static const struct reg regs[0x40] = {
	[0x02] = { READ | PAGE_WRITE, 0xff000000, read_id, write_id },
	[0x03] = { READ, 0, read_version, NULL },
	[0x08] = { BOTH, 0xff, read_tpr, write_tpr },
	[0x09] = { PAGE, 0, read_zero, NULL }, /* arbitration: not since the Pentium III */
	[0x0a] = { READ, 0, read_ppr, NULL },
	[0x0b] = { PAGE | WRITE | UNLOCKED, 0, read_zero, write_eoi },
	[0x0c] = { PAGE, 0, read_zero, NULL }, /* remote read: neither */
	[0x0d] = { READ | PAGE_WRITE, 0xff000000, read_ldr, write_ldr },
	[0x0e] = { PAGE | PAGE_WRITE, 0xf0000000, read_dfr, write_dfr },
	[REG_SVR] = { BOTH, 0x3ff | SVR_SUPPRESS, read_svr, write_svr }, /* bit 9, focus checking, is kept and means nothing */
	[0x10 ... 0x17] = { READ, 0, read_isr, NULL },
	[0x18 ... 0x1f] = { READ, 0, read_tmr, NULL },
	[0x20 ... 0x27] = { READ, 0, read_irr, NULL },
	[0x28] = { BOTH, 0, read_esr, write_esr },
	[REG_ICR] = { BOTH | UNLOCKED, (uint64_t)WORD << 32 | ICR_MASK, read_icr, write_icr },
	[0x31] = { PAGE | PAGE_WRITE, 0xff000000, read_icr_high, write_icr_high },
	[0x32] = { BOTH, LVT_VECTOR | LVT_MASKED | LVT_TIMER_MODE, read_lvt, write_lvt_timer },
	[0x33] = { BOTH, LVT_SOURCE, read_lvt, write_lvt },
	[0x34] = { BOTH, LVT_SOURCE, read_lvt, write_lvt },
	[REG_LINT0] = { BOTH, LVT_PIN, read_lvt, write_lint },
	[0x36] = { BOTH, LVT_PIN, read_lvt, write_lint },
	[0x37] = { BOTH, LVT_VECTOR | LVT_MASKED, read_lvt, write_lvt },
	[0x38] = { BOTH, WORD, read_initial, write_initial },
	[0x39] = { READ, 0, read_current, NULL },
	[0x3e] = { BOTH, 0xb, read_divide, write_divide },
	[REG_SELF_IPI] = { MSR_WRITE | UNLOCKED, 0xff, NULL, write_self_ipi },
};

/* Bits of a register that depend on what is offered. */
static uint64_t mask_of(const struct lapic *a, uint32_t reg)
{
	uint64_t mask = regs[reg].mask;

	if (reg == REG_SVR && !a->set->suppress_eoi)
		mask &= ~(uint64_t)SVR_SUPPRESS;
	return reg == REG_LVT && !a->set->tsc_deadline ? mask & ~(uint64_t)LVT_TIMER_DEADLINE : mask;
}

/*
 * Bits that are read-only rather than reserved, so that writing them is no
 * fault in x2APIC mode: Linux leaves its APIC with both of LINT0's set.
 */
static uint64_t read_only_of(uint32_t reg)
{
	if (reg < REG_LVT || reg >= REG_LVT_END)
		return 0;
	return LVT_STATUS | (regs[reg].write == write_lint ? LVT_REMOTE_IRR : 0);
}

/* With the page, "illegal register" is what tells the guest. */
static int no_such(struct lapic *a, bool x2)
{
	if (x2)
		return -EPERM;
	pthread_mutex_lock(&a->lock);
	lapic_error(a, ESR_REGISTER);
	pthread_mutex_unlock(&a->lock);
	return -EPERM;
}

int lapic_read_reg(struct lapic *a, uint32_t reg, bool x2, uint64_t *value)
{
	lapic_pv_eoi_sync(a);
	if (reg >= sizeof(regs) / sizeof(regs[0]) || !(regs[reg].flags & (x2 ? MSR_READ : PAGE)))
		return no_such(a, x2);
	pthread_mutex_lock(&a->lock);
	*value = regs[reg].read(a, reg);
	pthread_mutex_unlock(&a->lock);
	if (!x2)
		*value = (uint32_t)*value;
	return 0;
}

int lapic_write_reg(struct lapic *a, uint32_t reg, bool x2, uint64_t value)
{
	const struct reg *r;

	lapic_pv_eoi_sync(a);
	if (reg >= sizeof(regs) / sizeof(regs[0]) || !(regs[reg].flags & (x2 ? MSR_WRITE : PAGE)))
		return no_such(a, x2);
	r = &regs[reg];
	/* A read-only register of the page exists and ignores it. */
	if (!(r->flags & (x2 ? MSR_WRITE : PAGE_WRITE)))
		return 0;
	if (x2 && value & ~(mask_of(a, reg) | read_only_of(reg)))
		return -EPERM;
	value &= mask_of(a, reg);
	if (r->flags & UNLOCKED) {
		r->write(a, reg, value);
		return 0;
	}
	pthread_mutex_lock(&a->lock);
	r->write(a, reg, value);
	pthread_mutex_unlock(&a->lock);
	return 0;
}
