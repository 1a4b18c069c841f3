/* SPDX-License-Identifier: MIT */
/*
 * CPUID as the guest sees it: what the engine can honour, edited by plugins.
 * Edits are kept in the order in which they were made; a leaf is replaced by
 * the last `set`, and masks made after it apply to it.
 */
#ifndef CPUID_EDITS_H
#define CPUID_EDITS_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"

#define CPUID_ALL_VCPUS UINT32_MAX

struct cpuid_edit {
	uint32_t vcpu; /* or CPUID_ALL_VCPUS */
	uint32_t leaf, subleaf;
	uint32_t clear[4], set[4]; /* replacing a leaf clears all bits */
	bool replace;              /* make the leaf when the engine has none */
};

struct cpuid_edits {
	struct cpuid_edit *edits;
	uint32_t n, room;
};

/* 0 or -ENOMEM. [control] */
int cpuid_edits_set(struct cpuid_edits *e, uint32_t vcpu, uint32_t leaf, uint32_t subleaf, const uint32_t regs[4]);
int cpuid_edits_mask(struct cpuid_edits *e, uint32_t vcpu, uint32_t leaf, uint32_t subleaf, const uint32_t clear[4],
                     const uint32_t set[4]);
void cpuid_edits_finish(struct cpuid_edits *e);

/*
 * The table for one vCPU, from n entries that the engine offers. *out is to be
 * freed. 0 or -ENOMEM.
 */
int cpuid_edits_apply(const struct cpuid_edits *e, uint32_t vcpu, const struct cpuid_entry *base, uint32_t n,
                      struct cpuid_entry **out, uint32_t *n_out);

#endif
