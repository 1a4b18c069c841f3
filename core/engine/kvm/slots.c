/* SPDX-License-Identifier: MIT */
/*
 * Guest memory as KVM memory slots.
 *
 * Guest physical space is one range of host addresses (mem.h), so a slot only
 * says that its pages are there; what backs them may change under it, by mmap,
 * and the kernel's MMU notifiers see to the rest. RAM is thus a few large
 * slots, and a host page that comes to lie over RAM changes none of them.
 * Host pages outside of RAM are slots of their own, joined with neighbours. A
 * hole has no slot: an access there comes out as MMIO. So does a write to ROM.
 *
 * Pages that are released. What a platform takes out of RAM before the guest
 * has run (the VGA window) are holes like any. What the guest's balloon gives
 * back later stays in its slot: a balloon takes single pages all over memory,
 * and cutting a slot makes the kernel forget every translation of the VM. A
 * guest that touches such a page against its word finds zeroes there, in a
 * fresh page of its own configured RAM; to everybody else the page is a hole
 * (mem.c), and nobody was promised the memory. The first MiB is another matter:
 * there a PC's chips turn windows to devices into RAM and back (VGA, SMRAM,
 * option ROMs), and holes are holes at any time.
 *
 * When slots change. Replacing a slot is removing it and adding others, and a
 * vCPU that runs in between would find nothing. So changes are noted under
 * the lock as they come, and installed by the next vCPU that wants to enter,
 * after it has brought all others out (v->inside) and while they wait at the
 * lock. Notes are lists of ranges; a range whose slot is right is left alone.
 */
#include "engine/kvm/kvm.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* A slot has fewer than 2^31 pages. */
#define SLOT_MAX (1ull << 42)
#define WINDOWS_END (1ull << 20)

/* ---- the list of ranges ----------------------------------------------------------- */

static bool push(uint32_t **list, uint32_t *n, uint32_t *room, uint32_t value)
{
	if (*n == *room) {
		uint32_t more = *room ? *room * 2 : 16;
		uint32_t *grown = realloc(*list, more * sizeof(**list));

		if (!grown)
			return false;
		*list = grown;
		*room = more;
	}
	(*list)[(*n)++] = value;
	return true;
}

/* A range that will not be as it was: its slot goes. */
static void drop_slot(struct kvm_slots *s, struct kvm_range *r)
{
	if (r->id != KVM_NO_SLOT && !push(&s->gone, &s->n_gone, &s->gone_room, r->id))
		s->failed = true;
	r->id = KVM_NO_SLOT;
}

/* The list that is written anew. */
struct rebuild {
	struct kvm_slots *slots;
	struct kvm_range *to;
	uint32_t n;
};

static void emit(struct rebuild *b, struct kvm_range r)
{
	struct kvm_range *last = b->n ? &b->to[b->n - 1] : NULL;

	if (last && last->gpa + last->size == r.gpa && last->readonly == r.readonly && last->size + r.size <= SLOT_MAX) {
		drop_slot(b->slots, last);
		drop_slot(b->slots, &r);
		last->size += r.size;
		return;
	}
	b->to[b->n++] = r;
}

/* What is left of r below gpa, or from end on. */
static void emit_below(struct rebuild *b, struct kvm_range *r, uint64_t gpa)
{
	uint64_t r_end = r->gpa + r->size;

	if (r_end > gpa)
		drop_slot(b->slots, r);
	emit(b, (struct kvm_range){ r->gpa, (r_end < gpa ? r_end : gpa) - r->gpa, r->id, r->readonly });
}

static void emit_above(struct rebuild *b, struct kvm_range *r, uint64_t end)
{
	uint64_t start = r->gpa > end ? r->gpa : end, r_end = r->gpa + r->size;

	if (r->gpa < end)
		drop_slot(b->slots, r);
	if (r_end > start)
		emit(b, (struct kvm_range){ start, r_end - start, r->id, r->readonly });
}

static bool is_set(const struct kvm_slots *s, uint64_t gpa, uint64_t end, bool readonly)
{
	for (uint32_t i = 0; i < s->n; i++) {
		const struct kvm_range *r = &s->ranges[i];

		if (gpa >= r->gpa && end <= r->gpa + r->size)
			return r->readonly == readonly;
	}
	return false;
}

