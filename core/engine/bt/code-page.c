/* SPDX-License-Identifier: MIT */
/*
 * Where code is: a small direct-mapped cache of code pages in front of the
 * page walk, for block lookups and the interpreter's fetches. An entry is valid
 * while its generation is the current one for its kind (global or not), which
 * the flushes of the jump cache move on.
 */
#include "engine/bt/mmu.h"

enum bt_step bt_code_gpa(struct bt_vcpu *v, uint64_t rip, uint64_t *gpa, bool *global)
{
	int class = bt_table(v);
	struct bt_itlb *t = &v->itlb[class][rip >> PAGE_SHIFT & 255];
	struct mmu_page page;
	enum bt_step st;

	*global = t->gen & 1;
	if (t->va == (rip & PAGE_MASK) && t->gen >> 1 == v->itlb_gen[class][t->gen & 1]) {
		*gpa = t->gpa | (rip & ~PAGE_MASK);
		return STEP_OK;
	}
	st = mmu_walk(v, rip, ACC_EXEC | mmu_rights(v), &page);
	if (st != STEP_OK)
		return st;
	*gpa = page.gpa;
	*global = page.global;
	*t = (struct bt_itlb){ .va = rip & PAGE_MASK, .gpa = page.gpa & PAGE_MASK };
	t->gen = v->itlb_gen[class][page.global] << 1 | page.global;
	return STEP_OK;
}
