/* SPDX-License-Identifier: MIT */
/*
 * Gathers and masked moves: vector instructions that touch memory element by
 * element, so that faults depend on a mask. Vector registers are moved to and
 * from buffers by instructions of our own making; elements are C.
 */
#include "engine/bt/interp-internal.h"

/* vmovdqu ymm, [mem] (6f) or back (7f); 256 bits, or 128 that clear the rest when loaded. */
static void move_vector(struct bt_vcpu *v, unsigned reg, void *mem, bool wide, uint8_t opcode)
{
	const uint8_t bytes[5] = {0xc5, (uint8_t)((reg & 8 ? 0 : 0x80) | 0x7a | (wide ? 4 : 0)), opcode,
	                          (uint8_t)((reg & 7) << 3)};

	native_bytes(v, bytes, 4, mem);
}

/* movdqu xmm, movq mm: what processors and guests without AVX have. */
static void store_legacy(struct bt_vcpu *v, unsigned reg, void *mem, bool mmx)
{
	uint8_t modrm = (uint8_t)((reg & 7) << 3);
	const uint8_t xmm[5] = {0xf3, (uint8_t)(0x40 | (reg & 8) >> 1), 0x0f, 0x7f, modrm};
	const uint8_t mm[3] = {0x0f, 0x7f, modrm};

	if (mmx)
		native_bytes(v, mm, 3, mem);
	else
		native_bytes(v, xmm, 5, mem);
}

#define STORE 0x7f
#define LOAD  0x6f

/* Element i of a buffer as an integer of 4 or 8 bytes, sign-extended. */
static int64_t element(const void *buf, unsigned i, unsigned size)
{
	int32_t narrow;
	int64_t wide;

	if (size == 4) {
		bt_copy(&narrow, (const uint8_t *)buf + 4 * i, 4);
		return narrow;
	}
	bt_copy(&wide, (const uint8_t *)buf + 8 * i, 8);
	return wide;
}

/* ---- gather --------------------------------------------------------------------------- */

struct gather {
	uint8_t dst[32], mask[32], index[32];
	unsigned size, index_size, n;
};

static enum bt_step gather_one(struct bt_vcpu *v, const struct interp *x, struct gather *g, unsigned i)
{
	const struct insn *in = &x->in;
	uint64_t ea = (uint64_t)in->disp + ((uint64_t)element(g->index, i, g->index_size) << in->scale), va;
	enum bt_step step;

	if (in->base >= 0)
		ea += v->gpr[in->base];
	step = sys_linear(v, (enum gamut_seg)in->seg, ea & size_mask(in->addrsize), g->size, false, &va);
	return step == STEP_OK ? interp_read(v, va, g->dst + i * g->size, g->size) : step;
}

/* Elements whose mask bit is set, in order; done ones have their mask cleared. */
static enum bt_step gather_all(struct bt_vcpu *v, const struct interp *x, struct gather *g)
{
	enum bt_step step = STEP_OK;

	for (unsigned i = 0; i < g->n && step == STEP_OK; i++) {
		if (element(g->mask, i, g->size) < 0)
			step = gather_one(v, x, g, i);
		if (step == STEP_OK)
			bt_zero(g->mask + i * g->size, g->size);
	}
	return step;
}

/* What lies above the elements is cleared. */
static void gather_tail(struct gather *g)
{
	unsigned used = g->n * g->size;

	bt_zero(g->dst + used, 32 - used);
	bt_zero(g->mask, 32);
}

/*
 * A fault leaves the elements before it done, as on the processor. An exit to
 * the core must not: the replay record counts from the first one.
 */
static enum bt_step gather(struct bt_vcpu *v, struct interp *x)
{
	const struct insn *in = &x->in;
	unsigned bytes = in->l ? 32 : 16, wider;
	struct gather g;
	enum bt_step step;