static bool touches_none(const struct kvm_slots *s, uint64_t gpa, uint64_t end)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (gpa < s->ranges[i].gpa + s->ranges[i].size && s->ranges[i].gpa < end)
			return false;
	return true;
}

/* From now on [gpa, end) is of that kind. */
static void set(struct kvm_slots *s, uint64_t gpa, uint64_t end, enum mem_kind kind)
{
	struct rebuild b = { .slots = s };
	bool readonly = kind == MEM_ROM;

	if (kind == MEM_NONE ? touches_none(s, gpa, end) : is_set(s, gpa, end, readonly))
		return;
	b.to = calloc(s->n + 3 + (end - gpa) / SLOT_MAX, sizeof(*b.to));
	if (!b.to) {
		s->failed = true;
		return;
	}
	for (uint32_t i = 0; i < s->n; i++)
		if (s->ranges[i].gpa < gpa)
			emit_below(&b, &s->ranges[i], gpa);
	for (uint64_t at = gpa, size; kind != MEM_NONE && at < end; at += size) {
		size = end - at < SLOT_MAX ? end - at : SLOT_MAX;
		emit(&b, (struct kvm_range){ at, size, KVM_NO_SLOT, readonly });
	}
	for (uint32_t i = 0; i < s->n; i++)
		if (s->ranges[i].gpa + s->ranges[i].size > gpa)
			emit_above(&b, &s->ranges[i], end);
	free(s->ranges);
	s->ranges = b.to;
	s->n = b.n;
	atomic_store(&s->dirty, true);
}

/* ---- what memory is ------------------------------------------------------------------ */

/* A hole that the guest made in its RAM while it ran stays in the slot: see above. */
static void set_hole(struct engine_vm *vm, uint64_t gpa, uint64_t end)
{
	const struct mem *m = vm->mem;

	for (uint32_t i = 0; i < m->n_ranges && vm->slots.running; i++) {
		uint64_t start = m->ranges[i].gpa, ram_end = start + m->ranges[i].size;

		if (start < WINDOWS_END)
			start = WINDOWS_END;
		if (start > gpa)
			set(&vm->slots, gpa, start < end ? start : end, MEM_NONE);
		if (ram_end > gpa)
			gpa = ram_end > start ? ram_end : start;
		if (gpa >= end)
			return;
	}
	set(&vm->slots, gpa, end, MEM_NONE);
}

/* The first page from p on, before end, that is not of the kind of p. */
static uint64_t run_end(const uint8_t *kind, uint64_t p, uint64_t end)
{
	uint64_t word = kind[p] * 0x0101010101010101ull, other;
	uint8_t first = kind[p];

	while (p < end && kind[p] == first) {
		if (end - p >= 8 && (memcpy(&other, kind + p, 8), other == word))
			p += 8;
		else
			p++;
	}
	return p;
}

static void note(struct engine_vm *vm, uint64_t gpa, uint64_t len)
{
	const struct mem *m = vm->mem;
	uint64_t p = gpa >> PAGE_SHIFT, end = (gpa + len + PAGE_SIZE - 1) >> PAGE_SHIFT;

	while (p < end) {
		uint64_t next = run_end(m->kind, p, end);
		enum mem_kind kind = (enum mem_kind)m->kind[p];

		if (kind == MEM_NONE)
			set_hole(vm, p << PAGE_SHIFT, next << PAGE_SHIFT);
		else
			set(&vm->slots, p << PAGE_SHIFT, next << PAGE_SHIFT, kind);
		p = next;
	}
}

static void bring_out(struct engine_vm *vm)
{
	for (uint32_t i = 0; i < vm->n_vcpus; i++)
		if (vm->vcpu[i] && atomic_load(&vm->vcpu[i]->inside))
			kvm_kick(vm->vcpu[i]);
}

