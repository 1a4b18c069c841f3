/* SPDX-License-Identifier: MIT */
/*
 * Dispatch: what happens whenever translated code needs C.
 *
 * Each handler gets the vCPU with its general registers in gpr[] and its flags
 * in the slot. The quick ones answer without more; the others make the state
 * "synced" (bt_sync_in) and end in bt_dispatch, which serves events, steps
 * what cannot be translated and finds the block for v->rip.
 */
#include "engine/bt/run.h"
#include "engine/bt/decode.h"
#include "engine/bt/exception.h"
#include "engine/bt/interp.h"
#include "engine/bt/mmu.h"
#include "engine/bt/sys.h"
#include "engine/bt/trans.h"

#define CHECK_OFF(m, o) _Static_assert(offsetof(struct bt_vcpu, m) == (o), "offset in thunk.S: " #m)
CHECK_OFF(gpr, 0);
CHECK_OFF(rip, 0x80);
CHECK_OFF(host_rsp, 0x88);
CHECK_OFF(flags_slot, 0x90);
CHECK_OFF(if_flag, 0x94);
CHECK_OFF(poll, 0x98);
CHECK_OFF(poll_irq, 0x9c);
CHECK_OFF(va, 0xa0);
CHECK_OFF(resume, 0xa8);
CHECK_OFF(scratch, 0x100);
CHECK_OFF(self, 0x1e8);
CHECK_OFF(jc, BT_OFF_JC);
CHECK_OFF(tlb, BT_OFF_TLB);
_Static_assert(BT_OFF_JC == 0x1000 && JC_SIZE == 16384 && TLB_SIZE == 16384, "constants in thunk.S");
_Static_assert(offsetof(struct tlb_entry, tag_w) == 8, "constants in thunk.S");

/* ---- events ------------------------------------------------------------------ */

static bool shutdown_exit(struct bt_vcpu *v)
{
	v->exit->reason = EXIT_SHUTDOWN;
	v->exit->rip = v->rip;
	return false;
}

static bool deliver(struct bt_vcpu *v)
{
	v->n_exc++;
	replay_clear(v);
	return exc_deliver(v) || shutdown_exit(v);
}

static bool inject(struct bt_vcpu *v, uint8_t vector)
{
	v->n_irq++;
	v->halted = false;
	return exc_interrupt(v, vector) || shutdown_exit(v);
}

static bool serve_irq(struct bt_vcpu *v)
{
	int vector;

	if (!v->if_flag || v->shadow) {
		v->irq_wait = 1;
		return true;
	}
	atomic_fetch_and(v->env->attention, ~ATTN_IRQ);
	v->irq_wait = 0;
	vector = v->env->irq_accept(v->env->opaque);
	if (vector < 0)
		return true;
	if (v->env->irq_pending(v->env->opaque)) {
		atomic_fetch_or(v->env->attention, ATTN_IRQ);
		v->irq_wait = 1;
	}
	return inject(v, (uint8_t)vector);
}

/* False when the core must look: v->exit is filled. The poll word is cleared before attention is read. */
static bool serve(struct bt_vcpu *v)
{
	uint32_t attention;

	__atomic_store_n(&v->poll, 0, __ATOMIC_SEQ_CST);
	v->poll_irq = 0;
	attention = atomic_load(v->env->attention);
	if (attention & ATTN_INVAL) {
		atomic_fetch_and(v->env->attention, ~ATTN_INVAL);
		cache_serve_inval(v);
	}
	if ((attention & ATTN_NMI) && !v->nmi_blocked && !v->shadow) {
		atomic_fetch_and(v->env->attention, ~ATTN_NMI);
		if (!inject(v, EXC_NMI))
			return false;
	}
	if ((attention & ATTN_IRQ) && !serve_irq(v))
		return false;
	if (attention & (ATTN_PAUSE | ATTN_STOP | ATTN_WAKE)) {
		v->exit->reason = EXIT_INTR;
		v->exit->rip = v->rip;
		return false;
	}
	return true;
}

static bool poll_pending(const struct bt_vcpu *v)
{
	return __atomic_load_n(&v->poll, __ATOMIC_RELAXED) | v->poll_irq;
}

/* ---- stepping ------------------------------------------------------------------ */

static bool finish_step(struct bt_vcpu *v, enum bt_step st)
{
	v->n_step++;
	switch (st) {
	case STEP_OK:
		if (v->irq_wait && v->if_flag)
			v->poll_irq = 1;
		return true;
	case STEP_FAULT:
		return deliver(v);
	default:
		return false;
	}
}

static bool step(struct bt_vcpu *v)
{
	return finish_step(v, interp_step(v));
}

static bool halted_exit(struct bt_vcpu *v)
{
	v->exit->reason = EXIT_HLT;
	v->exit->rip = v->rip;
	return false;
}

