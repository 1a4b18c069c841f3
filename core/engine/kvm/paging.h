/* SPDX-License-Identifier: MIT */
/* Whose page tables the host's KVM lets the processor walk: the guest's below its own, or shadows of them. */
#ifndef KVM_PAGING_H
#define KVM_PAGING_H

#include "engine/engine.h"

/*
 * Fills caps->hap, caps->shadow and caps->paging. sys: where sysfs is,
 * "/sys". Reads a file or two. [any]
 */
void kvm_paging(const char *sys, struct engine_caps *caps);

#endif
