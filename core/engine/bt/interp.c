/* SPDX-License-Identifier: MIT */
/*
 * One step: fetch, decode, dispatch by class, then what follows every
 * instruction (rip, shadow, RF, single-step and breakpoint traps).
 *
 * A trap (#DB) is returned as STEP_FAULT with rip past the instruction, which
 * is how exc_deliver wants it; after a load of ss it waits for the next one.
 */
#include <errno.h>
#include <stdlib.h>

#include "engine/bt/interp-internal.h"

/* Decoded instructions that are kept, by their linear address. */
#define DECODED 512u

static enum insn_mode mode_of(const struct bt_vcpu *v)
{
	if (bt_code64(v))
		return MODE_64;
	/* In real mode, too, until CS is loaded there. */
	return v->seg[GAMUT_CS].attr & SEG_DB ? MODE_32 : MODE_16;
}

/* ---- fetch ------------------------------------------------------------------------------ */

static uint64_t linear_rip(const struct bt_vcpu *v, enum insn_mode mode)
{
	return mode == MODE_64 ? v->rip : (uint32_t)(v->seg[GAMUT_CS].base + v->rip);
}

/* The rest of an instruction that crosses into the next page. */
static enum bt_step fetch_more(struct bt_vcpu *v, uint64_t va, uint8_t *buf, unsigned *got)
{
	unsigned more;
	enum bt_step step = mmu_fetch(v, va + *got, buf + *got, INSN_MAX - *got, &more);

	if (step == STEP_OK)
		*got += more;
	return step;
}

/* Outside 64-bit mode the last byte, too, must be within the limit. */
static enum bt_step check_limit(struct bt_vcpu *v, const struct insn *in)
{
	if (in->mode != MODE_64 && v->rip + in->len - 1 > v->seg[GAMUT_CS].limit)
		return fault_gp(v);
	return STEP_OK;
}

/* The limit of CS is looked at before the page that a byte is in. */
static bool beyond_limit(const struct bt_vcpu *v, enum insn_mode mode, unsigned byte)
{
	return mode != MODE_64 && v->rip + byte > v->seg[GAMUT_CS].limit;
}

/* The bytes into the replay record, decoded. */
static enum bt_step fetch_bytes(struct bt_vcpu *v, uint64_t va, enum insn_mode mode, struct insn *in)
{
	uint8_t *buf = v->replay.bytes;
	unsigned got;
	enum bt_step step = mmu_fetch(v, va, buf, INSN_MAX, &got);

	if (step != STEP_OK)
		return step;
	if (!insn_decode(in, buf, got, mode)) {
		if (beyond_limit(v, mode, got))
			return fault_gp(v);
		step = fetch_more(v, va, buf, &got);
		if (step != STEP_OK)
			return step;
		insn_decode(in, buf, got, mode);
	}
	v->replay.got = (uint8_t)got;
	v->replay.fetched = v->replay.next;
	return STEP_OK;
}

/* An instruction at the end of a page, or in no memory: read once, however often it is replayed. */
static enum bt_step decode_split(struct bt_vcpu *v, uint64_t va, enum insn_mode mode, struct interp *x)
{
	enum bt_step step = STEP_OK;

	x->mask[1] = INTERP_MODE_MASK; /* should it fault, there is none here */
	x->key[1] = 0;
	if (v->replay.got)
		insn_decode(&x->in, v->replay.bytes, v->replay.got, mode);
	else
		step = fetch_bytes(v, va, mode, &x->in);
	if (step != STEP_OK)
		return step;
	v->replay.next = v->replay.fetched;
	interp_key(x, v->replay.bytes);
	return STEP_OK;
}

