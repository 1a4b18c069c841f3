/* SPDX-License-Identifier: MIT */
/*
 * Delivery of exceptions and interrupts through the guest's IDT (or IVT):
 * gates, privilege change, IST, TSS stacks, error codes, double and triple
 * faults. Source: Intel SDM vol. 3 chapter 6.
 */
#ifndef BT_EXCEPTION_H
#define BT_EXCEPTION_H

#include "engine/bt/bt.h"

/*
 * Delivers v->exc on synced state with v->rip at the faulting instruction (or,
 * for traps, past it). Contributory faults during delivery become #DF, and
 * that a triple fault. True when delivered; false on a triple fault, with the
 * state as it was.
 */
bool exc_deliver(struct bt_vcpu *v);
/* An external interrupt or NMI. As exc_deliver. */
bool exc_interrupt(struct bt_vcpu *v, uint8_t vector);

#endif
