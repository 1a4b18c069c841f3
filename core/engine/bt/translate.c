/* SPDX-License-Identifier: MIT */
/*
 * The translator: guest code at a physical address to a block of host code.
 *
 * A block is straight-line guest code within one page; it runs on past
 * conditional branches that are not taken and ends at any other transfer, at
 * the page's end, or before what only C can do. First all its instructions are
 * decoded, then flag liveness is computed backwards, then each is emitted.
 */
#include "engine/bt/trans.h"

#define BLOCK_EXITS 16
#define BLOCK_CODE_MAX (40u << 10)

/* ---- flags --------------------------------------------------------------------- */

void flags_save(struct trans *t)
{
	static const uint8_t lahf_seto[] = { 0x9f, 0x0f, 0x90, 0xc0 };

	e_mov_rr(t, T1, RAX);
	e_bytes(t, lahf_seto, 4);
	e_gs_store32(t, V_OFF(flags_slot), RAX);
	e_mov_rr(t, RAX, T1);
	clobber(t, 1u << T1);
	t->in_slot = true;
	t->op_slot = true;
}

/* al is 0 or 1: adding 0x7f overflows for 1, which puts OF back; sahf does the rest. */
void flags_restore(struct trans *t)
{
	static const uint8_t add_sahf[] = { 0x04, 0x7f, 0x9e };

	if (t->in_host)
		return;
	e_mov_rr(t, T1, RAX);
	e_gs_load32(t, RAX, V_OFF(flags_slot));
	e_bytes(t, add_sahf, 3);
	e_mov_rr(t, RAX, T1);
	clobber(t, 1u << T1);
	t->in_host = true;
}

/*
 * Where the manual leaves a flag undefined, some instructions leave the old
 * value in fact (bt, mul, rotates), and that is preserved. Logic, shifts and
 * bit scans do not: their "undefined" flags (AF, mostly) do not depend on the
 * old ones, so nobody need keep those. Without this AF would hardly ever die.
 */
unsigned flags_killed(const struct insn *in)
{
	switch (in->op) {
	case OP_AND:
	case OP_OR:
	case OP_XOR:
	case OP_TEST:
	case OP_SHL:
	case OP_SHR:
	case OP_SAL:
	case OP_SAR:
	case OP_SHLD:
	case OP_SHRD:
	case OP_BSF:
	case OP_BSR:
	case OP_ANDN:
	case OP_BEXTR:
	case OP_BZHI:
	case OP_BLSI:
	case OP_BLSR:
	case OP_BLSMSK:
		return in->fl_written | (in->fl_undef & ~(unsigned)in->fl_read);
	default:
		return in->fl_written;
	}
}

/* ---- decoding -------------------------------------------------------------------- */

static bool ends_block(const struct insn *in)
{
	switch (in->class_) {
	case CLASS_COPY:
	case CLASS_JCC:
	case CLASS_PUSH:
	case CLASS_POP:
	case CLASS_LEAVE:
	case CLASS_STRING:
	case CLASS_LOOP:
		return false;
	case CLASS_FLAGS:
		return in->op == OP_POPF;
	default:
		return true;
	}
}

/* Two words at any address; a call of memcpy, which a sanitizer makes of a builtin, would use vector registers. */
struct two_words {
	uint64_t word[2];
} __attribute__((packed, may_alias));

/* At most INSN_MAX bytes from rip on, none from the next page. Returns how many. */
static unsigned take_text(const struct trans *t, uint8_t *text, uint64_t rip)
{
	unsigned off = (unsigned)(rip & ~PAGE_MASK), room = (unsigned)PAGE_SIZE - off;

	if (room >= 16) {
		const struct two_words *from = (const struct two_words *)(const void *)(t->bytes + off);

		((struct two_words *)(void *)text)->word[0] = from->word[0];
		((struct two_words *)(void *)text)->word[1] = from->word[1];
		return INSN_MAX;
	}
	bt_copy(text, t->bytes + off, room);
	return room;
}

static void decode_block(struct trans *t)
{
	uint64_t rip = t->rip;
	unsigned exits = 0;

	if (t->crosses) {
		insn_decode(&t->insn[0], t->cross, INSN_MAX, t->mode);
		system_refine(&t->insn[0]);
		t->insn_rip[t->n++] = rip;
		return;
	}
	while (t->n < BLOCK_INSNS && same_page(t, rip)) {
		struct insn *in = &t->insn[t->n];

		if (!insn_decode(in, t->text[t->n], take_text(t, t->text[t->n], rip), t->mode))
			break;
		system_refine(in);
		t->insn_rip[t->n++] = rip;
		rip += in->len;
		exits += in->class_ == CLASS_JCC || in->class_ == CLASS_LOOP;
		if (ends_block(in) || exits == BLOCK_EXITS)
			break;
	}
}

