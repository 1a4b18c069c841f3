/* SPDX-License-Identifier: MIT */
#include "dm/virtio/queue.h"

#include <errno.h>
#include <string.h>

/* Nothing that was copied from guest memory is read there again. */
#define COPIED() __asm__ volatile("" ::: "memory")

static uint64_t desc_bytes(const struct virtq *q)
{
	return (uint64_t)q->size * sizeof(struct vring_desc);
}

/* Both rings end with a word for event indices, which is there without them too. */
static uint64_t avail_bytes(const struct virtq *q)
{
	return sizeof(struct vring_avail) + q->size * sizeof(__virtio16) + sizeof(__virtio16);
}

static uint64_t used_bytes(const struct virtq *q)
{
	return sizeof(struct vring_used) + q->size * sizeof(struct vring_used_elem) + sizeof(__virtio16);
}

/* ---- life ------------------------------------------------------------------------------- */

void virtq_init(struct virtq *q, const struct gamut_host *host, struct gamut_inst *inst, uint16_t size_max)
{
	*q = (struct virtq){.host = host, .inst = inst, .size_max = size_max};
	pthread_mutex_init(&q->lock, NULL);
	virtq_reset(q);
}

void virtq_finish(struct virtq *q)
{
	virtq_unmap(q);
	pthread_mutex_destroy(&q->lock);
}

void virtq_reset(struct virtq *q)
{
	q->live = false;
	virtq_unmap(q);
	q->desc = q->avail = q->used = 0;
	q->size = q->size_max;
	q->enabled = false;
	q->fault = NULL;
	q->avail_next = q->avail_seen = q->used_next = q->used_published = 0;
}

static int map(struct virtq *q, uint64_t gpa, uint64_t len, uint64_t align, void **ring)
{
	if (gpa % align)
		return -EINVAL;
	*ring = q->host->mem_get(q->inst, gpa, len);
	return *ring ? 0 : -EFAULT;
}

int virtq_map(struct virtq *q)
{
	void *desc = NULL, *avail = NULL, *used = NULL;
	int err = q->size && q->size <= q->size_max && !(q->size & (q->size - 1)) ? 0 : -EINVAL;

	if (!err)
		err = map(q, q->desc, desc_bytes(q), VRING_DESC_ALIGN_SIZE, &desc);
	if (!err)
		err = map(q, q->avail, avail_bytes(q), VRING_AVAIL_ALIGN_SIZE, &avail);
	if (!err)
		err = map(q, q->used, used_bytes(q), VRING_USED_ALIGN_SIZE, &used);
	q->desc_ring = desc;
	q->avail_ring = avail;
	q->used_ring = used;
	if (err)
		virtq_unmap(q);
	return err;
}

void virtq_unmap(struct virtq *q)
{
	if (q->desc_ring)
		q->host->mem_put(q->inst, q->desc_ring, desc_bytes(q));
	if (q->avail_ring)
		q->host->mem_put(q->inst, q->avail_ring, avail_bytes(q));
	if (q->used_ring)
		q->host->mem_put(q->inst, q->used_ring, used_bytes(q));
	q->desc_ring = NULL;
	q->avail_ring = NULL;
	q->used_ring = NULL;
}

/* ---- chains ----------------------------------------------------------------------------- */

static int broken(struct virtq *q, const char *why)
{
	q->fault = why;
	return -EPROTO;
}

/* A table of descriptors: the ring's own, or an indirect one. */
struct table {
	const struct vring_desc *desc;
	uint32_t n;
	bool inner;
};

/* What a walk fills. */
struct walk {
	struct virtq_chain *chain;
	uint32_t room, n, found; /* found: segments, also those for which there was no room */
};

static int add(struct virtq *q, struct walk *w, const struct vring_desc *d)
{
	struct virtq_chain *c = w->chain;
	bool write = d->flags & VRING_DESC_F_WRITE;
	uint32_t *sum = write ? &c->in_len : &c->out_len, *n = write ? &c->n_in : &c->n_out;
	uint8_t *host;

	if (!write && c->n_in)
		return broken(q, "a readable buffer behind a writable one");
	if (d->len > UINT32_MAX - c->in_len - c->out_len)
		return broken(q, "a chain of more than 4 GiB");
	if (!d->len)
		return 0;
	if (++w->found > VIRTQ_CHAIN_MAX)
		return broken(q, "a chain of too many buffers");
	if (w->n == w->room)
		return 0;
	host = q->host->mem_get(q->inst, d->addr, d->len);
	if (!host)
		return broken(q, "a buffer that is not in RAM");
	c->seg[w->n++] = (struct virtq_seg){.host = host, .gpa = d->addr, .len = d->len};
	*sum += d->len;
	(*n)++;
	return 0;
}

