/* SPDX-License-Identifier: MIT */
/* Guests whose kernel runs in ring 3: events to the monitor, and what it may ask of the engine. See pv.c. */
#ifndef BT_PV_H
#define BT_PV_H

#include "engine/bt/bt.h"

/*
 * What is noted of a table that addresses of the upper half were translated
 * through: for a lowest-level one the 2 MiB that it maps (1 and up), of two
 * places if need be (Linux maps what the builder did for it twice); for any
 * other, and for one that is found at three places, PV_REGIONS.
 */
#define PV_REGION(va) ((uint32_t)((va) >> 21 & 0x3ffffff) + 1)
#define PV_REGION_VA(region) (0xffff800000000000ull | (uint64_t)((region) - 1) << 21)
#define PV_REGIONS UINT32_MAX

/* The vCPU's guest is the monitor's from now on. Before the first run. */
struct gamut_pv_cpu *pv_init(struct bt_vcpu *v, const struct gamut_pv_guest *guest, void *opaque);
/* vcpu_set of such a vCPU: 64-bit mode, ring 3. 0 or -EINVAL. */
int pv_set_state(struct bt_vcpu *v, const struct gamut_vcpu_state *state);

/*
 * On synced state: v->exc, or interrupts and an NMI, as an event. True: settled,
 * the guest goes on. False: v->exit says EXIT_PV, and pv_resume is to be called
 * after the slow handler.
 */
bool pv_deliver(struct bt_vcpu *v);
bool pv_attention(struct bt_vcpu *v, bool nmi);
/* Takes the registers back from the monitor. */
void pv_resume(struct bt_vcpu *v);

#endif
