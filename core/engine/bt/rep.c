/* SPDX-License-Identifier: MIT */
/*
 * rep movs and rep stos, page by page on host pointers. The count is bounded
 * by both pages before anything is copied. Progress is committed to rcx, rsi
 * and rdi after every page, so a fault or a poll leaves an exact, restartable
 * state.
 */
#include "engine/bt/decode.h"
#include "engine/bt/mmu.h"
#include "engine/bt/run.h"

/* Host pointer for va, or NULL with *st saying whether it faulted. */
static uint8_t *page_pointer(struct bt_vcpu *v, uint64_t va, bool write, enum bt_step *st)
{
	bool user = v->key & KEY_USER;
	struct tlb_entry *e = &v->tlb[user][va >> PAGE_SHIFT & (TLB_SIZE - 1)];
	struct mmu_page page;

	*st = STEP_OK;
	if ((write ? e->tag_w : e->tag_r) == (va & PAGE_MASK))
		return (uint8_t *)e->host + (va & ~PAGE_MASK);
	*st = tlb_fill(v, va, (write ? ACC_WRITE : ACC_READ) | (user ? ACC_USER : 0), &e, &page);
	if (*st != STEP_OK || !e || (write ? e->tag_w : e->tag_r) != (va & PAGE_MASK))
		return NULL;
	return (uint8_t *)e->host + (va & ~PAGE_MASK);
}

static uint64_t left_in_page(uint64_t va, unsigned size)
{
	return (PAGE_SIZE - (va & ~PAGE_MASK)) / size;
}

static void copy(uint8_t *dst, const uint8_t *src, uint64_t n, unsigned size)
{
	switch (size) {
	case 1:
		__asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
		break;
	case 2:
		__asm__ volatile("rep movsw" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
		break;
	case 4:
		__asm__ volatile("rep movsl" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
		break;
	default:
		__asm__ volatile("rep movsq" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
		break;
	}
}

static void fill(uint8_t *dst, uint64_t value, uint64_t n, unsigned size)
{
	switch (size) {
	case 1:
		__asm__ volatile("rep stosb" : "+D"(dst), "+c"(n) : "a"(value) : "memory");
		break;
	case 2:
		__asm__ volatile("rep stosw" : "+D"(dst), "+c"(n) : "a"(value) : "memory");
		break;
	case 4:
		__asm__ volatile("rep stosl" : "+D"(dst), "+c"(n) : "a"(value) : "memory");
		break;
	default:
		__asm__ volatile("rep stosq" : "+D"(dst), "+c"(n) : "a"(value) : "memory");
		break;
	}
}

static uint64_t add(const struct bt_vcpu *v, uint64_t a, uint64_t n)
{
	return (v->key & KEY_MODE) == MODE_64 ? a + n : (uint32_t)(a + n);
}

/* One page's worth; *n elements were done. */
static enum bt_step rep_page(struct bt_vcpu *v, bool movs, unsigned size, uint64_t count, uint64_t *n)
{
	uint64_t di = add(v, v->gpr[RDI], 0), si = add(v, v->gpr[RSI], 0);
	uint8_t *dst, *src = NULL;
	enum bt_step st;

	*n = left_in_page(di, size);
	if (movs && left_in_page(si, size) < *n)
		*n = left_in_page(si, size);
	if (count < *n)
		*n = count;
	if (*n == 0)
		return STEP_EXIT;
	if (movs) {
		src = page_pointer(v, si, false, &st);
		if (!src)
			return st == STEP_OK ? STEP_EXIT : st;
	}
	dst = page_pointer(v, di, true, &st);
	if (!dst)
		return st == STEP_OK ? STEP_EXIT : st;
	if (movs)
		copy(dst, src, *n, size);
	else
		fill(dst, v->gpr[RAX], *n, size);
	return STEP_OK;
}

enum bt_step bt_rep(struct bt_vcpu *v, unsigned op, unsigned size, unsigned len)
{
	bool movs = op == OP_MOVS;
	enum bt_step st;
	uint64_t n;

	for (;;) {
		uint64_t count = add(v, v->gpr[RCX], 0);

		if (count == 0) {
			v->rip = add(v, v->rip, len);
			return STEP_OK;
		}
		st = rep_page(v, movs, size, count, &n);
		if (st != STEP_OK)
			return st;
		v->gpr[RCX] = count - n;
		v->gpr[RDI] = add(v, v->gpr[RDI], n * size);
		if (movs)
			v->gpr[RSI] = add(v, v->gpr[RSI], n * size);
		if (__atomic_load_n(&v->poll, __ATOMIC_RELAXED))
			return STEP_OK;
	}
}
