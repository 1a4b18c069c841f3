/* SPDX-License-Identifier: MIT */
/*
 * The grant table of a guest, version 1.
 *
 * The table is host pages that the guest maps and writes; an entry may change
 * under our eyes at any time. Using one follows Xen: flags and grantee are
 * read as one 32-bit word, checked, and GTF_reading or GTF_writing is set by
 * compare-and-exchange on the same word, which the guest must see clear before
 * it reuses the entry. The frame is read only after that, and noted, so later
 * users of a grant in use get the same frame whatever the guest writes.
 *
 * Both bits are cleared when the last user is gone. Users are counted per
 * reference under one of a few locks, picked by the reference; back ends that
 * keep their mappings (persistent grants) come here rarely.
 */
#ifndef DM_XEN_GRANT_H
#define DM_XEN_GRANT_H

#include <pthread.h>

#include "dm/xen/hypercall.h"
#include "gamut/xen.h"

#define GRANT_FRAMES_MAX 64u /* Xen's default; 32768 grants */
#define GRANT_PER_FRAME ((uint32_t)(XEN_PAGE_SIZE / sizeof(struct grant_entry_v1)))
#define GRANT_LOCKS 16u

struct grant_user {
	uint32_t users;
	uint32_t frame;
	uint16_t domid;
};

struct grant_table {
	const struct xen_env *env;
	pthread_mutex_t lock; /* growth and placement */
	struct gamut_page *pages;
	struct grant_entry_v1 *entries;
	uint32_t n_frames; /* in use; atomic */
	uint64_t where[GRANT_FRAMES_MAX];
	uint64_t home; /* a PV guest's frames have their places from here on; GAMUT_GPA_NONE: the guest places them */
	pthread_mutex_t user_lock[GRANT_LOCKS];
	struct grant_user *user;
	uint64_t *refused; /* counter: references that could not be used */
};

/* 0 or -ENOMEM. [control] */
int grant_init(struct grant_table *gt, const struct xen_env *env);
void grant_finish(struct grant_table *gt);
/* Power-on: one empty frame, mapped nowhere. Back ends may still unmap what they had. [control] */
void grant_reset(struct grant_table *gt);

/* XENMEM_add_to_physmap: frame idx at gpa, growing the table up to it. -EINVAL past the end. [vcpu] */
int grant_place(struct grant_table *gt, uint64_t idx, uint64_t gpa);
/* GNTTABOP_setup_table: the table has at least n frames, at most GRANT_FRAMES_MAX. 0 or -errno. [vcpu] */
int grant_grow(struct grant_table *gt, uint32_t n);
/* Takes away the frame that is mapped at gpa; -ENOENT when none is. [vcpu] */
int grant_unplace(struct grant_table *gt, uint64_t gpa);

/*
 * Takes a grant into use on behalf of domain domid; *frame is its frame.
 * GNTST_okay, or the GNTST_* that Xen would give. [vcpu] [io]
 */
int grant_acquire(struct grant_table *gt, uint32_t ref, uint32_t domid, bool write, uint32_t *frame);
void grant_release(struct grant_table *gt, uint32_t ref);

/* GNTTABOP_*: a gamut_hypercall_fn, opaque is the struct grant_table. [vcpu] */
int64_t grant_table_op(void *opaque, struct gamut_hypercall *call);

/* The back ends' side; self is the struct grant_table. */
extern const struct gamut_grant_ops grant_ops;

#endif
