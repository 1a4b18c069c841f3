/* SPDX-License-Identifier: MIT */
/*
 * Which pages something is kept for: a Bloom filter of two hashes, asked
 * before a search. A search takes microseconds, and a guest invalidates many
 * pages for which nothing is kept, so it should seldom be wrong: with a
 * thousand pages in it, once in a thousand.
 */
#ifndef BT_PAGE_FILTER_H
#define BT_PAGE_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#define PAGE_FILTER_BITS 16
/* Pages of a process that is gone stay. To clear it costs more than a flush of few entries, so not each time. */
#define PAGE_FILTER_STALE 256u

struct page_filter {
	uint64_t bits[1u << (PAGE_FILTER_BITS - 6)];
	uint32_t n; /* pages put in since it was empty */
};

/* A page's bits: the first of two, or the second. */
static inline uint32_t page_filter_bit(uint64_t page, unsigned which)
{
	uint64_t hash = page * 0x9e3779b97f4a7c15u;

	return (uint32_t)(hash >> (64 - PAGE_FILTER_BITS * (which + 1))) & ((1u << PAGE_FILTER_BITS) - 1);
}

/* page: a number, of pages of any one size. */
static inline bool page_filter_has(const struct page_filter *f, uint64_t page)
{
	uint32_t a = page_filter_bit(page, 0), b = page_filter_bit(page, 1);

	return f->bits[a / 64] >> (a & 63) & f->bits[b / 64] >> (b & 63) & 1;
}

static inline void page_filter_add(struct page_filter *f, uint64_t page)
{
	uint32_t a = page_filter_bit(page, 0), b = page_filter_bit(page, 1);

	f->n += !page_filter_has(f, page);
	f->bits[a / 64] |= 1ull << (a & 63);
	f->bits[b / 64] |= 1ull << (b & 63);
}

static inline void page_filter_clear(struct page_filter *f)
{
	if (!f->n)
		return;
	for (uint32_t i = 0; i < 1u << (PAGE_FILTER_BITS - 6); i++)
		f->bits[i] = 0;
	f->n = 0;
}

#endif
