/* SPDX-License-Identifier: MIT */
/* Several vCPUs: the translator lock, stopping the others, who may write to which page. The essay is in smp.c. */
#ifndef BT_SMP_H
#define BT_SMP_H

#include "engine/bt/cache.h"

enum smp_state { SMP_QUIET, SMP_BUSY };
enum smp_stop { SMP_GO, SMP_STOP, SMP_STOP_ASLEEP };

#define SMP_ALL UINT64_MAX

/*
 * From quiet to busy: on return nobody acts on this vCPU's tables, and its
 * code may be entered. And back. On the vCPU's thread, or, while that does not
 * run it, on another.
 */
void smp_busy_slow(struct bt_vcpu *v);
void smp_quiet_slow(struct bt_vcpu *v);
void smp_safepoint_slow(struct bt_vcpu *v);

static inline bool smp_alone(const struct bt_vcpu *v)
{
	return !v->writers;
}

static inline void smp_busy(struct bt_vcpu *v)
{
	if (!smp_alone(v))
		smp_busy_slow(v);
}

static inline void smp_quiet(struct bt_vcpu *v)
{
	if (!smp_alone(v))
		smp_quiet_slow(v);
}

/* At a poll, with no host code address and no walk's result in hand: lets whoever asked for it have his way. */
static inline void smp_safepoint(struct bt_vcpu *v)
{
	if (!smp_alone(v) && __atomic_load_n(&v->smp.stop, __ATOMIC_SEQ_CST))
		smp_safepoint_slow(v);
}

/*
 * The translator lock; may be taken again by who has it. Taking it may make
 * the vCPU quiet for a while: then v->smp.lost has changed on return, what was
 * walked before is to be walked again, and v->resume may be 0 (cache.h).
 * Unlocking never waits, and lets the others go.
 */
void smp_lock_slow(struct bt_vcpu *v);
void smp_unlock_slow(struct bt_vcpu *v);

static inline void smp_lock(struct bt_vcpu *v)
{
	if (!smp_alone(v))
		smp_lock_slow(v);
}

static inline void smp_unlock(struct bt_vcpu *v)
{
	if (!smp_alone(v))
		smp_unlock_slow(v);
}

/*
 * With the lock: on return none of these vCPUs (a mask; itself excepted) is
 * busy, and none becomes it before the lock is released. Their tables may be
 * changed meanwhile.
 */
void smp_stop(struct bt_vcpu *v, uint64_t mask);

/* Before this vCPU looks for a block in the page: from here on it may be in its code. */
static inline void smp_note_user(struct bt_vcpu *v, uint64_t gpa)
{
	uint64_t bit = 1ull << v->index, *word;

	if (smp_alone(v) || gpa >= v->mem->limit)
		return;
	word = &v->vm->users[gpa >> PAGE_SHIFT];
	if (!(__atomic_load_n(word, __ATOMIC_RELAXED) & bit))
		__atomic_fetch_or(word, bit, __ATOMIC_SEQ_CST);
}

/* With the lock and mem->code[] of the page set: on return no other vCPU can write to it without asking. */
void smp_own_page(struct bt_vcpu *v, uint64_t gpa);

#endif
