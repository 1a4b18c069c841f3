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
#include "engine/bt/fpu.h"
#include "engine/bt/handover.h"
#include "engine/bt/interp.h"
#include "engine/bt/mmu.h"
#include "engine/bt/pv.h"
#include "engine/bt/smp.h"
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
_Static_assert(BT_OFF_JC == 0x1000 && JC_SIZE == 32768 && TLB_SIZE == 16384, "constants in thunk.S");
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
	replay_clear(v);
	if (bt_is_pv(v))
		return pv_deliver(v);
	v->n_exc++;
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
	bool live, more;
	int vector;

	if (!v->if_flag || v->shadow) {
		v->irq_wait = 1;
		return true;
	}
	atomic_fetch_and(v->env->attention, ~ATTN_IRQ);
	v->irq_wait = 0;
	/* Not our code, and it may use the vector registers, which are the guest's now. */
	live = v->fpu_live;
	fpu_save(v);
	smp_quiet(v);
	vector = v->env->irq_accept(v->env->opaque);
	more = vector >= 0 && v->env->irq_pending(v->env->opaque);
	smp_busy(v);
	if (live)
		fpu_restore(v);
	if (vector < 0)
		return true;
	if (more) {
		atomic_fetch_or(v->env->attention, ATTN_IRQ);
		v->irq_wait = 1;
	}
	return inject(v, (uint8_t)vector);
}

static bool serve_nmi(struct bt_vcpu *v)
{
	if (v->shadow)
		bt_poll_set(v);
	if (v->shadow)
		return true;
	attn_nmi_take(v->env->attention, v->nmi_blocked);
	return v->nmi_blocked || inject(v, EXC_NMI);
}

/* For a PV guest: interrupts and NMIs are what its monitor makes of them. An instruction behind mov ss goes first. */
static bool serve_monitor(struct bt_vcpu *v)
{
	uint32_t seen;

	if (v->shadow) {
		bt_poll_set(v);
		return true;
	}
	seen = atomic_fetch_and(v->env->attention, ~(ATTN_IRQ | ATTN_NMI | ATTN_NMI_MORE));
	return pv_attention(v, seen & ATTN_NMI);
}

