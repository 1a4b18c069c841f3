/* SPDX-License-Identifier: MIT */
/*
 * Descriptors: reading them from the GDT or LDT, and turning them into
 * segment registers. Shared by segment loads, far transfers and exception
 * delivery; not for others.
 *
 * Reads and writes of descriptor tables and TSSs are implicit supervisor
 * accesses whatever the CPL is, and never leave the engine (ACC_NOMMIO).
 */
#ifndef BT_SEGMENT_H
#define BT_SEGMENT_H

#include "engine/bt/bt.h"
#include "engine/bt/mmu.h"

#define IMPLICIT (ACC_NOMMIO | ACC_IMPLICIT)

/* Types of system descriptors. */
enum { SYS_TSS16 = 1, SYS_LDT = 2, SYS_TSS16_BUSY = 3, SYS_CALL16 = 4, SYS_TASK_GATE = 5, SYS_INT16 = 6, SYS_TRAP16 = 7,
       SYS_TSS = 9, SYS_TSS_BUSY = 11, SYS_CALL = 12, SYS_INT = 14, SYS_TRAP = 15 };

/* Type bits of code and data descriptors. */
#define TYPE_CODE 8u
#define TYPE_CONFORMING 4u
#define TYPE_READABLE 2u
#define TYPE_EXPAND_DOWN 4u
#define TYPE_WRITABLE 2u
#define TYPE_ACCESSED 1u

/* Attributes of the flat segments that syscall and its like load. */
#define ATTR_CODE64 0xa09bu
#define ATTR_CODE32 0xc09bu
#define ATTR_DATA32 0xc093u

struct desc {
	uint32_t lo, hi;
	uint64_t va; /* linear address of the descriptor */
};

static inline unsigned desc_type(const struct desc *d)
{
	return d->hi >> 8 & 15;
}

static inline bool desc_s(const struct desc *d)
{
	return d->hi & 1u << 12;
}

static inline unsigned desc_dpl(const struct desc *d)
{
	return d->hi >> 13 & 3;
}

static inline bool desc_present(const struct desc *d)
{
	return d->hi & 1u << 15;
}

static inline bool desc_l(const struct desc *d)
{
	return d->hi & 1u << 21;
}

static inline bool desc_db(const struct desc *d)
{
	return d->hi & 1u << 22;
}

static inline bool desc_code(const struct desc *d)
{
	return desc_s(d) && (desc_type(d) & TYPE_CODE);
}

static inline bool desc_conforming(const struct desc *d)
{
	return desc_code(d) && (desc_type(d) & TYPE_CONFORMING);
}

/* A selector's error code. */
static inline uint32_t sel_error(uint16_t selector)
{
	return selector & 0xfffcu;
}

static inline bool sel_null(uint16_t selector)
{
	return (selector & 0xfffc) == 0;
}

/* Protected mode, not virtual-8086: descriptors mean something. */
static inline bool seg_protected(const struct bt_vcpu *v)
{
	return (v->cr0 & CR0_PE) && !(v->rflags & FL_VM);
}

static inline bool canonical(uint64_t va)
{
	return (uint64_t)((int64_t)(va << 16) >> 16) == va;
}

/*
 * Reads the descriptor of a non-null selector. Outside its table: `vector`
 * with the selector as error code, plus ext (0 or 1).
 */
enum bt_step desc_read(struct bt_vcpu *v, uint16_t selector, uint8_t vector, unsigned ext, struct desc *d);
/* Whether there is one, with no fault but those of paging. */
enum bt_step desc_probe(struct bt_vcpu *v, uint16_t selector, struct desc *d, bool *ok);
/* In long mode: bits 63:32 of a system descriptor's base. #vector(selector) beyond the table or malformed. */
enum bt_step desc_read_high(struct bt_vcpu *v, uint16_t selector, const struct desc *d, uint8_t vector, uint64_t *base);
/* Sets a descriptor's accessed bit in memory, or a TSS's busy bit, when it is not yet. */
enum bt_step desc_set_type(struct bt_vcpu *v, struct desc *d, unsigned bits);
struct gamut_segment desc_segment(const struct desc *d, uint16_t selector);

