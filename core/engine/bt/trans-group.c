/* SPDX-License-Identifier: MIT */
/*
 * Groups: runs of accesses off one base register that share one check.
 *
 * Pushes, pops, a closing call or ret, and plain operands [base + disp] whose
 * base is not written in between (other than by push, pop and add or sub of a
 * constant to rsp) lie within a small window. The first member checks the whole
 * window, for writing if any member writes, and T0 stays its host address
 * until the last member. What runs in between may not use T0 (guest r11) and,
 * where a member writes, may neither fault nor leave the block, so that a page
 * is only marked dirty if the write is certain to happen.
 *
 * The window may cross a page although no access does, or be writable only in
 * part: then the check misses, and C goes on in an ungrouped translation of
 * the same code (KEY_UNGROUPED), where every access is judged by itself.
 */
#include "engine/bt/trans.h"

#define WINDOW 128

struct scan {
	int base;
	int64_t delta; /* of rsp since the first member */
	int64_t lo, hi;
	bool write;    /* a member writes */
	bool leaves;   /* something between the members may fault or leave */
	unsigned members, last;
};

static bool stack_class(const struct insn *in)
{
	return in->class_ == CLASS_PUSH || in->class_ == CLASS_POP || in->class_ == CLASS_RET || in->class_ == CLASS_CALL;
}

/* Where a push, pop, call or ret accesses the stack, and what it does to rsp. False: not a simple one. */
static bool stack_access(const struct insn *in, int64_t *off, int64_t *move, bool *write)
{
	if (in->stacksize != 8)
		return false;
	if (in->class_ == CLASS_PUSH || in->class_ == CLASS_CALL) {
		if (in->class_ == CLASS_PUSH && in->has_modrm)
			return false;
		*off = -8;
		*move = -8;
		*write = true;
		return true;
	}
	if (in->class_ == CLASS_POP && ((in->has_modrm && in->mod != 3) || (in->regs_written & ~(1u << RSP)) == 0))
		return false;
	*off = 0;
	*move = 8;
	*write = false;
	return true;
}

static bool plain_operand(const struct trans *t, const struct insn *in)
{
	if (in->class_ != CLASS_COPY || !(in->attr & ATTR_MEM) || in->base < 0 || in->index >= 0 || in->rip_rel)
		return false;
	if (in->addrsize != 8 || in->seg == GAMUT_FS || in->seg == GAMUT_GS)
		return false;
	if (in->attr & (ATTR_BITOFF | ATTR_ALIGNED | ATTR_TRAPS | ATTR_FPU))
		return false;
	if ((t->key & KEY_NOFPU) && (in->attr & (ATTR_SSE | ATTR_AVX)))
		return false;
	return in->mem_size && in->mem_size <= 32 && mem_encodable(t, in);
}

/* add or sub of a constant to rsp. */
static bool rsp_constant(const struct insn *in, int64_t *move)
{
	if (in->class_ != CLASS_COPY || in->map != MAP_1 || (in->opcode != 0x81 && in->opcode != 0x83))
		return false;
	if (in->mod != 3 || in->rm != RSP || in->opsize != 8 || (in->op != OP_ADD && in->op != OP_SUB))
		return false;
	*move = in->op == OP_ADD ? in->imm : -in->imm;
	return true;
}

/* What may stand between members. */
static bool harmless(const struct trans *t, const struct insn *in, struct scan *s)
{
	if (in->op == OP_NOP || in->op == OP_PREFETCH)
		return in->class_ == CLASS_COPY;
	if (in->class_ == CLASS_JCC) {
		s->leaves = true;
		return true;
	}
	if (in->class_ != CLASS_COPY || (in->attr & ATTR_MEM) || ((in->regs_read | in->regs_written) & 1u << T0))
		return false;
	if (in->regs_written & 1u << s->base)
		return false;
	if ((t->key & KEY_NOFPU) && (in->attr & (ATTR_FPU | ATTR_SSE | ATTR_AVX)))
		return false;
	if (in->attr & (ATTR_TRAPS | ATTR_FPU))
		s->leaves = true;
	return true;
}

