/* SPDX-License-Identifier: MIT */
#include "dm/xen/hypercall-patch.h"

#include <stdbool.h>
#include <string.h>

#define INSN 3u
#define STEP 16u

static const uint8_t vmcall[INSN] = { 0x0f, 0x01, 0xc1 }, vmmcall[INSN] = { 0x0f, 0x01, 0xd9 };

static bool is_pair(const uint8_t *code)
{
	return !memcmp(code, vmmcall, INSN) && !memcmp(code + STEP, vmcall, INSN);
}

/* Adds the pairs in one segment; *at is the address of the last. */
static uint32_t count_pairs(const struct gamut_segment_load *s, uint64_t *at)
{
	uint64_t first = -s->paddr & (STEP - 1);
	uint32_t n = 0;

	for (uint64_t off = first; s->filesz >= STEP + INSN && off <= s->filesz - STEP - INSN; off += STEP) {
		if (!is_pair((const uint8_t *)s->data + off))
			continue;
		*at = s->paddr + off;
		n++;
	}
	return n;
}

int xen_hypercall_patch(const struct gamut_host *host, struct gamut_inst *inst, const struct gamut_boot *boot)
{
	uint8_t insn[INSN];
	uint64_t at = 0;
	uint32_t n = 0;
	int rc;

	host->hypercall_insn(inst, insn);
	if (!memcmp(insn, vmcall, INSN) || !memcmp(insn, vmmcall, INSN))
		return 0;
	for (uint32_t i = 0; i < boot->n_segments; i++)
		n += count_pairs(&boot->segments[i], &at);
	if (n != 1) {
		host->log(inst, GAMUT_LOG_DEBUG, "%s: %u places of hypercalls, none replaced", boot->kernel_path, n);
		return 0;
	}
	rc = host->mem_write(inst, at, insn, INSN);
	return rc ? rc : host->mem_write(inst, at + STEP, insn, INSN);
}