/* ---- finding code ---------------------------------------------------------------- */

static enum bt_step code_gpa(struct bt_vcpu *v, uint64_t rip, uint64_t *gpa, bool *global)
{
	bool user = v->key & KEY_USER;
	struct bt_itlb *t = &v->itlb[user][rip >> PAGE_SHIFT & 255];
	struct mmu_page page;
	enum bt_step st;

	*global = t->gen & 1;
	if (t->va == (rip & PAGE_MASK) && t->gen >> 1 == v->itlb_gen[t->gen & 1]) {
		*gpa = t->gpa | (rip & ~PAGE_MASK);
		return STEP_OK;
	}
	st = mmu_walk(v, rip, ACC_EXEC | (user ? ACC_USER : 0), &page);
	if (st != STEP_OK)
		return st;
	*gpa = page.gpa;
	*global = page.global;
	*t = (struct bt_itlb){ .va = rip & PAGE_MASK, .gpa = page.gpa & PAGE_MASK };
	t->gen = v->itlb_gen[page.global] << 1 | page.global;
	return STEP_OK;
}

static void mark_code(struct bt_vcpu *v, uint64_t gpa)
{
	if (v->mem->code[gpa >> PAGE_SHIFT])
		return;
	v->mem->code[gpa >> PAGE_SHIFT] = 1;
	tlb_protect_gpa(v, gpa & PAGE_MASK, false);
}

static struct block *block_for(struct bt_vcpu *v, uint64_t rip, uint64_t gpa)
{
	struct code_cache *c = &v->vm->cache;
	struct block *b = cache_find(c, gpa, rip, v->key);

	if (b)
		return b;
	if (mem_kind(v->mem, gpa) == MEM_NONE)
		return NULL;
	if (!cache_room(c))
		cache_flush(v);
	mark_code(v, gpa);
	return translate(v, rip, gpa);
}

static void jc_check_key(struct bt_vcpu *v)
{
	unsigned class = (v->key & KEY_USER) != 0;

	if (v->jc_key[class] != v->key) {
		jc_flush(v, true);
		v->jc_key[class] = v->key;
	}
}

/* Code for v->rip; NULL with *st: faulted, or (STEP_OK) to be stepped. State need not be synced. */
static const void *find_code(struct bt_vcpu *v, enum bt_step *st)
{
	const struct jc_entry *e = &v->jc[(v->key & KEY_USER) != 0][jc_index(v->rip)];
	const void *code;
	struct block *b;
	uint64_t gpa;
	bool global;

	*st = STEP_OK;
	jc_check_key(v);
	if (e->rip == v->rip)
		return e->code;
	v->n_lookup++;
	*st = code_gpa(v, v->rip, &gpa, &global);
	if (*st != STEP_OK)
		return NULL;
	b = block_for(v, v->rip, gpa);
	if (!b)
		return NULL;
	code = v->vm->cache.code + b->entry_b;
	jc_fill(v, v->rip, code, global);
	return code;
}

const void *bt_dispatch(struct bt_vcpu *v)
{
	for (;;) {
		enum bt_step st;
		const void *code;

		if (!v->replay_on && poll_pending(v) && !serve(v))
			return NULL;
		if (v->halted) {
			halted_exit(v);
			return NULL;
		}
		if (v->replay_on || v->shadow || (v->key & KEY_INTERP) || v->vm->interp_only) {
			v->replay_on = false;
			if (!step(v))
				return NULL;
			continue;
		}
		code = find_code(v, &st);
		if (code) {
			bt_sync_out(v);
			return code;
		}
		if (st == STEP_FAULT ? !deliver(v) : !step(v))
			return NULL;
	}
}

const void *bt_start(struct bt_vcpu *v)
{
	if (v->exc_pending) {
		v->exc_pending = false;
		if (!deliver(v))
			return NULL;
	}
	return bt_dispatch(v);
}

/* ---- handlers ------------------------------------------------------------------- */

const void *bt_on_lookup(struct bt_vcpu *v)
{
	enum bt_step st;

	if (!poll_pending(v)) {
		const void *code = find_code(v, &st);

		if (code)
			return code;
	}
	bt_sync_in(v);
	return bt_dispatch(v);
}

const void *bt_on_link(struct bt_vcpu *v)
{
	struct code_cache *c = &v->vm->cache;
	struct link *l = (struct link *)(c->meta + 8ull * (uint32_t)v->exit_arg);
	uint64_t flushes = c->n_flush, gpa;
	struct block *b = NULL;
	bool global;

	v->rip = l->rip;
	if (code_gpa(v, v->rip, &gpa, &global) == STEP_OK)
		b = block_for(v, v->rip, gpa);
	if (!b) {
		bt_sync_in(v);
		return bt_dispatch(v);
	}
	if (c->n_flush == flushes && !l->target)
		link_set(c, l, b);
	return c->code + b->entry_b;
}