static uint64_t branch_target(const struct trans *t, unsigned i)
{
	uint64_t target = t->insn_rip[i] + t->insn[i].len + (uint64_t)t->insn[i].imm;

	return t->mode == MODE_64 ? target : (uint32_t)target;
}

static unsigned live_at_end(struct trans *t)
{
	const struct insn *last = &t->insn[t->n - 1];

	if (last->class_ == CLASS_JMP || last->class_ == CLASS_CALL)
		return flow_live_at(t, branch_target(t, t->n - 1));
	if (ends_block(last))
		return FL_ARITH;
	return flow_live_at(t, t->insn_rip[t->n - 1] + last->len);
}

static void analyse_flags(struct trans *t)
{
	unsigned live = live_at_end(t);

	for (unsigned i = t->n; i-- > 0;) {
		const struct insn *in = &t->insn[i];

		if (in->class_ == CLASS_JCC || in->class_ == CLASS_LOOP)
			live |= flow_live_at(t, branch_target(t, i));
		t->live_after[i] = (uint16_t)live;
		live = (live & ~flags_killed(in)) | in->fl_read;
		if (t->v->vm->all_live || flags_at_fault(in) ||
		    (ends_block(in) && in->class_ != CLASS_JMP && in->class_ != CLASS_CALL))
			live = FL_ARITH;
	}
	t->live_before = (uint16_t)live;
}

/* ---- emission ----------------------------------------------------------------------- */

/* What exists in 32-bit code only has no bytes to copy. */
static bool only_32bit(const struct insn *in)
{
	return (in->op >= OP_DAA && in->op <= OP_ARPL) || in->op == OP_SALC ||
	       (in->map == MAP_1 && !in->vex && in->opcode == 0x82);
}

static bool trans_copy(struct trans *t, const struct insn *in, const uint8_t *bytes)
{
	if (in->op == OP_NOP || in->op == OP_PREFETCH)
		return true;
	if (only_32bit(in))
		return false;
	if ((t->key & KEY_NOFPU) && (in->attr & (ATTR_FPU | ATTR_SSE | ATTR_AVX)))
		return false;
	if (in->attr & ATTR_MEM)
		return trans_mem(t, in, bytes);
	if (in->op == OP_COPY_ONLY && in->has_modrm && in->mod != 3)
		return false;
	return trans_reg(t, in, bytes);
}

static bool trans_one(struct trans *t, const struct insn *in, const uint8_t *bytes)
{
	switch (in->class_) {
	case CLASS_COPY:
		return trans_copy(t, in, bytes);
	case CLASS_JCC:
		flow_jcc(t, in, t->mode == MODE_64 ? t->next + (uint64_t)in->imm
						   : (uint32_t)(t->next + (uint64_t)in->imm));
		return true;
	case CLASS_JMP:
		flow_direct(t, t->next + (uint64_t)in->imm, t->live);
		return true;
	case CLASS_CALL:
		return trans_call(t, in);
	case CLASS_JMP_IND:
		return trans_jmp_ind(t, in);
	case CLASS_CALL_IND:
		return trans_call_ind(t, in);
	case CLASS_RET:
		return trans_ret(t, in);
	case CLASS_PUSH:
		return trans_push(t, in);
	case CLASS_POP:
		return trans_pop(t, in);
	case CLASS_LEAVE:
		return trans_leave(t, in);
	case CLASS_STRING:
		return trans_string(t, in);
	case CLASS_LOOP:
		return trans_loop(t, in);
	case CLASS_FLAGS:
		return trans_flags_op(t, in);
	case CLASS_SYS:
		return trans_system(t, in);
	default:
		return false;
	}
}

static void emit_insn(struct trans *t, unsigned i)
{
	struct insn *in = &t->insn[i];
	struct block_insn *m = &t->block->insns[i];
	uint64_t rip = t->insn_rip[i];

	t->cur = i;
	t->t0_disp = 0;
	t->next = rip + in->len;
	t->live = t->live_after[i];
	t->op_slot = t->in_slot;
	m->host = (uint16_t)(here(t) - t->block->code);
	m->guest = (uint16_t)(rip - t->rip);
	t->block->n_insns = (uint16_t)(i + 1);
	t->block->guest_len = (uint16_t)(t->next - t->rip);
	if (!trans_one(t, in, t->crosses ? t->cross : t->text[i])) {
		flow_step(t, rip, in);
		t->ended = true;
	} else if (ends_block(in)) {
		t->ended = true;
	}
	if (t->op_slot)
		m->guest |= INSN_SLOT;
	if (t->sti && --t->sti == 0 && !t->ended)
		flow_poll(t, t->next, t->live);
}

static void emit_entries(struct trans *t)
{
	t->block->entry_b = here(t);
	t->in_slot = true;
	t->in_host = false;
	if (t->live_before)
		flags_restore(t);
	t->block->entry_a = here(t);
	t->in_slot = false;
	t->in_host = true;
}

