/* SPDX-License-Identifier: MIT */
/*
 * The code cache: translated blocks, how they are found, linked and dropped.
 *
 * Code and bookkeeping grow from two bounded regions; when either is full,
 * everything is forgotten at once and translation starts afresh. A block
 * belongs to one guest physical page and is found by (physical address, rip,
 * key). A store into its bytes drops it: links into it are turned back to
 * their stubs, and the code itself stays until the next full flush, so the
 * block that is being left can still be looked at.
 *
 * All vCPUs share it. What changes it needs the translator lock; finding a
 * block does not. smp.c has the rules.
 */
#ifndef BT_CACHE_H
#define BT_CACHE_H

#include <pthread.h>

#include "engine/bt/bt.h"

/* Where a guest instruction's code begins in its block, for faults. */
struct block_insn {
	uint16_t host;  /* offset from the block's code */
	uint16_t guest; /* offset from the block's rip; top bit: flags are in the slot */
};
#define INSN_SLOT 0x8000u

struct link;

struct block {
	/* What looking for one touches, mostly a miss of the processor's cache, is together. */
	struct block *hash_next;
	uint64_t rip, gpa;
	uint8_t key;
	bool dead;
	uint16_t n_insns;
	uint16_t guest_len; /* bytes of guest code */
	uint32_t entry_b;   /* flags in the slot */
	uint32_t entry_a;   /* flags in the host's register */
	uint32_t code;      /* offset of the first byte in the cache */
	uint32_t code_end;
	struct block *page_next;
	struct link *incoming, *outgoing;
	struct block_insn *insns;
	/*
	 * A block of one instruction that continues on the next page. It is never
	 * linked to, only reached through the jump cache. part is its record on
	 * the second page's list, master leads back from there.
	 */
	struct block *master, *part;
	uint64_t gpa2; /* of the second page's first byte */
};

/* A direct jump from a block that is patched when its target exists. */
struct link {
	struct link *next_out;  /* of the same block */
	struct link *next_in;   /* into the same target */
	struct link **prev_in;
	struct block *target;   /* NULL while the jump goes to its stub */
	uint64_t rip;           /* where it goes */
	uint32_t patch;         /* offset of the rel32 */
	uint32_t stub;          /* offset of the stub */
	bool host_flags;        /* enters at A, else at B */
	bool ungrouped;         /* to the ungrouped translation of rip */
};

enum thunk_index {
	THUNK_MISS_KR, THUNK_MISS_KW, THUNK_MISS_UR, THUNK_MISS_UW,
	THUNK_LINK,   /* exit_arg: index of the link */
	THUNK_LINK_H, /* the same, with flags still in the host's register */
	THUNK_LOOKUP_K, THUNK_LOOKUP_U, /* r11: where to go */
	THUNK_STEP,   /* rip is set; exit_arg: STEP_ARG */
	THUNK_POLL,   /* rip is set */
	THUNK_COUNT
};

/* Argument of THUNK_STEP: enough for C to skip fetch and decode of hot instructions. */
/* In v->resume: the window of a group missed. */
#define RESUME_GROUP 0x80000000u
#define STEP_OP(arg) ((arg) & 0xffffu)
#define STEP_LEN(arg) ((arg) >> 16 & 0xffu)
#define STEP_SIZE(arg) ((arg) >> 24 & 0xfu)
#define STEP_DX 0x40000000u  /* in or out with the port in dx */

struct code_cache {
	uint8_t *code;        /* executable */
	uint32_t size, used;
	uint32_t start;       /* after the trampolines */
	uint8_t *meta;        /* bookkeeping, bump-allocated */
	uint64_t meta_size, meta_used;
	struct block **hash;  /* CACHE_HASH buckets */
	struct block **pages; /* by guest physical page */
	uint64_t *cover;      /* by guest physical page: its 64 pieces that may hold code of a block; none other does */
	uint64_t n_pages;
	uint32_t *order;      /* blocks in address order: meta offsets / 8 */
	uint32_t n_order, max_order;
	uint32_t tramp[THUNK_COUNT]; /* offsets of the jumps to thunks */
	uint64_t n_flush, n_blocks, n_insns;
};
#define CACHE_HASH_BITS 17

#define BT_MAX_VCPUS 64 /* bits of a mask */

struct trans;

#define INVAL_MAX 64

struct bt_inval {
	uint64_t gpa, len;
	bool remapped;
};

struct bt_vm {
	struct mem *mem;
	struct engine_config config;
	struct code_cache cache;
	struct bt_vcpu *vcpu[BT_MAX_VCPUS];
	uint64_t present;     /* which of them exist */
	uint64_t *writers;    /* see bt_vcpu; NULL: one vCPU */
	uint64_t *users;      /* by page: which vCPUs may be in its code, or have it in their jump caches; see smp.c */
	/* The translator lock, and whom its holder has stopped; see smp.c. */
	uint32_t lock __attribute__((aligned(64)));
	uint64_t stopped;
	struct trans *trans;  /* work space of the translator; with the lock */
	struct shadow *spt;   /* shadow.h; NULL: hap */
	bool bmi2;
	bool no_links, all_live, no_groups; /* switches for bisecting: bt = { debug = "nolink,alllive,nogroup"; } */
	bool interp_only;
	uint64_t bisect_lo, bisect_hi; /* only rips in here are translated */
	/* pages changed by other threads, to be dropped by the first vCPU that polls (mem_changed) */
	pthread_mutex_t inval_lock;
	struct bt_inval inval[INVAL_MAX];
	uint32_t n_inval;
	bool inval_all;
};

/* w: each vCPU that exists. Their tables are for whoever has stopped them. */
#define FOR_EACH_VCPU(vm, w)                                                                         \
	for (uint64_t left_ = (vm)->present; left_; left_ &= left_ - 1)                              \
		for (struct bt_vcpu *w = (vm)->vcpu[__builtin_ctzll(left_)]; w; w = NULL)

int cache_init(struct code_cache *c, uint64_t size, uint64_t guest_limit);
void cache_finish(struct code_cache *c);
/* Takes the lock, and stops the others. A vCPU in the middle of a missed check finds v->resume 0. */
void cache_flush(struct bt_vcpu *v);

/* NULL when the bookkeeping region is full: flush and start again. 8-byte aligned, zeroed. */
void *cache_meta(struct code_cache *c, size_t size);
/* True when a block of ordinary size still fits. */
bool cache_room(const struct code_cache *c);

struct block *cache_find(const struct code_cache *c, uint64_t gpa, uint64_t rip, uint8_t key);
void cache_insert(struct bt_vcpu *v, struct block *b);
/* The block whose code holds the host address, dead or not; NULL when none. */
struct block *cache_block_at(const struct code_cache *c, const void *host);
/* Guest rip of the instruction whose code holds host; *slot: flags are in the slot. */
uint64_t block_rip(const struct code_cache *c, const struct block *b, const void *host, bool *slot);

void link_set(struct code_cache *c, struct link *l, struct block *target);

/* Fills the jump cache for rip; global: no page of the block is forgotten by a CR3 write. */
void jc_fill(struct bt_vcpu *v, uint64_t rip, const void *code, bool global);
/*
 * Code that works together is often some multiple of 16 KiB apart, so low bits
 * alone collide; the high bits of a product depend on all of rip's low 32.
 * flow_indirect computes the same.
 */
#define JC_HASH 0x9e3779b1u
static inline unsigned jc_index(uint64_t rip)
{
	return (uint32_t)rip * JC_HASH >> (32 - JC_BITS);
}

/* Drains what other threads reported through mem_changed. */
void cache_serve_inval(struct bt_vcpu *v);

#endif