const void *bt_on_poll(struct bt_vcpu *v)
{
	bt_sync_in(v);
	return bt_dispatch(v);
}

/* The hot system instructions, whose decoding is in the argument; others are decoded again. */
static enum bt_step step_hot(struct bt_vcpu *v, uint32_t arg)
{
	uint64_t next = v->rip + STEP_LEN(arg);

	if (arg & STEP_REP) {
		enum bt_step st = bt_rep(v, STEP_OP(arg), STEP_SIZE(arg), STEP_LEN(arg));

		return st == STEP_EXIT ? interp_step(v) : st;
	}
	switch (STEP_OP(arg)) {
	case OP_SYSCALL:
		return sys_syscall(v, next);
	case OP_IRET:
		return sys_iret(v, STEP_SIZE(arg));
	case OP_SYSRET:
		return sys_sysret(v, STEP_SIZE(arg));
	default:
		return interp_step(v);
	}
}

const void *bt_on_step(struct bt_vcpu *v)
{
	bt_sync_in(v);
	if (!finish_step(v, step_hot(v, (uint32_t)v->exit_arg)))
		return NULL;
	return bt_dispatch(v);
}

/* rip of the instruction whose check missed; its block may have been dropped meanwhile, but not its code. */
static void rip_of_miss(struct bt_vcpu *v)
{
	struct code_cache *c = &v->vm->cache;
	const uint8_t *at = c->code + (uint32_t)v->resume;
	const struct block *b = cache_block_at(c, at);
	bool slot;

	v->rip = block_rip(c, b, at, &slot);
}

/* The check before `resume` is: cmp r11, imm32 (7 bytes), ja (6), add (8). See mem_check. */
static unsigned size_of_miss(const struct bt_vcpu *v)
{
	int32_t imm;

	__builtin_memcpy(&imm, v->vm->cache.code + (uint32_t)v->resume - 8 - 6 - 4, 4);
	return 4096u - (unsigned)imm;
}

static const void *resume_with(struct bt_vcpu *v, uint64_t host)
{
	v->scratch[0] = host;
	return v->vm->cache.code + (uint32_t)v->resume;
}

/* A write beside code in a page with code: allowed, without a write tag. */
static bool beside_code(struct bt_vcpu *v, const struct mmu_page *page, unsigned size, int write)
{
	enum mem_kind kind = mem_kind(v->mem, page->gpa);

	return write && (kind == MEM_RAM || kind == MEM_HOST) && !bt_code_covers(v, page->gpa, size);
}

static const void *step_missed(struct bt_vcpu *v)
{
	rip_of_miss(v);
	bt_sync_in(v);
	return step(v) ? bt_dispatch(v) : NULL;
}

/* An x87 exception waits: the next x87 or MMX instruction raises it before its operand can fault. */
static bool x87_pending(void)
{
	uint16_t status;

	__asm__ volatile("fnstsw %0" : "=a"(status));
	return status & 0x80;
}

const void *bt_on_miss(struct bt_vcpu *v, int write)
{
	unsigned size = size_of_miss(v), access = (write ? ACC_WRITE : ACC_READ) | (v->key & KEY_USER ? ACC_USER : 0);
	bool crosses = (v->va & ~PAGE_MASK) + size > PAGE_SIZE;
	struct tlb_entry *e = NULL;
	struct mmu_page page;
	enum bt_step st;

	v->n_miss++;
	if (!crosses) {
		st = tlb_fill(v, v->va, access, &e, &page);
		/*
		 * A non-canonical address may be #GP or #SS, and a vector operand that is not aligned may be #GP
		 * before it is #PF: the interpreter knows which.
		 */
		if (st == STEP_FAULT && v->exc.vector == EXC_PF && (size < 16 || !(v->va & (size - 1))) && !x87_pending()) {
			rip_of_miss(v);
			bt_sync_in(v);
			return deliver(v) ? bt_dispatch(v) : NULL;
		}
		if (st == STEP_FAULT)
			return step_missed(v);
		if (e && (write ? e->tag_w : e->tag_r) == (v->va & PAGE_MASK))
			return resume_with(v, e->host + (v->va & ~PAGE_MASK));
		if (beside_code(v, &page, size, write))
			return resume_with(v, (uint64_t)v->mem->base + page.gpa);
	}
	return step_missed(v);
}

/* The handler has put the exception into v->exc and the registers into the vCPU. */
const void *bt_on_signal(struct bt_vcpu *v)
{
	bt_sync_in(v);
	return deliver(v) ? bt_dispatch(v) : NULL;
}