/* False when the core must look: v->exit is filled. The poll word is cleared before attention is read. */
static bool serve(struct bt_vcpu *v)
{
	uint32_t attention;

	__atomic_store_n(&v->poll, 0, __ATOMIC_SEQ_CST);
	v->poll_irq = 0;
	smp_safepoint(v);
	attention = atomic_load(v->env->attention);
	if (attention & ATTN_INVAL) {
		atomic_fetch_and(v->env->attention, ~ATTN_INVAL);
		cache_serve_inval(v);
	}
	if ((attention & (ATTN_NMI | ATTN_IRQ)) && bt_is_pv(v)) {
		if (!serve_monitor(v))
			return false;
		attention &= ~(ATTN_NMI | ATTN_IRQ);
	}
	if ((attention & ATTN_NMI) && !serve_nmi(v))
		return false;
	if ((attention & ATTN_IRQ) && !serve_irq(v))
		return false;
	if ((attention & (ATTN_PAUSE | ATTN_STOP | ATTN_WAKE)) || (v->handover && bt_handover_due(v))) {
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
	v->exit->hlt.over = false;
	v->exit->rip = v->rip;
	return false;
}

/* ---- finding code ---------------------------------------------------------------- */

/* From here on, until the lock is released, nobody writes to the page. See smp.c. */
static void mark_code(struct bt_vcpu *v, uint64_t gpa)
{
	if (!(v->mem->code[gpa >> PAGE_SHIFT] & MEM_CODE)) {
		v->mem->code[gpa >> PAGE_SHIFT] |= MEM_CODE;
		if (v->handover)
			bt_handover_code(v, gpa);
		tlb_protect_gpa(v, gpa & PAGE_MASK, false);
	}
	smp_own_page(v, gpa);
}

static bool code_page(struct bt_vcpu *v, uint64_t gpa)
{
	if (mem_kind(v->mem, gpa) == MEM_NONE)
		return false;
	mark_code(v, gpa);
	return true;
}

/* The next page of code, for an instruction that continues there. ~0 when it is not there: the step will fault. */
static uint64_t second_page(struct bt_vcpu *v, uint64_t rip, bool *global)
{
	struct bt_exc exc = v->exc;
	uint64_t gpa;
	bool g;

	if (bt_code_gpa(v, (rip & PAGE_MASK) + PAGE_SIZE, &gpa, &g) != STEP_OK || !code_page(v, gpa)) {
		v->exc = exc;
		return ~0ull;
	}
	*global &= g;
	return gpa;
}

/* A block found again is good only while the second page is where it was. */
static bool still_good(struct bt_vcpu *v, const struct block *b, bool *global)
{
	return !b->part || second_page(v, b->rip, global) == b->gpa2;
}

/* A flush has forgotten the users of all pages. */
static void make_room(struct bt_vcpu *v, uint64_t gpa)
{
	if (cache_room(&v->vm->cache))
		return;
	cache_flush(v);
	smp_note_user(v, gpa);
}

/* With the lock. *global: as for the pages; cleared when a second page is not. */
static struct block *block_for(struct bt_vcpu *v, uint64_t rip, uint64_t gpa, bool *global)
{
	struct code_cache *c = &v->vm->cache;
	struct block *b;
	bool crosses;

	smp_note_user(v, gpa);
	b = cache_find(c, gpa, rip, v->key);
	if (b && still_good(v, b, global))
		return b;
	if (b)
		bt_code_invalidate(v, gpa, 1);
	make_room(v, gpa);
	if (!code_page(v, gpa))
		return NULL;
	b = translate(v, rip, gpa, ~0ull, &crosses);
	if (!b && crosses) {
		uint64_t gpa2 = second_page(v, rip, global);

		if (gpa2 != ~0ull)
			b = translate(v, rip, gpa, gpa2, &crosses);
	}
	return b;
}

/* With the lock. */
static struct block *ungrouped_block(struct bt_vcpu *v, uint64_t rip, uint64_t gpa)
{
	struct code_cache *c = &v->vm->cache;
	struct block *b;

	smp_note_user(v, gpa);
	b = cache_find(c, gpa, rip, v->key | KEY_UNGROUPED);
	if (b)
		return b;
	make_room(v, gpa);
	return code_page(v, gpa) ? translate_ungrouped(v, rip, gpa) : NULL;
}

static void jc_check_key(struct bt_vcpu *v)
{
	unsigned class = (v->key & KEY_USER) != 0;

	if (v->jc_key[class] != v->key) {
		jc_flush_class(v, class, true);
		v->jc_key[class] = v->key;
	}
}

/*
 * The block for v->rip; NULL with *st: faulted, or (STEP_OK) to be stepped. One
 * that exists is found without the lock; the address is asked for again with
 * it, for waiting may have changed what it means.
 */
static struct block *find_block(struct bt_vcpu *v, enum bt_step *st, bool *global)
{
	struct block *b = NULL;
	uint64_t gpa;

	*st = bt_code_gpa(v, v->rip, &gpa, global);
	if (*st != STEP_OK)
		return NULL;
	smp_note_user(v, gpa);
	b = cache_find(&v->vm->cache, gpa, v->rip, v->key);
	if (b && !b->part)
		return b;
	smp_lock(v);
	*st = bt_code_gpa(v, v->rip, &gpa, global);
	b = *st == STEP_OK ? block_for(v, v->rip, gpa, global) : NULL;
	smp_unlock(v);
	return b;
}

/* Code for v->rip; NULL as above. State need not be synced. */
static const void *find_code(struct bt_vcpu *v, enum bt_step *st)
{
	const struct jc_entry *jc = v->jc[(v->key & KEY_USER) != 0];
	unsigned i = jc_index(v->rip);
	const void *code;
	struct block *b;
	bool global;

	*st = STEP_OK;
	jc_check_key(v);
	if (jc[i].rip == v->rip)
		return jc[i].code;
	if (jc[i ^ 1].rip == v->rip)
		return jc[i ^ 1].code;
	v->n_lookup++;
	b = find_block(v, st, &global);
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

/* With the lock; the link may be gone by then. */
static struct block *follow_link(struct bt_vcpu *v, struct link *l, bool ungrouped, uint64_t flushes)
{
	struct code_cache *c = &v->vm->cache;
	struct block *b;
	uint64_t gpa;
	bool global;

	if (bt_code_gpa(v, v->rip, &gpa, &global) != STEP_OK)
		return NULL;
	b = ungrouped ? ungrouped_block(v, v->rip, gpa) : block_for(v, v->rip, gpa, &global);
	if (b && c->n_flush == flushes && !l->target && !b->part)
		link_set(c, l, b);
	return b;
}

const void *bt_on_link(struct bt_vcpu *v)
{
	struct code_cache *c = &v->vm->cache;
	struct link *l = (struct link *)(c->meta + 8ull * (uint32_t)v->exit_arg);
	uint64_t flushes = c->n_flush;
	bool ungrouped = l->ungrouped;
	struct block *b;

	v->rip = l->rip;
	smp_lock(v);
	b = follow_link(v, l, ungrouped, flushes);
	smp_unlock(v);
	if (b)
		return c->code + b->entry_b;
	bt_sync_in(v);
	return bt_dispatch(v);
}

const void *bt_on_poll(struct bt_vcpu *v)
{
	bt_sync_in(v);
	return bt_dispatch(v);
}

/* CPL 0 needs no leave for a port; completed by vcpu_run without another look at the instruction. */
static enum bt_step port_access(struct bt_vcpu *v, uint32_t arg)
{
	struct vcpu_exit *e = v->exit;

	if (!(arg & STEP_DX) || v->cpl != 0 || (v->key & KEY_MODE) != MODE_64)
		return interp_step(v);
	e->reason = EXIT_PIO;
	e->rip = v->rip;
	e->pio.port = (uint16_t)v->gpr[RDX];
	e->pio.width = (uint8_t)STEP_SIZE(arg);
	e->pio.write = STEP_OP(arg) == OP_OUT;
	e->pio.data = e->pio.write ? (uint32_t)(v->gpr[RAX] & (0xffffffffull >> (32 - 8 * e->pio.width))) : 0;
	e->pio.count = 1;
	v->pio_len = (uint8_t)STEP_LEN(arg);
	return STEP_EXIT;
}

/* The flags that sysret loads are in force at once: TF traps after it. */
static enum bt_step sysret(struct bt_vcpu *v, unsigned opsize)
{
	enum bt_step st = sys_sysret(v, opsize);

	if (st != STEP_OK || !(v->rflags & FL_TF))
		return st;
	v->exc = (struct bt_exc){ .vector = EXC_DB, .dr6 = DR6_BS };
	return STEP_FAULT;
}

/* As interp-sys.c's clac. */
static enum bt_step clac(struct bt_vcpu *v, bool set, uint64_t next)
{
	if (v->cpl != 0 || !(v->cr4_valid & CR4_SMAP) || !bt_code64(v))
		return interp_step(v);
	v->rflags = (v->rflags & ~FL_AC) | (set ? FL_AC : 0);
	tlb_smap(v, set);
	v->rip = next;
	return STEP_OK;
}

/* The hot system instructions, whose decoding is in the argument; others are decoded again. */
static enum bt_step step_hot(struct bt_vcpu *v, uint32_t arg)
{
	uint64_t next = v->rip + STEP_LEN(arg);

	switch (STEP_OP(arg)) {
	case OP_IN:
	case OP_OUT:
		return port_access(v, arg);
	case OP_SYSCALL:
		return sys_syscall(v, next);
	case OP_IRET:
		v->replay.got = 0; /* should its stack be a device, the interpreter goes on with it, and has not read it yet */
		return sys_iret(v, STEP_SIZE(arg));
	case OP_SYSRET:
		return sysret(v, STEP_SIZE(arg));
	case OP_CLAC:
	case OP_STAC:
		return clac(v, STEP_OP(arg) == OP_STAC, next);
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

static uint32_t miss_offset(const struct bt_vcpu *v)
{
	return (uint32_t)v->resume & ~RESUME_GROUP;
}

/* rip of the instruction whose check missed; its block may have been dropped meanwhile, but not its code. */
static void rip_of_miss(struct bt_vcpu *v)
{
	struct code_cache *c = &v->vm->cache;
	const uint8_t *at = c->code + miss_offset(v);
	const struct block *b;
	bool slot;

	if (!v->resume) {
		v->rip = v->resume_rip;
		return;
	}
	b = cache_block_at(c, at);
	v->rip = block_rip(c, b, at, &slot);
}

/* The check before `resume` is: cmp r11, imm32 (7 bytes), ja (6), add (8). See mem_check. */
static unsigned size_of_miss(const struct bt_vcpu *v)
{
	int32_t imm;

	__builtin_memcpy(&imm, v->vm->cache.code + miss_offset(v) - 8 - 6 - 4, 4);
	return 4096u - (unsigned)imm;
}

static const void *resume_with(struct bt_vcpu *v, uint64_t host)
{
	v->scratch[0] = host;
	return v->vm->cache.code + miss_offset(v);
}

/*
 * A write beside code in a page with code: allowed once, without a write tag.
 * Not when the lock had to be waited for: the page may be another's by now.
 */
static bool beside_code(struct bt_vcpu *v, const struct mmu_page *page, unsigned size, int write)
{
	enum mem_kind kind = mem_kind(v->mem, page->gpa);
	uint64_t lost = v->smp.lost;
	bool beside;

	if (!write || (kind != MEM_RAM && kind != MEM_HOST))
		return false;
	smp_lock(v);
	bt_note_writer(v, page->gpa);
	beside = !bt_code_covers(v, page->gpa, size);
	smp_unlock(v);
	return beside && v->smp.lost == lost;
}

static const void *step_missed(struct bt_vcpu *v)
{
	rip_of_miss(v);
	bt_sync_in(v);
	return step(v) ? bt_dispatch(v) : NULL;
}

/* Goes on at the missed instruction in code that checks every access by itself. */
static const void *ungrouped(struct bt_vcpu *v)
{
	struct code_cache *c = &v->vm->cache;
	struct block *b;
	uint64_t gpa;
	bool global;

	v->n_ungrouped++;
	rip_of_miss(v);
	smp_lock(v);
	b = bt_code_gpa(v, v->rip, &gpa, &global) == STEP_OK ? ungrouped_block(v, v->rip, gpa) : NULL;
	smp_unlock(v);
	if (b)
		return c->code + b->entry_b;
	bt_sync_in(v);
	return step(v) ? bt_dispatch(v) : NULL;
}

static const void *group_miss(struct bt_vcpu *v, unsigned size, unsigned access)
{
	bool write = access & ACC_WRITE;
	struct tlb_entry *e = NULL;
	struct mmu_page page;

	if ((v->va & ~PAGE_MASK) + size > PAGE_SIZE || tlb_fill(v, v->va, access, &e, &page) != STEP_OK || !e)
		return ungrouped(v);
	if (!v->resume || (write ? e->tag_w : e->tag_r) != (v->va & PAGE_MASK))
		return ungrouped(v);
	return resume_with(v, e->host + (v->va & ~PAGE_MASK));
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
	unsigned size = size_of_miss(v), access = (write ? ACC_WRITE : ACC_READ) | mmu_rights(v);
	bool crosses = (v->va & ~PAGE_MASK) + size > PAGE_SIZE;
	struct tlb_entry *e = NULL;
	struct mmu_page page;
	enum bt_step st;

	v->n_miss++;
	if (v->resume & RESUME_GROUP)
		return group_miss(v, size, access);
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
		if (v->resume && e && (write ? e->tag_w : e->tag_r) == (v->va & PAGE_MASK))
			return resume_with(v, e->host + (v->va & ~PAGE_MASK));
		if (beside_code(v, &page, size, write) && v->resume) {
			v->n_beside++;
			return resume_with(v, (uint64_t)v->mem->base + page.gpa);
		}
	}
	return step_missed(v);
}

/* The handler has put the exception into v->exc and the registers into the vCPU. */
const void *bt_on_signal(struct bt_vcpu *v)
{
	bt_sync_in(v);
	return deliver(v) ? bt_dispatch(v) : NULL;
}