/* An instruction is what its bytes and the mode are: the decoded one that was last met here may be it. */
static void decode_text(const void *text, enum insn_mode mode, struct interp *x)
{
	/* Not memcpy, which under ASan is a function that uses the guest's vector registers. */
	const struct __attribute__((packed, may_alias)) {
		uint64_t w[2];
	} *bytes = text;
	uint64_t w[2] = { bytes->w[0], bytes->w[1] };

	w[1] = (w[1] & ~INTERP_MODE_MASK) | interp_key_mode(mode);
	if (!(((w[0] ^ x->key[0]) & x->mask[0]) | ((w[1] ^ x->key[1]) & x->mask[1])))
		return;
	insn_decode(&x->in, (const uint8_t *)w, INSN_MAX, mode);
	interp_key(x, (const uint8_t *)w);
}

static enum bt_step fetch(struct bt_vcpu *v, struct interp **out)
{
	enum insn_mode mode = mode_of(v);
	uint64_t va = linear_rip(v, mode);
	struct interp *x = &v->decoded[va % DECODED];
	const void *text = NULL;
	enum bt_step step = STEP_OK;

	*out = x;
	if (beyond_limit(v, mode, 0))
		return fault_gp(v);
	if (!v->replay.done)
		v->replay.got = 0;
	if (!v->replay.got)
		step = mmu_text(v, va, &text);
	if (step != STEP_OK)
		return step;
	if (text) {
		decode_text(text, mode, x);
		v->replay.got = REPLAY_TEXT;
	} else if (v->replay.got != REPLAY_TEXT) {
		step = decode_split(v, va, mode, x);
	}
	if (step != STEP_OK)
		return step;
	x->next = v->rip + x->in.len;
	if (mode != MODE_64)
		x->next = (uint32_t)x->next;
	return check_limit(v, &x->in);
}

int interp_init(struct bt_vcpu *v)
{
	v->decoded = calloc(DECODED, sizeof(*v->decoded));
	if (!v->decoded)
		return -ENOMEM;
	for (unsigned i = 0; i < DECODED; i++)
		v->decoded[i].mask[1] = INTERP_MODE_MASK;
	return native_init(v);
}

void interp_finish(struct bt_vcpu *v)
{
	native_finish(v);
	free(v->decoded);
	v->decoded = NULL;
}

/* ---- dispatch --------------------------------------------------------------------------- */

/* Undefined in real and virtual-8086 mode. */
static bool needs_protection(unsigned op)
{
	switch (op) {
	case OP_ARPL:
	case OP_LLDT:
	case OP_LTR:
	case OP_SLDT:
	case OP_STR:
	case OP_VERR:
	case OP_VERW:
	case OP_LAR:
	case OP_LSL:
		return true;
	default:
		return false;
	}
}

static enum bt_step system_op(struct bt_vcpu *v, struct interp *x)
{
	interp_fn fn = interp_sys_table[x->in.op];

	if (!fn || (needs_protection(x->in.op) && !protected_mode(v)))
		return bt_fault(v, EXC_UD);
	if ((x->in.attr & ATTR_PRIV) && v->cpl != 0)
		return fault_gp(v);
	return fn(v, x);
}

static enum bt_step undefined_op(struct bt_vcpu *v, struct interp *x)
{
	(void)x;
	return bt_fault(v, EXC_UD);
}

static const interp_fn class_table[] = {
        [CLASS_COPY] = interp_copy, [CLASS_JCC] = exec_jcc,         [CLASS_JMP] = exec_jmp,
        [CLASS_CALL] = exec_call,   [CLASS_JMP_IND] = exec_jmp_ind, [CLASS_CALL_IND] = exec_call_ind,
        [CLASS_RET] = exec_ret,     [CLASS_PUSH] = exec_push,       [CLASS_POP] = exec_pop,
        [CLASS_LEAVE] = exec_leave, [CLASS_STRING] = interp_string, [CLASS_LOOP] = exec_loop,
        [CLASS_FLAGS] = system_op,  [CLASS_SYS] = system_op,        [CLASS_UD] = undefined_op,
};

/* ---- before and after ---------------------------------------------------------------------- */

