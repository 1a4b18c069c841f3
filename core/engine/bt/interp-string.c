/* SPDX-License-Identifier: MIT */
/*
 * String instructions. One element after the other, each committed to rcx, rsi
 * and rdi before the next, so that a fault or an exit in the middle is exact
 * and restartable. A step does a bounded number of elements and leaves rip at
 * the instruction when there are more, which keeps interrupts prompt.
 *
 * Repeated movs and stos, of any address size and in both directions, go by host
 * pages when the TLB has them and the segments admit all of the run.
 */
#include "engine/bt/interp-internal.h"

#define BATCH 512u

struct string {
	struct bt_vcpu *v;
	struct interp *x;
	unsigned size;  /* of an element */
	uint64_t delta; /* added to the index registers, by DF */
	bool src, dst;  /* which of rsi and rdi move */
};

/* ---- one element ----------------------------------------------------------------------- */

static enum bt_step source(struct string *s, uint64_t *value)
{
	struct bt_vcpu *v = s->v;
	uint64_t va;
	enum bt_step step = sys_linear(v, (enum gamut_seg)s->x->in.seg, get_gpr(v, RSI, s->x->in.addrsize),
	                               s->size, false, &va);

	*value = 0;
	return step == STEP_OK ? interp_read(v, va, value, s->size) : step;
}

static enum bt_step dest_address(struct string *s, bool write, uint64_t *va)
{
	return sys_linear(s->v, GAMUT_ES, get_gpr(s->v, RDI, s->x->in.addrsize), s->size, write, va);
}

static enum bt_step dest_read(struct string *s, uint64_t *value)
{
	uint64_t va;
	enum bt_step step = dest_address(s, false, &va);

	*value = 0;
	return step == STEP_OK ? interp_read(s->v, va, value, s->size) : step;
}

static enum bt_step dest_write(struct string *s, uint64_t value)
{
	uint64_t va;
	enum bt_step step = dest_address(s, true, &va);

	return step == STEP_OK ? interp_write(s->v, va, &value, s->size) : step;
}

/* Flags of a - b at the element's size. */
static void compare(struct string *s, uint64_t a, uint64_t b)
{
	unsigned shift = 64 - 8 * s->size;
	uint64_t flags, af = (a ^ b ^ (a - b)) & FL_AF;
	uint8_t low = (uint8_t)(a - b);

	/* At the top of a 64-bit word CF, OF, SF and ZF are those of the element. */
	__asm__("sub %2, %1\n\tpushf\n\tpop %0"
	        : "=&r"(flags), "+r"((uint64_t){a << shift})
	        : "r"(b << shift)
	        : "cc");
	flags &= FL_CF | FL_OF | FL_SF | FL_ZF;
	set_arith(s->v, flags | af | (__builtin_parity(low) ? 0 : FL_PF), FL_ARITH);
}

static enum bt_step movs(struct string *s)
{
	uint64_t value;
	enum bt_step step = source(s, &value);

	return step == STEP_OK ? dest_write(s, value) : step;
}

static enum bt_step stos(struct string *s)
{
	return dest_write(s, s->v->gpr[RAX]);
}

static enum bt_step lods(struct string *s)
{
	uint64_t value;
	enum bt_step step = source(s, &value);

	if (step == STEP_OK)
		set_gpr(s->v, RAX, value, s->size);
	return step;
}

static enum bt_step scas(struct string *s)
{
	uint64_t value;
	enum bt_step step = dest_read(s, &value);

	if (step == STEP_OK)
		compare(s, get_gpr(s->v, RAX, s->size), value);
	return step;
}

static enum bt_step cmps(struct string *s)
{
	uint64_t a, b;
	enum bt_step step = source(s, &a);

	if (step == STEP_OK)
		step = dest_read(s, &b);
	if (step == STEP_OK)
		compare(s, a, b);
	return step;
}

/* The destination is probed first: a value once read from a port cannot be put back. */
static enum bt_step ins(struct string *s)
{
	struct bt_vcpu *v = s->v;
	uint64_t value, va;
	void *host;
	enum bt_step step = sys_io_check(v, (uint16_t)v->gpr[RDX], s->size);

