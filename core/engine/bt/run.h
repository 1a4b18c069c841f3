/* SPDX-License-Identifier: MIT */
/* Between translated code and the engine's face: dispatch, events, signals. */
#ifndef BT_RUN_H
#define BT_RUN_H

#include "engine/bt/cache.h"

/* thunk.S */
void bt_enter(struct bt_vcpu *v, const void *code);
void bt_thunk_miss_kr(void);
void bt_thunk_miss_kw(void);
void bt_thunk_miss_ur(void);
void bt_thunk_miss_uw(void);
void bt_thunk_link(void);
void bt_thunk_link_h(void);
void bt_thunk_lookup_k(void);
void bt_thunk_lookup_u(void);
void bt_thunk_step(void);
void bt_thunk_poll(void);
void bt_thunk_signal(void);

/* Called by the thunks; each returns the code to go on with, or NULL to leave bt_enter. */
const void *bt_on_miss(struct bt_vcpu *v, int write);
const void *bt_on_link(struct bt_vcpu *v);
const void *bt_on_lookup(struct bt_vcpu *v);
const void *bt_on_step(struct bt_vcpu *v);
const void *bt_on_poll(struct bt_vcpu *v);
const void *bt_on_signal(struct bt_vcpu *v);

/*
 * On synced state: serves what is pending, interprets what cannot be
 * translated, and returns the code for v->rip; NULL with v->exit filled.
 */
const void *bt_dispatch(struct bt_vcpu *v);

/* bt_dispatch for a vCPU that the core has just entered, after delivering v->exc if that is pending. */
const void *bt_start(struct bt_vcpu *v);

/* Flags between the slot (as code leaves them) and rflags (as C wants them). */
static inline void bt_sync_in(struct bt_vcpu *v)
{
	v->rflags = (v->rflags & ~0x8d5ull) | flags_from_slot(v->flags_slot);
}

static inline void bt_sync_out(struct bt_vcpu *v)
{
	v->flags_slot = flags_to_slot(v->rflags);
	v->rflags &= ~FL_RF; /* any instruction clears it; nothing that is translated asks for it */
}

/* signal.c: once per process; per thread, with its alternate stack, before the first entry. 0 or -errno. */
int bt_signal_init(void);
int bt_signal_thread(struct bt_vcpu *v);
void bt_signal_thread_finish(struct bt_vcpu *v);

#endif
