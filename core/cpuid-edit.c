/* SPDX-License-Identifier: MIT */
#include "cpuid-edit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int add(struct cpuid_edits *e, const struct cpuid_edit *edit)
{
	if (e->n == e->room) {
		uint32_t room = e->room ? e->room * 2 : 16;
		struct cpuid_edit *edits = realloc(e->edits, room * sizeof(*edits));

		if (!edits)
			return -ENOMEM;
		e->edits = edits;
		e->room = room;
	}
	e->edits[e->n++] = *edit;
	return 0;
}

int cpuid_edits_set(struct cpuid_edits *e, uint32_t vcpu, uint32_t leaf, uint32_t subleaf, const uint32_t regs[4])
{
	struct cpuid_edit edit = { .vcpu = vcpu, .leaf = leaf, .subleaf = subleaf, .replace = true };

	memset(edit.clear, 0xff, sizeof(edit.clear));
	memcpy(edit.set, regs, sizeof(edit.set));
	return add(e, &edit);
}

int cpuid_edits_mask(struct cpuid_edits *e, uint32_t vcpu, uint32_t leaf, uint32_t subleaf, const uint32_t clear[4],
                     const uint32_t set[4])
{
	struct cpuid_edit edit = { .vcpu = vcpu, .leaf = leaf, .subleaf = subleaf };

	memcpy(edit.clear, clear, sizeof(edit.clear));
	memcpy(edit.set, set, sizeof(edit.set));
	return add(e, &edit);
}

void cpuid_edits_finish(struct cpuid_edits *e)
{
	free(e->edits);
	*e = (struct cpuid_edits){ 0 };
}

static struct cpuid_entry *find(struct cpuid_entry *entries, uint32_t n, const struct cpuid_edit *edit)
{
	for (uint32_t i = 0; i < n; i++) {
		struct cpuid_entry *entry = &entries[i];

		if (entry->leaf == edit->leaf && (!entry->has_subleaf || entry->subleaf == edit->subleaf))
			return entry;
	}
	return NULL;
}

/* Whether a new entry must carry its subleaf: any other edit, or itself, speaks of one. */
static bool needs_subleaf(const struct cpuid_edits *e, const struct cpuid_edit *edit)
{
	for (uint32_t i = 0; i < e->n; i++) {
		if (e->edits[i].leaf == edit->leaf && e->edits[i].subleaf)
			return true;
	}
	return false;
}

/* A leaf without subleaves in the engine's table that edits give some: it becomes subleaf 0. */
static void split(const struct cpuid_edits *e, struct cpuid_entry *entries, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct cpuid_edit probe = { .leaf = entries[i].leaf };

		if (entries[i].has_subleaf || !needs_subleaf(e, &probe))
			continue;
		entries[i].has_subleaf = true;
		entries[i].subleaf = 0;
	}
}

static void change(struct cpuid_entry *entry, const struct cpuid_edit *edit)
{
	for (int r = 0; r < 4; r++)
		entry->regs[r] = (entry->regs[r] & ~edit->clear[r]) | edit->set[r];
}

int cpuid_edits_apply(const struct cpuid_edits *e, uint32_t vcpu, const struct cpuid_entry *base, uint32_t n,
                      struct cpuid_entry **out, uint32_t *n_out)
{
	/* Every edit makes one entry at most. */
	struct cpuid_entry *entries = calloc((size_t)n + e->n + 1, sizeof(*entries));

	if (!entries)
		return -ENOMEM;
	if (n)
		memcpy(entries, base, n * sizeof(*entries));
	split(e, entries, n);
	for (uint32_t i = 0; i < e->n; i++) {
		const struct cpuid_edit *edit = &e->edits[i];
		struct cpuid_entry *entry;

		if (edit->vcpu != vcpu && edit->vcpu != CPUID_ALL_VCPUS)
			continue;
		entry = find(entries, n, edit);
		if (!entry && !edit->replace)
			continue;
		if (!entry) {
			entry = &entries[n++];
			entry->leaf = edit->leaf;
			entry->subleaf = edit->subleaf;
			entry->has_subleaf = needs_subleaf(e, edit);
		}
		change(entry, edit);
	}
	*out = entries;
	*n_out = n;
	return 0;
}