void kvm_slots_changed(struct engine_vm *vm, uint64_t gpa, uint64_t len)
{
	struct kvm_slots *s = &vm->slots;

	if (!len || gpa >= vm->mem->limit || len > vm->mem->limit - gpa)
		return;
	pthread_mutex_lock(&s->lock);
	/* All of it: a reset lays memory out again. */
	if (!gpa && len == vm->mem->limit)
		s->running = false;
	note(vm, gpa, len);
	pthread_mutex_unlock(&s->lock);
	if (atomic_load(&s->dirty))
		bring_out(vm);
}

/* ---- what the kernel has ---------------------------------------------------------------- */

static int region(const struct engine_vm *vm, uint32_t id, uint64_t gpa, void *host, uint64_t size, bool readonly)
{
	struct kvm_userspace_memory_region r = {
		.slot = id,
		.flags = readonly && size ? KVM_MEM_READONLY : 0,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uint64_t)(uintptr_t)host,
	};

	return kvm_ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r);
}

int kvm_slot_own(struct engine_vm *vm, uint32_t id, uint64_t gpa, void *host, uint64_t size, bool readonly)
{
	return id < KVM_OWN_SLOTS ? region(vm, id, gpa, host, size, readonly) : -EINVAL;
}

static int remove_gone(struct engine_vm *vm)
{
	struct kvm_slots *s = &vm->slots;

	while (s->n_gone) {
		uint32_t id = s->gone[s->n_gone - 1];
		int r = region(vm, id, 0, NULL, 0, false);

		if (r)
			return r;
		if (!push(&s->free, &s->n_free, &s->free_room, id))
			return -ENOMEM;
		s->n_gone--;
	}
	return 0;
}

static int add_slot(struct engine_vm *vm, struct kvm_range *r)
{
	struct kvm_slots *s = &vm->slots;
	uint32_t id = s->n_free ? s->free[s->n_free - 1] : s->next_id;
	int err = id < vm->features.max_slots ?
	                  region(vm, id, r->gpa, vm->mem->base + r->gpa, r->size, r->readonly) :
	                  -ENOSPC;

	/* Too many, or where the kernel has pages of its own: a guest's wish, which is refused. */
	if (err == -ENOSPC || err == -EEXIST || err == -EINVAL) {
		s->refused++;
		return 0;
	}
	if (err)
		return err;
	r->id = id;
	if (s->n_free)
		s->n_free--;
	else
		s->next_id++;
	return 0;
}

static int install(struct engine_vm *vm)
{
	struct kvm_slots *s = &vm->slots;
	int r = s->failed ? -ENOMEM : remove_gone(vm);

	for (uint32_t i = 0; i < s->n && !r; i++)
		if (s->ranges[i].id == KVM_NO_SLOT)
			r = add_slot(vm, &s->ranges[i]);
	return r;
}

static void wait_all_out(struct engine_vm *vm)
{
	for (uint32_t i = 0; i < vm->n_vcpus; i++) {
		struct engine_vcpu *v = vm->vcpu[i];

		while (v && atomic_load(&v->inside)) {
			kvm_kick(v);
			sched_yield();
		}
	}
}

int kvm_slots_sync(struct engine_vm *vm)
{
	struct kvm_slots *s = &vm->slots;
	int r = 0;

	pthread_mutex_lock(&s->lock);
	s->running = true;
	if (atomic_load(&s->dirty)) {
		wait_all_out(vm);
		r = install(vm);
		if (!r)
			atomic_store(&s->dirty, false);
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

int kvm_slots_init(struct engine_vm *vm)
{
	struct kvm_slots *s = &vm->slots;

	*s = (struct kvm_slots){ .next_id = KVM_OWN_SLOTS };
	pthread_mutex_init(&s->lock, NULL);
	note(vm, 0, vm->mem->limit);
	/* The first entry says that it is one, even where there is no memory at all. */
	atomic_store(&s->dirty, true);
	return s->failed ? -ENOMEM : 0;
}

void kvm_slots_finish(struct engine_vm *vm)
{
	struct kvm_slots *s = &vm->slots;

	if (!s->next_id)
		return;
	free(s->ranges);
	free(s->gone);
	free(s->free);
	pthread_mutex_destroy(&s->lock);
	s->next_id = 0;
}