	if (step == STEP_OK)
		step = dest_address(s, true, &va);
	if (step == STEP_OK)
		step = mmu_rmw(v, va, s->size, access_of(v), &host);
	if (step == STEP_OK)
		step = io_port(v, (uint16_t)v->gpr[RDX], s->size, false, &value);
	return step == STEP_OK ? interp_write(v, va, &value, s->size) : step;
}

static enum bt_step outs(struct string *s)
{
	struct bt_vcpu *v = s->v;
	uint64_t value;
	enum bt_step step = sys_io_check(v, (uint16_t)v->gpr[RDX], s->size);

	if (step == STEP_OK)
		step = source(s, &value);
	return step == STEP_OK ? io_port(v, (uint16_t)v->gpr[RDX], s->size, true, &value) : step;
}

struct string_op {
	enum bt_step (*element)(struct string *s);
	bool src, dst, compares;
};

static const struct string_op string_ops[] = {
        [OP_MOVS - OP_MOVS] = {movs, true, true, false},  [OP_STOS - OP_MOVS] = {stos, false, true, false},
        [OP_LODS - OP_MOVS] = {lods, true, false, false}, [OP_SCAS - OP_MOVS] = {scas, false, true, true},
        [OP_CMPS - OP_MOVS] = {cmps, true, true, true},   [OP_INS - OP_MOVS] = {ins, false, true, false},
        [OP_OUTS - OP_MOVS] = {outs, true, false, false},
};

/* ---- many elements ----------------------------------------------------------------------- */

/* rsi, rdi and rcx after n elements. */
static void advance(struct string *s, uint64_t n)
{
	struct bt_vcpu *v = s->v;
	unsigned size = s->x->in.addrsize;

	if (s->src)
		set_gpr(v, RSI, v->gpr[RSI] + n * s->delta, size);
	if (s->dst)
		set_gpr(v, RDI, v->gpr[RDI] + n * s->delta, size);
	if (s->x->in.rep)
		set_gpr(v, RCX, v->gpr[RCX] - n, size);
}

/* Host address of va when the TLB admits the access. */
static uint8_t *page_of(struct bt_vcpu *v, uint64_t va, bool write)
{
	const struct tlb_entry *e = &v->tlb[bt_table(v)][va >> PAGE_SHIFT & (TLB_SIZE - 1)];

	if ((write ? e->tag_w : e->tag_r) != (va & PAGE_MASK))
		return NULL;
	return (uint8_t *)(uintptr_t)e->host + (va & (PAGE_SIZE - 1));
}

/* Elements from rsi or rdi on, at most n, that lie in one page before the index wraps. */
static uint64_t elements_here(const struct string *s, uint64_t offset, uint64_t va, uint64_t n)
{
	uint64_t in_page = va & (PAGE_SIZE - 1), mask = size_mask(s->x->in.addrsize), here, unwrapped;

	if (s->delta == s->size) {
		here = (PAGE_SIZE - in_page) / s->size;
		unwrapped = (mask - offset) / s->size;
	} else {
		here = in_page + s->size > PAGE_SIZE ? 0 : in_page / s->size + 1;
		unwrapped = offset / s->size;
	}
	here = here < unwrapped ? here : unwrapped;
	return n < here ? n : here;
}

/* The same, with the segment's leave for all of them and their host address; 0: none. */
static uint64_t run_at(struct string *s, enum gamut_seg seg, unsigned reg, bool write, uint64_t n, uint8_t **host)
{
	struct bt_vcpu *v = s->v;
	uint64_t offset = get_gpr(v, reg, s->x->in.addrsize), va, low;

	if (sys_linear(v, seg, offset, s->size, write, &va) != STEP_OK)
		return 0;
	n = elements_here(s, offset, va, n);
	*host = n ? page_of(v, va, write) : NULL;
	low = s->delta == s->size ? offset : offset - (n - 1) * s->size;
	if (!*host || sys_linear(v, seg, low, (unsigned)(n * s->size), write, &va) != STEP_OK)
		return 0;
	return n;
}

#define REP(insn) \
	__asm__ volatile("rep " insn : "+D"(dst), "+S"(src), "+c"(n) : "a"(value) : "memory")