static int walk_table(struct virtq *q, struct walk *w, const struct table *t, uint32_t at);

static int walk_indirect(struct virtq *q, struct walk *w, const struct table *outer, const struct vring_desc *d)
{
	struct table t = {.n = d->len / sizeof(*t.desc), .inner = true};
	int err;

	if (!q->indirect || outer->inner)
		return broken(q, "an indirect descriptor where none may be");
	if (d->flags & VRING_DESC_F_NEXT || !t.n || d->len % sizeof(*t.desc) || t.n > VIRTQ_CHAIN_MAX)
		return broken(q, "an impossible table of indirect descriptors");
	t.desc = q->host->mem_get(q->inst, d->addr, d->len);
	if (!t.desc)
		return broken(q, "a table of indirect descriptors that is not in RAM");
	err = walk_table(q, w, &t, 0);
	q->host->mem_put(q->inst, (void *)t.desc, d->len);
	return err;
}

/* A walk of more steps than there are descriptors goes round in a circle. */
static int walk_table(struct virtq *q, struct walk *w, const struct table *t, uint32_t at)
{
	for (uint32_t steps = 0; steps < t->n; steps++) {
		struct vring_desc d;
		int err;

		if (at >= t->n)
			return broken(q, "a descriptor outside its table");
		memcpy(&d, (const uint8_t *)t->desc + at * sizeof(d), sizeof(d));
		COPIED();
		if (d.flags & VRING_DESC_F_INDIRECT)
			return walk_indirect(q, w, t, &d);
		err = add(q, w, &d);
		if (err)
			return err;
		if (!(d.flags & VRING_DESC_F_NEXT))
			return 0;
		at = d.next;
	}
	return broken(q, "a chain without an end");
}

/*
 * How many chains there are, as far as is known without asking again. What the
 * driver has not been shown as used it cannot have offered anew: so no more
 * than the ring holds are ever out at a time.
 */
static int available(struct virtq *q)
{
	if (q->avail_next == q->avail_seen) {
		q->avail_seen = __atomic_load_n(&q->avail_ring->idx, __ATOMIC_ACQUIRE);
		if ((uint16_t)(q->avail_seen - q->used_published) > q->size)
			return broken(q, "an available index that is beyond the ring");
	}
	return (uint16_t)(q->avail_seen - q->avail_next);
}

int virtq_pop(struct virtq *q, struct virtq_chain *chain, struct virtq_seg *segs, uint32_t room)
{
	const struct table ring = {.desc = q->desc_ring, .n = q->size};
	struct walk w = {.chain = chain, .room = room};
	int err = q->fault ? -EPROTO : available(q);

	if (err <= 0)
		return err;
	*chain = (struct virtq_chain){.seg = segs};
	chain->head = __atomic_load_n(&q->avail_ring->ring[q->avail_next & (q->size - 1)], __ATOMIC_RELAXED);
	err = walk_table(q, &w, &ring, chain->head);
	if (!err && w.found > w.n)
		err = -ENOSPC;
	if (err) {
		virtq_put(q, segs, chain->n_out, chain->n_in, 0);
		return err;
	}
	q->avail_next++;
	return 1;
}

void virtq_unpop(struct virtq *q, uint16_t n)
{
	q->avail_next -= n;
}

void virtq_put(struct virtq *q, const struct virtq_seg *seg, uint32_t n_out, uint32_t n_in, uint64_t written)
{
	for (uint32_t i = 0; i < n_out + n_in; i++) {
		if (i >= n_out && written) {
			uint64_t n = written < seg[i].len ? written : seg[i].len;

			q->host->mem_dirty(q->inst, seg[i].gpa, n);
			written -= n;
		}
		q->host->mem_put(q->inst, seg[i].host, seg[i].len);
	}
}

/* ---- giving back ------------------------------------------------------------------------ */

void virtq_push(struct virtq *q, uint16_t head, uint32_t len)
{
	q->used_ring->ring[q->used_next++ & (q->size - 1)] = (struct vring_used_elem){.id = head, .len = len};
}