	if (in->reg == in->vvvv || in->reg == (unsigned)in->index || in->vvvv == (unsigned)in->index)
		return bt_fault(v, EXC_UD);
	g.size = in->w ? 8 : 4;
	g.index_size = in->opcode & 1 ? 8 : 4;
	wider = g.size > g.index_size ? g.size : g.index_size;
	g.n = bytes / wider;
	move_vector(v, in->reg, g.dst, true, STORE);
	move_vector(v, in->vvvv, g.mask, true, STORE);
	move_vector(v, (unsigned)in->index, g.index, true, STORE);
	step = gather_all(v, x, &g);
	if (step == STEP_EXIT)
		return step;
	if (step == STEP_OK)
		gather_tail(&g);
	move_vector(v, in->reg, g.dst, in->l, LOAD);
	move_vector(v, in->vvvv, g.mask, in->l, LOAD);
	return step;
}

/* ---- vmaskmov, vpmaskmov ---------------------------------------------------------------- */

/* One element; the whole operand's address wraps as one would. */
static enum bt_step masked_one(struct bt_vcpu *v, const struct interp *x, uint8_t *buf, unsigned off,
                               unsigned size, bool store)
{
	uint64_t va;
	enum bt_step step = interp_operand(v, x, off, size, store, &va);

	if (step != STEP_OK)
		return step;
	return store ? interp_write(v, va, buf + off, size) : interp_read(v, va, buf + off, size);
}

/* Both pages of a store are probed before a byte changes. */
static enum bt_step probe_masked(struct bt_vcpu *v, const struct interp *x, const uint8_t *mask,
                                 unsigned bytes, unsigned size)
{
	for (unsigned i = 0; i < bytes / size; i++) {
		enum bt_step step;
		uint64_t va;
		void *host;

		if (!(mask[i * size + size - 1] & 0x80))
			continue;
		step = interp_operand(v, x, i * size, size, true, &va);
		if (step == STEP_OK)
			step = mmu_rmw(v, va, size, access_of(v), &host);
		if (step != STEP_OK)
			return step;
	}
	return STEP_OK;
}

static enum bt_step move_elements(struct bt_vcpu *v, const struct interp *x, uint8_t *buf,
                                  const uint8_t *mask, unsigned bytes, unsigned size, bool store)
{
	enum bt_step step = store ? probe_masked(v, x, mask, bytes, size) : STEP_OK;

	for (unsigned i = 0; i < bytes / size && step == STEP_OK; i++)
		if (mask[i * size + size - 1] & 0x80)
			step = masked_one(v, x, buf, i * size, size, store);
	return step;
}

static enum bt_step maskmov(struct bt_vcpu *v, struct interp *x)
{
	const struct insn *in = &x->in;
	bool store = in->attr & ATTR_MEM_WRITE;
	/* vpmaskmovq has W; vmaskmovpd is an opcode of its own */
	unsigned bytes = in->l ? 32 : 16,
	         size = in->opcode >= 0x80 ? (in->w ? 8 : 4) : (in->opcode & 1 ? 8 : 4);
	uint8_t buf[32], mask[32];
	enum bt_step step;

	bt_zero(buf, 32);
	move_vector(v, in->vvvv, mask, true, STORE);
	if (store)
		move_vector(v, in->reg, buf, true, STORE);
	step = move_elements(v, x, buf, mask, bytes, size, store);
	if (step == STEP_OK && !store)
		move_vector(v, in->reg, buf, in->l, LOAD);
	return step;
}

/* ---- maskmovq, maskmovdqu ----------------------------------------------------------------- */

/* Bytes of modrm.reg to ds:[rdi] where the top bits of modrm.rm say so. */
static enum bt_step maskmov_bytes(struct bt_vcpu *v, struct interp *x)
{
	const struct insn *in = &x->in;
	bool mmx = in->attr & ATTR_FPU;
	uint8_t buf[16], mask[16];
	struct interp at;

	store_legacy(v, in->reg, buf, mmx);
	store_legacy(v, in->rm, mask, mmx);
	bt_copy(&at, x, sizeof(at));
	at.in.base = RDI;
	at.in.mod = 0;
	return move_elements(v, &at, buf, mask, mmx ? 8 : 16, 1, true);
}

enum bt_step interp_masked(struct bt_vcpu *v, struct interp *x)
{
	enum bt_step step = interp_fpu_check(v, &x->in);

	if (step != STEP_OK)
		return step;
	if (x->in.attr & ATTR_VSIB)
		return gather(v, x);
	return x->in.map == MAP_0F ? maskmov_bytes(v, x) : maskmov(v, x);
}
