/* SPDX-License-Identifier: MIT */
/*
 * KVM's paravirtual end of interrupt (Linux' Documentation/virt/kvm/x86/msr.rst,
 * MSR_KVM_PV_EOI_EN). The guest gives a word of its memory. When an interrupt
 * goes into service and nothing waits for its end, bit 0 of the word is set:
 * an offer. The guest ends its handlers by testing and clearing that bit, and
 * writes to EOI only when it was clear.
 *
 * So with an offer out, ISR may show what has ended. It is brought up to date
 * on the vCPU's own thread, where the bit does not move meanwhile, and the
 * offer taken back with it: before the next interrupt is looked for, and
 * before any access to a register. A request that comes while an offer is out
 * raises the vCPU as ever, and stays pending until that look (maybe_deliverable
 * in lapic.c): the end that nobody reported then counts, or the guest, which
 * has not come so far, finds the bit clear and writes to EOI.
 *
 * Level-triggered interrupts are never offered: the I/O APIC waits for their end.
 */
#include "dm/pc/lapic-internal.h"

#include <errno.h>

#define ENABLED 1ull
#define RESERVED 2ull
#define ADDRESS(value) ((value) & ~3ull)
#define WORD 4u
#define BIT 1u

/* Sets or clears the bit; what it was, or -1: there is no memory. */
static int change_bit(struct lapic *a, uint64_t value, bool set)
{
	const struct gamut_host *host = a->set->host;
	struct gamut_inst *inst = a->set->inst;
	uint32_t *word = host->mem_get(inst, ADDRESS(value), WORD), old;

	if (!word)
		return -1;
	old = set ? __atomic_fetch_or(word, BIT, __ATOMIC_SEQ_CST) : __atomic_fetch_and(word, ~BIT, __ATOMIC_SEQ_CST);
	host->mem_put(inst, word, WORD);
	host->mem_dirty(inst, ADDRESS(value), WORD);
	return (int)(old & BIT);
}

static uint64_t msr_value(struct lapic *a)
{
	uint64_t value;

	pthread_mutex_lock(&a->lock);
	value = a->pv_eoi;
	pthread_mutex_unlock(&a->lock);
	return value;
}

uint64_t lapic_pv_eoi_value(struct lapics *s, uint32_t vcpu)
{
	return msr_value(&s->apic[vcpu]);
}

void lapic_pv_eoi_offer(struct lapic *a, uint32_t vector)
{
	uint64_t value = msr_value(a);

	if (!(value & ENABLED) || !lapic_end_can_wait(a, vector) || change_bit(a, value, true) < 0)
		return;
	/* Another processor's INIT may have cleared the APIC in between. */
	pthread_mutex_lock(&a->lock);
	if (a->pv_eoi == value)
		__atomic_store_n(&a->pv_offered, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&a->lock);
}

void lapic_pv_eoi_take_back(struct lapic *a)
{
	uint64_t value = msr_value(a);

	if (!__atomic_exchange_n(&a->pv_offered, 0, __ATOMIC_SEQ_CST) || change_bit(a, value, false))
		return;
	lapic_count(a->set->pv_eois);
	lapic_eoi(a);
}

int lapic_pv_eoi(struct lapics *s, uint32_t vcpu, uint64_t value)
{
	struct lapic *a = &s->apic[vcpu];
	void *word;

	if (value & RESERVED)
		return -EPERM;
	lapic_pv_eoi_sync(a);
	if (value & ENABLED) {
		word = s->host->mem_get(s->inst, ADDRESS(value), WORD);
		if (!word)
			return -EPERM;
		s->host->mem_put(s->inst, word, WORD);
	}
	pthread_mutex_lock(&a->lock);
	a->pv_eoi = value;
	pthread_mutex_unlock(&a->lock);
	return 0;
}
