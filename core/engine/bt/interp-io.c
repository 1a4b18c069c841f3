/* SPDX-License-Identifier: MIT */
/*
 * Port I/O: through the replay record of interp.h.
 *
 * The elements of rep ins and rep outs that lie in one page of plain memory go
 * in one exit. All that can be wrong with them is found before: rights to the
 * port, the segment's limit, the page; so the exit is completed without another
 * look at the instruction, as the bus cycles of the processor would be. What is
 * not that simple goes one by one: DF, a page or the address size that ends
 * within an element, memory that is none, debug traps, alignment checks.
 */
#include "engine/bt/interp-internal.h"

enum bt_step io_port(struct bt_vcpu *v, uint16_t port, unsigned width, bool write, uint64_t *value)
{
	struct vcpu_exit *exit = v->exit;
	uint64_t answer;

	if (replay_take(v, &answer)) {
		if (!write)
			*value = answer & size_mask(width);
		return STEP_OK;
	}
	exit->reason = EXIT_PIO;
	exit->rip = v->rip;
	exit->pio.port = port;
	exit->pio.width = (uint8_t)width;
	exit->pio.write = write;
	exit->pio.data = write ? (uint32_t)(*value & size_mask(width)) : 0;
	exit->pio.count = 1;
	return STEP_EXIT;
}

/* ---- many elements ------------------------------------------------------------------ */

static bool run_simple(const struct bt_vcpu *v)
{
	return !(v->rflags & (FL_DF | FL_TF)) && !(v->dr[7] & 0xff) && !alignment_checked(v) && !v->replay.done &&
	       !bt_is_pv(v);
}

/* How many there may be from offset on, by rcx, the address size and the page of va. */
static uint64_t run_length(const struct bt_vcpu *v, const struct interp *x, unsigned size, uint64_t offset, uint64_t va)
{
	uint64_t n = get_gpr(v, RCX, x->in.addrsize), room = (PAGE_SIZE - (va & ~PAGE_MASK)) / size;
	uint64_t wrap = x->in.addrsize < 8 ? (size_mask(x->in.addrsize) + 1 - offset) / size : n;

	n = n < room ? n : room;
	return n < wrap ? n : wrap;
}

/* Where the elements are in the guest; NULL: not in memory that is at hand. */
static enum bt_step run_memory(struct bt_vcpu *v, uint64_t va, unsigned len, bool ins, void **host)
{
	const struct tlb_entry *e;

	if (ins)
		return mmu_rmw(v, va, len, access_of(v), host);
	e = &v->tlb[bt_table(v)][va >> PAGE_SHIFT & (TLB_SIZE - 1)];
	*host = e->tag_r == (va & PAGE_MASK) ? (void *)(uintptr_t)(e->host + (va & ~PAGE_MASK)) : NULL;
	return STEP_OK;
}

static enum bt_step run_exit(struct bt_vcpu *v, const struct interp *x, unsigned size, uint64_t n, bool ins,
                             const void *host)
{
	struct vcpu_exit *exit = v->exit;

	v->io_run = (struct bt_io_run){ .gpa = (uint64_t)((const uint8_t *)host - v->mem->base), .next = x->next,
		                        .n = (uint16_t)n, .size = (uint8_t)size, .addrsize = x->in.addrsize,
		                        .write = !ins };
	if (!ins)
		bt_copy(v->io_buf, host, n * size);
	exit->reason = EXIT_PIO;
	exit->rip = v->rip;
	exit->pio.port = (uint16_t)v->gpr[RDX];
	exit->pio.width = (uint8_t)size;
	exit->pio.write = !ins;
	exit->pio.data = 0;
	exit->pio.count = (uint32_t)n;
	exit->pio.buf = v->io_buf;
	return STEP_EXIT;
}

enum bt_step io_many(struct bt_vcpu *v, const struct interp *x, unsigned size, bool ins)
{
	enum gamut_seg seg = ins ? GAMUT_ES : (enum gamut_seg)x->in.seg;
	uint64_t offset = get_gpr(v, ins ? RDI : RSI, x->in.addrsize), va, n;
	void *host = NULL;
	enum bt_step step;

	if (!run_simple(v))
		return STEP_OK;
	step = sys_io_check(v, (uint16_t)v->gpr[RDX], size);
	if (step != STEP_OK)
		return step;
	/* What is wrong with an element, it will say by itself when it is its turn. */
	if (sys_linear(v, seg, offset, size, ins, &va) != STEP_OK)
		return STEP_OK;
	n = run_length(v, x, size, offset, va);
	if (n < 2 || sys_linear(v, seg, offset, (unsigned)n * size, ins, &va) != STEP_OK)
		return STEP_OK;
	step = run_memory(v, va, (unsigned)n * size, ins, &host);
	return step == STEP_OK && host ? run_exit(v, x, size, n, ins, host) : step;
}

/* The page may have become something else while the core had it. */
static void run_store(struct bt_vcpu *v, const struct bt_io_run *run)
{
	unsigned len = (unsigned)run->n * run->size;
	enum mem_kind kind = mem_kind(v->mem, run->gpa);

	if (kind != MEM_RAM && kind != MEM_HOST)
		return;
	bt_code_write(v, run->gpa, len);
	bt_copy(v->mem->base + run->gpa, v->io_buf, len);
}

void io_many_done(struct bt_vcpu *v)
{
	const struct bt_io_run *run = &v->io_run;
	unsigned index = run->write ? RSI : RDI;

	if (!run->write)
		run_store(v, run);
	set_gpr(v, index, v->gpr[index] + (uint64_t)run->n * run->size, run->addrsize);
	set_gpr(v, RCX, v->gpr[RCX] - run->n, run->addrsize);
	if (!get_gpr(v, RCX, run->addrsize)) {
		v->rflags &= ~FL_RF;
		v->rip = run->next;
	}
	v->shadow = 0;
	v->io_run.n = 0;
}

/* ---- one access ---------------------------------------------------------------------- */

static uint16_t port_of(const struct bt_vcpu *v, const struct interp *x)
{
	return x->in.imm_size ? (uint16_t)x->in.imm : (uint16_t)v->gpr[RDX];
}

static unsigned width_of(const struct interp *x)
{
	return x->in.opsize == 8 ? 4 : x->in.opsize;
}

enum bt_step io_in(struct bt_vcpu *v, struct interp *x)
{
	uint64_t value;
	enum bt_step step = sys_io_check(v, port_of(v, x), width_of(x));

	if (step == STEP_OK)
		step = io_port(v, port_of(v, x), width_of(x), false, &value);
	if (step == STEP_OK)
		set_gpr(v, RAX, value, width_of(x));
	return step;
}

enum bt_step io_out(struct bt_vcpu *v, struct interp *x)
{
	enum bt_step step = sys_io_check(v, port_of(v, x), width_of(x));

	return step == STEP_OK ? io_port(v, port_of(v, x), width_of(x), true, &v->gpr[RAX]) : step;
}