static bool fits(const struct scan *s, int64_t lo, int64_t hi, bool write)
{
	int64_t a = lo < s->lo ? lo : s->lo, b = hi > s->hi ? hi : s->hi;

	if (hi - lo > WINDOW || b - a > WINDOW)
		return false;
	return !((write || s->write) && s->leaves);
}

static void add_member(struct trans *t, struct scan *s, unsigned i, int64_t lo, int64_t hi, bool write)
{
	t->access[i].off = (int16_t)lo; /* made relative to the window at the end */
	s->lo = lo < s->lo ? lo : s->lo;
	s->hi = hi > s->hi ? hi : s->hi;
	s->write |= write;
	s->members++;
	s->last = i;
	t->access[i].kind = ACCESS_NEXT;
}

/* True when instruction i joined, or may stand between; false ends the group. */
static bool scan_insn(struct trans *t, struct scan *s, unsigned i)
{
	const struct insn *in = &t->insn[i];
	int64_t off, move;
	bool write;

	if (s->base == RSP && stack_class(in)) {
		if (!stack_access(in, &off, &move, &write) || !fits(s, s->delta + off, s->delta + off + 8, write))
			return false;
		add_member(t, s, i, s->delta + off, s->delta + off + 8, write);
		s->delta += move;
		return in->class_ == CLASS_PUSH || in->class_ == CLASS_POP;
	}
	if (s->base == RSP && rsp_constant(in, &move)) {
		s->delta += move;
		return move >= -4096 && move <= 4096 && s->delta >= -8192 && s->delta <= 8192;
	}
	if (plain_operand(t, in) && in->base == s->base) {
		off = in->disp + s->delta;
		write = in->attr & ATTR_MEM_WRITE;
		if (in->disp < -(1 << 20) || in->disp > 1 << 20 || !fits(s, off, off + in->mem_size, write))
			return false;
		add_member(t, s, i, off, off + in->mem_size, write);
		return !(in->regs_written & 1u << s->base);
	}
	return harmless(t, in, s);
}

static bool scan_start(const struct trans *t, unsigned i, struct scan *s)
{
	const struct insn *in = &t->insn[i];
	int64_t off, move;
	bool write;

	*s = (struct scan){ .base = -1, .lo = INT32_MAX, .hi = INT32_MIN };
	if (stack_class(in) && stack_access(in, &off, &move, &write))
		s->base = RSP;
	else if (plain_operand(t, in))
		s->base = in->base;
	if (s->base < 0)
		return false;
	/* The window starts out empty around the first member. */
	s->lo = s->hi = s->base == RSP && stack_class(in) ? off : in->disp;
	return in->disp >= -(1 << 20) && in->disp <= 1 << 20;
}

static unsigned group_at(struct trans *t, unsigned i)
{
	struct scan s;
	unsigned j;

	if (!scan_start(t, i, &s))
		return i + 1;
	for (j = i; j < t->n; j++) {
		if (!scan_insn(t, &s, j))
			break;
	}
	if (s.members < 2) {
		t->access[i].kind = ACCESS_ALONE;
		return i + 1;
	}
	t->access[i].kind = ACCESS_FIRST;
	t->access[i].base = (uint8_t)s.base;
	t->access[i].lo = (int32_t)s.lo;
	t->access[i].size = (uint16_t)(s.hi - s.lo);
	t->access[i].write = s.write;
	for (j = i; j <= s.last; j++)
		t->access[j].off = (int16_t)(t->access[j].off - s.lo);
	return s.last + 1;
}

void group_find(struct trans *t)
{
	for (unsigned i = 0; i < t->n; i++)
		t->access[i] = (struct access){ .kind = ACCESS_ALONE };
	if (t->mode != MODE_64 || t->ungrouped)
		return;
	for (unsigned i = 0; i < t->n;)
		i = group_at(t, i);
}