/* The elements from `from` on, n of them, which may lie at both ends of the ring. */
static void dirty_elements(struct virtq *q, uint16_t from, uint32_t n)
{
	uint32_t at = from & (q->size - 1), first = n < q->size - at ? n : q->size - at;
	uint64_t base = q->used + offsetof(struct vring_used, ring);

	q->host->mem_dirty(q->inst, base + at * sizeof(struct vring_used_elem), first * sizeof(struct vring_used_elem));
	if (n > first)
		q->host->mem_dirty(q->inst, base, (n - first) * sizeof(struct vring_used_elem));
}

bool virtq_publish(struct virtq *q)
{
	uint16_t old = q->used_published, new = q->used_next, event;

	if (old == new || !q->used_ring)
		return false;
	q->used_published = new;
	dirty_elements(q, old, (uint16_t)(new - old));
	__atomic_store_n(&q->used_ring->idx, new, __ATOMIC_RELEASE);
	q->host->mem_dirty(q->inst, q->used + offsetof(struct vring_used, idx), sizeof(q->used_ring->idx));
	/* The index before the question whether the driver waits for it. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!q->event_idx)
		return !(__atomic_load_n(&q->avail_ring->flags, __ATOMIC_RELAXED) & VRING_AVAIL_F_NO_INTERRUPT);
	event = __atomic_load_n(&q->avail_ring->ring[q->size], __ATOMIC_RELAXED);
	return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

/* ---- notifications ---------------------------------------------------------------------- */

/* Behind the elements of the used ring: the available index at which the driver shall notify. */
static __virtio16 *avail_event(const struct virtq *q)
{
	return (__virtio16 *)&q->used_ring->ring[q->size];
}

static void set_flags(struct virtq *q, uint16_t flags)
{
	if (q->used_ring->flags == flags)
		return;
	__atomic_store_n(&q->used_ring->flags, flags, __ATOMIC_RELAXED);
	q->host->mem_dirty(q->inst, q->used, sizeof(flags));
}

/* With event indices there is nothing to do: the driver passes an index only once. */
void virtq_hush(struct virtq *q)
{
	if (!q->event_idx)
		set_flags(q, VRING_USED_F_NO_NOTIFY);
}

bool virtq_listen(struct virtq *q)
{
	if (q->event_idx) {
		__atomic_store_n(avail_event(q), q->avail_next, __ATOMIC_RELAXED);
		q->host->mem_dirty(q->inst, q->used + used_bytes(q) - sizeof(__virtio16), sizeof(__virtio16));
	} else {
		set_flags(q, 0);
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(&q->avail_ring->idx, __ATOMIC_ACQUIRE) != q->avail_next;
}

/* ---- bytes ------------------------------------------------------------------------------ */

static uint32_t copy(const struct virtq_seg *seg, uint32_t n_seg, uint32_t at, uint8_t *buf, uint32_t n, bool to_guest)
{
	uint32_t done = 0;

	for (uint32_t i = 0; i < n_seg && done < n; i++) {
		uint32_t part;

		if (at >= seg[i].len) {
			at -= seg[i].len;
			continue;
		}
		part = seg[i].len - at < n - done ? seg[i].len - at : n - done;
		if (to_guest)
			memcpy(seg[i].host + at, buf + done, part);
		else
			memcpy(buf + done, seg[i].host + at, part);
		done += part;
		at = 0;
	}
	COPIED();
	return done;
}

uint32_t virtq_copy_out(const struct virtq_chain *chain, uint32_t at, void *buf, uint32_t n)
{
	return copy(chain->seg, chain->n_out, at, buf, n, false);
}

uint32_t virtq_copy_in(const struct virtq_chain *chain, uint32_t at, const void *buf, uint32_t n)
{
	return copy(chain->seg + chain->n_out, chain->n_in, at, (uint8_t *)buf, n, true);
}

uint32_t virtq_iov(const struct virtq_seg *seg, uint32_t n_seg, uint32_t at, uint32_t n, struct iovec *iov)
{
	uint32_t entries = 0;

	for (uint32_t i = 0; i < n_seg && n; i++) {
		struct iovec *last = entries ? &iov[entries - 1] : NULL;
		uint32_t part;

		if (at >= seg[i].len) {
			at -= seg[i].len;
			continue;
		}
		part = seg[i].len - at < n ? seg[i].len - at : n;
		if (last && (uint8_t *)last->iov_base + last->iov_len == seg[i].host + at)
			last->iov_len += part;
		else
			iov[entries++] = (struct iovec){.iov_base = seg[i].host + at, .iov_len = part};
		n -= part;
		at = 0;
	}
	return entries;
}