static bool emit_block(struct trans *t)
{
	struct block *b = t->block;

	b->code = here(t);
	emit_entries(t);
	t->cached = 0;
	for (unsigned i = 0; i < t->n && !t->ended; i++) {
		emit_insn(t, i);
		if (!t->sti && (here(t) - b->code > BLOCK_CODE_MAX || t->n_stubs > BLOCK_STUBS - 64))
			break;
	}
	if (!t->ended)
		flow_direct(t, t->next, t->live);
	flow_stubs(t);
	b->code_end = here(t);
	return !t->full;
}

/* Jumps whose targets exist already go there at once. */
static void link_known(struct trans *t)
{
	for (struct link *l = t->block->outgoing; l; l = l->next_out) {
		uint64_t gpa = (t->block->gpa & PAGE_MASK) | (l->rip & ~PAGE_MASK);
		struct block *to = cache_find(t->c, gpa, l->rip, t->key | (l->ungrouped ? KEY_UNGROUPED : 0));

		if (to)
			link_set(t->c, l, to);
	}
}

static bool begin(struct trans *t, struct bt_vcpu *v, uint64_t rip, uint64_t gpa)
{
	struct code_cache *c = &v->vm->cache;

	t->v = v;
	t->c = c;
	t->rip = rip;
	t->next = rip;
	t->key = v->key;
	t->mode = (enum insn_mode)(v->key & KEY_MODE);
	t->user = v->key & KEY_USER;
	t->ring3 = v->cpl == 3;
	t->bmi2 = v->vm->bmi2;
	t->full = t->ended = false;
	t->n = t->n_stubs = t->sti = 0;
	t->bytes = v->mem->base + (gpa & PAGE_MASK);
	t->p = c->code + ((c->used + 15) & ~15u);
	decode_block(t);
	if (t->n == 0)
		return false;
	analyse_flags(t);
	group_find(t);
	t->block = cache_meta(c, sizeof(*t->block));
	if (!t->block)
		return false;
	t->block->insns = cache_meta(c, t->n * sizeof(struct block_insn));
	t->block->rip = rip;
	t->block->gpa = gpa;
	t->block->key = t->key | (t->ungrouped ? KEY_UNGROUPED : 0);
	t->link_tail = &t->block->outgoing;
	return t->block->insns != NULL;
}

/* Whether the instruction at rip goes on in the next page; then its bytes from both are in t->cross. */
static bool begin_cross(struct trans *t, struct bt_vcpu *v, uint64_t gpa, uint64_t gpa2)
{
	unsigned room = (unsigned)(PAGE_SIZE - (gpa & ~PAGE_MASK));
	struct insn in;

	if (room >= INSN_MAX || insn_decode(&in, v->mem->base + gpa, room, (enum insn_mode)(v->key & KEY_MODE)))
		return false;
	bt_copy(t->cross, v->mem->base + gpa, room);
	if (gpa2 != ~0ull)
		bt_copy(t->cross + room, v->mem->base + gpa2, INSN_MAX - room);
	return true;
}

/* The record on the second page's list, so that a store there drops the block. */
static bool add_part(struct trans *t, uint64_t gpa2)
{
	struct block *b = t->block, *part = cache_meta(t->c, sizeof(*part));

	if (!part)
		return false;
	part->master = b;
	part->gpa = gpa2;
	part->guest_len = (uint16_t)(b->guest_len - (PAGE_SIZE - (b->gpa & ~PAGE_MASK)));
	b->part = part;
	b->gpa2 = gpa2;
	return true;
}

static struct block *finish(struct trans *t)
{
	__atomic_store_n(&t->c->used, t->block->code_end, __ATOMIC_RELAXED);
	cache_insert(t->v, t->block);
	link_known(t);
	t->v->n_translate++;
	return t->block;
}

struct block *translate(struct bt_vcpu *v, uint64_t rip, uint64_t gpa, uint64_t gpa2, bool *crosses)
{
	struct trans *t = v->vm->trans;

	t->ungrouped = v->vm->no_groups;
	*crosses = t->crosses = begin_cross(t, v, gpa, gpa2);
	if (rip < v->vm->bisect_lo || rip > v->vm->bisect_hi || (t->crosses && gpa2 == ~0ull))
		return NULL;
	if (!begin(t, v, rip, gpa) || !emit_block(t) || (t->crosses && !add_part(t, gpa2)))
		return NULL;
	return finish(t);
}

struct block *translate_ungrouped(struct bt_vcpu *v, uint64_t rip, uint64_t gpa)
{
	struct trans *t = v->vm->trans;

	t->ungrouped = true;
	t->crosses = false;
	if (!begin(t, v, rip, gpa) || !emit_block(t))
		return NULL;
	return finish(t);
}
