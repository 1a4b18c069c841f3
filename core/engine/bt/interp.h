/* SPDX-License-Identifier: MIT */
/*
 * The interpreter: executes one instruction in any mode, on synced state.
 *
 * It is the translator's fallback for everything rare (system instructions,
 * far transfers, 16-bit code, accesses that cross a page or meet MMIO, stores
 * into code), so it is complete rather than fast.
 *
 * Replay. An instruction that needs the core (port, MMIO, MSR) returns
 * STEP_EXIT with v->exit filled and leaves all state as before it. When the
 * core has answered, vcpu_run appends the answer to v->replay and the same
 * instruction, whatever is in memory by now, runs again from its start; accesses
 * that are already recorded are served from the record. When the instruction completes, or faults, the
 * record is emptied. Instructions whose repetition cannot be bounded by
 * REPLAY_MAX (rep movs to MMIO) commit after each iteration.
 */
#ifndef BT_INTERP_H
#define BT_INTERP_H

#include "engine/bt/bt.h"
#include "engine/bt/decode.h"

/*
 * Fetches, decodes and executes the instruction at v->rip. State must be
 * synced; it is synced on return. STEP_OK: done, v->rip is past it (or where
 * it went), v->shadow set by sti and mov ss (and cleared by any other
 * instruction), v->halted set by hlt. STEP_FAULT and STEP_EXIT as above.
 */
enum bt_step interp_step(struct bt_vcpu *v);
/* The same, but #UD for an instruction that `may` refuses. */
enum bt_step interp_step_if(struct bt_vcpu *v, bool (*may)(struct bt_vcpu *v, const struct insn *in));

/* Completes an exit with several elements of rep ins or outs (v->io_run.n is not 0), answered by the core. */
void io_many_done(struct bt_vcpu *v);

/*
 * The executable area of a vCPU (v->native, INTERP_NATIVE_SIZE bytes), in
 * which the signal contract of bt.h holds. interp_init: 0 or -errno.
 */
#define INTERP_NATIVE_SIZE 36864u
int interp_init(struct bt_vcpu *v);
void interp_finish(struct bt_vcpu *v);

/* The next entry of the replay record: true and *value when it was recorded. Used by every access to the core. */
static inline bool replay_take(struct bt_vcpu *v, uint64_t *value)
{
	if (v->replay.next >= v->replay.done)
		return false;
	*value = v->replay.value[v->replay.next++];
	return true;
}

static inline void replay_clear(struct bt_vcpu *v)
{
	v->replay.done = v->replay.next = 0;
	v->replay.fault = false;
}

#endif
