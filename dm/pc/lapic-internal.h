/* SPDX-License-Identifier: MIT */
/* Shared by the files of the local APIC only. "Locked" means the APIC's own lock. */
#ifndef DM_PC_LAPIC_INTERNAL_H
#define DM_PC_LAPIC_INTERNAL_H

#include "dm/pc/lapic.h"

/* IA32_APIC_BASE. */
#define BASE_BSP (1ull << 8)
#define BASE_X2APIC (1ull << 10)
#define BASE_ENABLE (1ull << 11)
#define BASE_ADDRESS 0x000ffffffffff000ull

#define SVR_ENABLE (1u << 8)
#define SVR_SUPPRESS (1u << 12)

/* Error status. */
#define ESR_SEND_VECTOR (1u << 5)
#define ESR_RECEIVE_VECTOR (1u << 6)
#define ESR_REGISTER (1u << 7)

/* Local vector table. */
#define LVT_VECTOR 0xffu
#define LVT_MODE(entry) ((entry) >> 8 & 7)
#define LVT_STATUS (1u << 12)
#define LVT_REMOTE_IRR (1u << 14)
#define LVT_LEVEL (1u << 15)
#define LVT_MASKED (1u << 16)
#define LVT_TIMER_MODE (3u << 17)
#define LVT_TIMER_ONESHOT (0u << 17)
#define LVT_TIMER_PERIODIC (1u << 17)
#define LVT_TIMER_DEADLINE (2u << 17)

/* Vectors below are the processor's own and no interrupt may use them. */
#define FIRST_VECTOR 16u

static inline uint64_t lapic_base(const struct lapic *a)
{
	return __atomic_load_n(&a->base, __ATOMIC_ACQUIRE);
}

/* Not turned off by APIC_BASE. */
static inline bool lapic_on(const struct lapic *a)
{
	return lapic_base(a) & BASE_ENABLE;
}

static inline bool lapic_x2(const struct lapic *a)
{
	return lapic_base(a) & BASE_X2APIC;
}

/* Takes interrupts: neither turned off nor disabled by SVR. */
static inline bool lapic_enabled(const struct lapic *a)
{
	return lapic_on(a) && __atomic_load_n(&a->svr, __ATOMIC_ACQUIRE) & SVR_ENABLE;
}

static inline uint32_t lapic_id(const struct lapic *a)
{
	return a->vcpu << a->set->id_shift;
}

/* By which messages in physical mode find it: the page's register can be written, the x2APIC's id cannot. */
static inline uint32_t lapic_physical_id(const struct lapic *a)
{
	return lapic_x2(a) ? lapic_id(a) : __atomic_load_n(&a->id, __ATOMIC_ACQUIRE);
}

static inline uint32_t lapic_lvt(const struct lapic *a, enum lapic_lvt which)
{
	return __atomic_load_n(&a->lvt[which], __ATOMIC_SEQ_CST);
}

/* Locked. */
static inline void lapic_set_lvt(struct lapic *a, enum lapic_lvt which, uint32_t entry)
{
	__atomic_store_n(&a->lvt[which], entry, __ATOMIC_SEQ_CST);
}

static inline void lapic_count(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

/* ---- lapic.c ---- */

/* The processor priority; a class (bits 7:4) and, where TPR decides, a subclass. [any] */
uint32_t lapic_ppr(const struct lapic *a);
/* Puts a request in and lets the vCPU know; false when there was one of that vector already. [any] */
bool lapic_request(struct lapic *a, uint8_t vector, bool level);
/* Lets the vCPU look when something has become deliverable by a change of its own. */
void lapic_recheck(struct lapic *a);
/* End of interrupt: what is in service with the highest vector. Not locked. */
void lapic_eoi(struct lapic *a);
/* Whether the vector is the only one that anybody asks for or that is level triggered: none waits for its end. [any] */
bool lapic_end_can_wait(const struct lapic *a, uint32_t vector);
/* An error bit, and its interrupt. Locked. */
void lapic_error(struct lapic *a, uint32_t bit);
/* Delivers a fixed interrupt of a local source unless masked. Locked. */
void lapic_lvt_fire(struct lapic *a, enum lapic_lvt which);
/* All but APIC_BASE and the id as after power-on, which is what INIT does. Locked. */
void lapic_clear(struct lapic *a);
/* The id too; and both are what turning it on does. Locked. */
void lapic_reset_id(struct lapic *a);

/* ---- lapic-pveoi.c; not locked ---- */

/* The vector has just been put in service: its end may come without an exit. On the vCPU's thread. */
void lapic_pv_eoi_offer(struct lapic *a, uint32_t vector);
/* Finds out whether it has, and takes the offer back. On the vCPU's thread. */
void lapic_pv_eoi_take_back(struct lapic *a);

static inline void lapic_pv_eoi_sync(struct lapic *a)
{
	if (__atomic_load_n(&a->pv_offered, __ATOMIC_SEQ_CST))
		lapic_pv_eoi_take_back(a);
}

/* ---- lapic-lint.c ---- */

/* The 8259s ask, and this vCPU is one that they can interrupt. [any] */
bool lapic_extint(const struct lapic *a);
/* LINT0's entry, or what turns it on, has changed: LINT0 may have been high all the while. Locked. */
void lapic_lint_recheck(struct lapic *a);
/* The interrupt of a vector has ended. Locked. */
void lapic_lint_eoi(struct lapic *a, uint32_t vector);

/* ---- lapic-base.c ---- */

/* A write to IA32_APIC_BASE. 0 or -EPERM. */
int lapic_write_base(struct lapic *a, uint64_t value);

/* ---- lapic-reg.c ---- */

/*
 * A register by its number (offset / 16, or MSR - 0x800), as the two ways in
 * see it. 0, or -EPERM for one that does not exist, cannot be accessed that
 * way, or would get reserved bits.
 */
int lapic_read_reg(struct lapic *a, uint32_t reg, bool x2, uint64_t *value);
int lapic_write_reg(struct lapic *a, uint32_t reg, bool x2, uint64_t value);
/* The logical id in either mode. */
uint32_t lapic_ldr(const struct lapic *a);

/* ---- lapic-timer.c; locked, but for the first two ---- */

int lapic_timer_init(struct lapic *a);
void lapic_timer_finish(struct lapic *a);
void lapic_timer_clear(struct lapic *a);
void lapic_timer_set_initial(struct lapic *a, uint32_t value);
uint32_t lapic_timer_current(const struct lapic *a);
void lapic_timer_set_divide(struct lapic *a, uint32_t value);
/* Fires what is due, before its LVT entry changes. */
void lapic_timer_catch_up(struct lapic *a);
/* The mode bits of the timer's LVT entry have changed from old. */
void lapic_timer_mode(struct lapic *a, uint32_t old);
/* IA32_TSC_DEADLINE. */
void lapic_timer_set_deadline(struct lapic *a, uint64_t tsc);
uint64_t lapic_timer_deadline(struct lapic *a);
/* The TSC and domain time have moved against each other. */
void lapic_timer_resync(struct lapic *a);

/* ---- lapic-message.c; not locked ---- */

/* Whether a message's destination has this one in it. */
bool lapic_meant(const struct apic_message *m, const struct lapic *a);
/* What a message does at one target. Returns enum apic_fate. */
int lapic_take(const struct apic_message *m, struct lapic *a);
/* The vCPU goes to the state after INIT. */
void lapic_take_init(struct lapic *a);

/* ---- lapic-icr.c ---- */

/* Sends what an ICR value says. Not locked. */
void lapic_send(struct lapic *a, uint64_t icr, bool x2);

#endif