static bool break_on_fetch(struct bt_vcpu *v)
{
	uint64_t bits;

	if (!(v->dr[7] & 0xff) || (v->rflags & FL_RF))
		return false;
	bits = interp_breakpoint(v, linear_rip(v, mode_of(v)), 1, BREAK_EXEC);
	if (bits) {
		bt_fault(v, EXC_DB);
		v->exc.dr6 = bits;
	}
	return bits != 0;
}

/*
 * Whether TF asks for a trap after this instruction: TF as it was before; for fast calls as it is now, too; and
 * for sysret, as it is now.
 */
static bool single_step(const struct bt_vcpu *v, const struct insn *in, bool tf)
{
	if (in->op == OP_SYSCALL || in->op == OP_SYSENTER)
		return tf && (v->rflags & FL_TF);
	if (in->op == OP_SYSRET)
		return v->rflags & FL_TF;
	return tf;
}

/* RF lasts for one instruction, all of its repetitions included; iret loads it. */
static void drop_rf(struct bt_vcpu *v, const struct interp *x)
{
	bool string = x->in.class_ == CLASS_STRING || x->in.op == OP_INS || x->in.op == OP_OUTS;

	if (x->in.op != OP_IRET && !(string && x->next == v->rip))
		v->rflags &= ~FL_RF;
}

static enum bt_step trap(struct bt_vcpu *v)
{
	v->pending_db = false;
	v->exc = (struct bt_exc){.vector = EXC_DB, .dr6 = v->pending_dr6};
	return STEP_FAULT;
}

/* What is left to do when an instruction is complete. */
static enum bt_step finish(struct bt_vcpu *v, const struct interp *x, bool tf)
{
	drop_rf(v, x);
	v->rip = x->next;
	replay_clear(v);
	/* Behind a load of ss a single step is not taken, and a breakpoint waits. */
	if (v->shadow && x->in.op != OP_STI)
		return STEP_OK;
	if (single_step(v, &x->in, tf)) {
		v->pending_db = true;
		v->pending_dr6 |= DR6_BS;
	}
	if (!v->pending_db)
		return STEP_OK;
	return trap(v);
}

/* What was as it is, in case the instruction does not complete. */
struct before {
	uint8_t shadow;
	bool tf, pending_db;
	uint64_t pending_dr6;
};

/*
 * Nothing is complete: what the instruction noted is forgotten. A trap that has
 * waited behind a load of ss goes on waiting while the core is asked, comes
 * after a software interrupt, at its handler's first instruction, and is one
 * with the #DB of int1.
 */
static enum bt_step abandon(struct bt_vcpu *v, enum bt_step step, const struct before *b)
{
	bool fault = step == STEP_FAULT;

	v->pending_db = b->pending_db && (!fault || v->exc.soft);
	v->pending_dr6 = b->pending_dr6;
	if (b->pending_db && fault && !v->exc.soft && v->exc.vector == EXC_DB)
		v->exc.dr6 |= b->pending_dr6;
	if (step == STEP_EXIT && v->exit->reason == EXIT_HYPERCALL)
		return step;
	v->shadow = b->shadow;
	if (step == STEP_FAULT)
		replay_clear(v);
	return step;
}

enum bt_step interp_step(struct bt_vcpu *v)
{
	return interp_step_if(v, NULL);
}

enum bt_step interp_step_if(struct bt_vcpu *v, bool (*may)(struct bt_vcpu *v, const struct insn *in))
{
	struct before before;
	struct interp *x;
	enum bt_step step;

	if (!v->pending_db)
		v->pending_dr6 = 0;
	else if (!v->shadow)
		return trap(v);
	before = (struct before){v->shadow, v->rflags & FL_TF, v->pending_db, v->pending_dr6};
	v->replay.next = 0;
	if (break_on_fetch(v))
		return STEP_FAULT;
	step = fetch(v, &x);
	if (step == STEP_OK && may && !may(v, &x->in))
		step = bt_fault(v, EXC_UD);
	if (step == STEP_OK) {
		v->shadow = 0;
		step = class_table[x->in.class_](v, x);
	}
	return step == STEP_OK ? finish(v, x, before.tf) : abandon(v, step, &before);
}