#define REP_BACK(insn) \
	__asm__ volatile("std\n\trep " insn "\n\tcld" : "+D"(dst), "+S"(src), "+c"(n) : "a"(value) : "memory", "cc")

/* By elements of the guest's size: what overlaps repeats itself as it would there. */
static void run(const struct string *s, uint8_t *dst, const uint8_t *src, uint64_t value, uint64_t n)
{
	bool back = s->delta != s->size;

	switch (s->size | (s->src ? 16u : 0) | (back ? 32u : 0)) {
	case 1: REP("stosb"); break;
	case 2: REP("stosw"); break;
	case 4: REP("stosl"); break;
	case 8: REP("stosq"); break;
	case 17: REP("movsb"); break;
	case 18: REP("movsw"); break;
	case 20: REP("movsl"); break;
	case 24: REP("movsq"); break;
	case 33: REP_BACK("stosb"); break;
	case 34: REP_BACK("stosw"); break;
	case 36: REP_BACK("stosl"); break;
	case 40: REP_BACK("stosq"); break;
	case 49: REP_BACK("movsb"); break;
	case 50: REP_BACK("movsw"); break;
	case 52: REP_BACK("movsl"); break;
	default: REP_BACK("movsq"); break;
	}
}

static bool bulk_legal(const struct string *s)
{
	const struct bt_vcpu *v = s->v;

	return s->x->in.rep && !(v->dr[7] & 0xff) && !(v->rflags & FL_TF) && !alignment_checked(v);
}

/* Elements of a movs or stos that lie in pages at hand; 0: none, do one by itself. */
static uint64_t bulk(struct string *s)
{
	struct bt_vcpu *v = s->v;
	uint64_t n = get_gpr(v, RCX, s->x->in.addrsize);
	uint8_t *dst, *src = NULL;

	n = run_at(s, GAMUT_ES, RDI, true, n, &dst);
	if (n && s->src)
		n = run_at(s, (enum gamut_seg)s->x->in.seg, RSI, false, n, &src);
	if (n)
		run(s, dst, src, v->gpr[RAX], n);
	return n;
}

/* False when the comparison has ended the repetition. */
static bool goes_on(const struct string *s, bool compares)
{
	bool zf = s->v->rflags & FL_ZF;

	if (!get_gpr(s->v, RCX, s->x->in.addrsize))
		return false;
	return !compares || zf == (s->x->in.rep == 0xf3);
}

static enum bt_step repeat(struct string *s, const struct string_op *op)
{
	bool bulky = bulk_legal(s) && (op->element == movs || op->element == stos);

	for (unsigned i = 0; i < BATCH; i++) {
		uint64_t n = bulky ? bulk(s) : 0;
		enum bt_step step = n ? STEP_OK : op->element(s);

		if (step != STEP_OK)
			return step;
		advance(s, n ? n : 1);
		if (!goes_on(s, op->compares))
			return STEP_OK;
		if (s->v->replay.next || s->v->pending_db || (s->v->rflags & FL_TF) ||
		    __atomic_load_n(&s->v->poll, __ATOMIC_RELAXED))
			break;
	}
	s->x->next = s->v->rip; /* again */
	return STEP_OK;
}

enum bt_step interp_string(struct bt_vcpu *v, struct interp *x)
{
	const struct string_op *op = &string_ops[x->in.op - OP_MOVS];
	struct string s = {.v = v, .x = x, .size = x->in.opsize, .src = op->src, .dst = op->dst};
	enum bt_step step;

	if (op->element == ins || op->element == outs)
		s.size = s.size == 8 ? 4 : s.size;
	s.delta = v->rflags & FL_DF ? -(uint64_t)s.size : s.size;
	if (x->in.rep && !get_gpr(v, RCX, x->in.addrsize))
		return STEP_OK;
	step = x->in.rep && (op->element == ins || op->element == outs) ? io_many(v, x, s.size, op->dst) : STEP_OK;
	if (step != STEP_OK)
		return step;
	if (x->in.rep)
		return repeat(&s, op);
	step = op->element(&s);
	if (step == STEP_OK)
		advance(&s, 1);
	return step;
}