/* Register writes; nothing is checked. bt_update_key is the caller's. */
void seg_set(struct bt_vcpu *v, enum gamut_seg seg, const struct gamut_segment *s);
void seg_set_null(struct bt_vcpu *v, enum gamut_seg seg, uint16_t selector);
void seg_set_real(struct bt_vcpu *v, enum gamut_seg seg, uint16_t selector);
void seg_set_v86(struct bt_vcpu *v, enum gamut_seg seg, uint16_t selector);
/* CS and SS as syscall, sysret, sysenter and sysexit make them. */
void seg_set_flat(struct bt_vcpu *v, uint16_t cs, uint32_t cs_attr, uint16_t ss, unsigned cpl);
/* After a return to an outer level: data segments that it may not have become null. */
void seg_drop_inner(struct bt_vcpu *v);

/* As sys_linear, for a segment that is not (yet) in a register; 64-bit when code64. */
enum bt_step seg_linear(struct bt_vcpu *v, const struct gamut_segment *s, bool stack, bool code64, uint64_t offset,
                        unsigned len, bool write, uint64_t *va);

/*
 * SS for a transfer to level `cpl`, checked and read: #TS or #GP or #SS with
 * `vector` for bad selectors (#TS when the stack comes from a TSS).
 */
enum bt_step seg_read_stack(struct bt_vcpu *v, uint16_t selector, unsigned cpl, uint8_t vector, unsigned ext,
                            struct gamut_segment *ss);

/* SS:SP of level cpl from the current 16 or 32-bit TSS. */
enum bt_step tss_stack(struct bt_vcpu *v, unsigned cpl, unsigned ext, uint16_t *ss, uint32_t *sp);
/* A 64-bit TSS's stack pointer: RSP0..2 as index 0..2, IST1..7 as 4..10. */
enum bt_step tss_stack64(struct bt_vcpu *v, unsigned index, unsigned ext, uint64_t *rsp);

/* Values to be pushed, in push order, before the transfer is committed. */
#define FRAME_MAX 40
struct frame {
	struct gamut_segment ss;
	bool code64;     /* the stack is used in 64-bit mode */
	uint64_t sp;     /* before the pushes */
	unsigned size;   /* of an element: 2 4 8 */
	unsigned access; /* ACC_USER or 0, with ACC_NOMMIO for delivery */
	uint32_t error;  /* of #SS when the frame does not fit */
	unsigned n;
	uint64_t value[FRAME_MAX];
};

static inline void frame_push(struct frame *f, uint64_t value)
{
	f->value[f->n++] = value;
}

/* Writes all values, or none; then f->sp is what the stack pointer becomes. */
enum bt_step frame_write(struct bt_vcpu *v, struct frame *f);

/* The part of rsp that a stack of this segment uses. */
static inline uint64_t stack_mask(const struct gamut_segment *ss, bool code64)
{
	return code64 ? ~0ull : ss->attr & SEG_DB ? 0xffffffffull : 0xffffull;
}

/* n elements from the current stack, not yet popped. */
enum bt_step stack_peek(struct bt_vcpu *v, unsigned size, unsigned skip, unsigned n, uint64_t *values);

/* RFLAGS bits that popf and iret may change at this CPL and IOPL. */
uint64_t flags_mask(const struct bt_vcpu *v, unsigned opsize);

/* Switches to the task of a TSS selector; `why` as below. rip must be the return address. In sys-task.c. */
enum task_why { TASK_JMP, TASK_CALL, TASK_IRET, TASK_GATE };
enum bt_step task_switch(struct bt_vcpu *v, uint16_t selector, enum task_why why, unsigned ext, uint64_t next,
                         const uint32_t *error);

#endif
