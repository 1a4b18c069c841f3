/* SPDX-License-Identifier: MIT */
/* Memory slots: which there are, and what the guest finds when memory changes under it. */
#include "fake/kvm-rig.h"


static void wants_ranges(struct rig *r, const struct kvm_range *want, uint32_t n)
{
	const struct kvm_slots *s = &r->vm->slots;

	assert_int_equal(s->n, n);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(s->ranges[i].gpa, want[i].gpa);
		assert_int_equal(s->ranges[i].size, want[i].size);
		assert_int_equal(s->ranges[i].readonly, want[i].readonly);
	}
}

#define WANTS_RANGES(r, ...) \
	wants_ranges(r, (const struct kvm_range[]){ __VA_ARGS__ }, \
	             sizeof((const struct kvm_range[]){ __VA_ARGS__ }) / sizeof(struct kvm_range))

static void ram_is_one_slot(void **state)
{
	RIG(r);
	WANTS_RANGES(r, { .size = RIG_MEM });
	assert_int_equal(kvm_slots_sync(r->vm), 0);
	assert_int_equal(r->vm->slots.ranges[0].id, KVM_OWN_SLOTS);
	assert_false(atomic_load(&r->vm->slots.dirty));
}

static void host_pages_over_ram_change_nothing(void **state)
{
	struct gamut_page *page;
	uint8_t *host;

	RIG(r);
	page = mem_page_alloc(&r->mem, 1, (void **)&host);
	rig_real(r, RIG_BYTES(0xa0, 0x00, 0x80, 0xe6, 0x10, /* mov 0x8000, %al; out %al, $0x10 */
	                      0xc6, 0x06, 0x01, 0x80, 0x77, 0xeb, 0xf4)); /* movb $0x77, 0x8001; back */
	*rig_at(r, RIG_DATA) = 1;
	rig_wants_out(r, 0x10, 1, 1);
	host[0] = 2;
	assert_int_equal(mem_page_map(&r->mem, page, 0, RIG_DATA), 0);
	WANTS_RANGES(r, { .size = RIG_MEM });
	assert_false(atomic_load(&r->vm->slots.dirty));
	host[1] = 0;
	rig_wants_out(r, 0x10, 1, 2);
	rig_wants_out(r, 0x10, 1, 2);
	assert_int_equal(host[1], 0x77);
	assert_int_equal(mem_page_unmap(&r->mem, page, 0), 0);
	rig_wants_out(r, 0x10, 1, 1);
	mem_page_free(&r->mem, page);
}

static void host_pages_beyond_ram_have_slots(void **state)
{
	struct gamut_page *pages;
	uint32_t *host;

	RIG(r);
	pages = mem_page_alloc(&r->mem, 3, (void **)&host);
	rig_long(r, RIG_BYTES(0x8b, 0x03, 0xe7, 0x10, 0xeb, 0xfa)); /* mov (%rbx), %eax; out %eax, $0x10; back */
	r->state.gpr[RBX] = RIG_HOLE;
	rig_set(r);
	rig_wants(r, EXIT_MMIO);
	r->exit.mmio.data = 0xffffffff;
	rig_wants_out(r, 0x10, 4, 0xffffffff);
	*host = 0x12345678;
	assert_int_equal(mem_page_map(&r->mem, pages, 0, RIG_HOLE), 0);
	rig_wants_out(r, 0x10, 4, 0x12345678);
	/* Neighbours are joined, and cut again. */
	assert_int_equal(mem_page_map(&r->mem, pages, 2, RIG_HOLE + 2 * PAGE_SIZE), 0);
	WANTS_RANGES(r, { .size = RIG_MEM }, { .gpa = RIG_HOLE, .size = PAGE_SIZE },
	             { .gpa = RIG_HOLE + 2 * PAGE_SIZE, .size = PAGE_SIZE });
	assert_int_equal(mem_page_map(&r->mem, pages, 1, RIG_HOLE + PAGE_SIZE), 0);
	WANTS_RANGES(r, { .size = RIG_MEM }, { .gpa = RIG_HOLE, .size = 3 * PAGE_SIZE });
	rig_wants_out(r, 0x10, 4, 0x12345678);
	assert_int_equal(mem_page_unmap(&r->mem, pages, 1), 0);
	WANTS_RANGES(r, { .size = RIG_MEM }, { .gpa = RIG_HOLE, .size = PAGE_SIZE },
	             { .gpa = RIG_HOLE + 2 * PAGE_SIZE, .size = PAGE_SIZE });
	rig_wants_out(r, 0x10, 4, 0x12345678);
	assert_int_equal(r->vm->slots.n_gone, 0);
	assert_int_equal(mem_page_unmap(&r->mem, pages, 0), 0);
	rig_wants(r, EXIT_MMIO);
	mem_page_free(&r->mem, pages);
	WANTS_RANGES(r, { .size = RIG_MEM });
}

static void holes_made_before_the_first_entry_are_holes(void **state)
{
	RIG(r);
	assert_int_equal(mem_release(&r->mem, 0xa0000, 0x20000), 0);
	WANTS_RANGES(r, { .size = 0xa0000 }, { .gpa = 0xc0000, .size = RIG_MEM - 0xc0000 });
	rig_long(r, RIG_BYTES(0x8b, 0x03, 0xf4)); /* mov (%rbx), %eax; hlt */
	r->state.gpr[RBX] = 0xb8000;
	rig_set(r);
	rig_wants(r, EXIT_MMIO);
	assert_int_equal(r->exit.mmio.gpa, 0xb8000);
	rig_wants(r, EXIT_HLT);
	/* And memory again when it is populated. */
	assert_int_equal(mem_populate(&r->mem, 0xa0000, 0x20000), 0);
	WANTS_RANGES(r, { .size = RIG_MEM });
}

/* What the guest's balloon takes out later leaves the slot whole; a reset starts anew. */
static void a_balloon_cuts_no_slots(void **state)
{
	RIG(r);
	rig_long(r, RIG_BYTES(0x8b, 0x03, 0xe7, 0x10, 0xeb, 0xfa)); /* mov (%rbx), %eax; out %eax, $0x10; back */
	r->state.gpr[RBX] = 0x300000;
	rig_set(r);
	rig_put64(r, 0x300000, 0x5555);
	rig_wants_out(r, 0x10, 4, 0x5555);
	assert_int_equal(mem_release(&r->mem, 0x300000, PAGE_SIZE), 0);
	WANTS_RANGES(r, { .size = RIG_MEM });
	rig_wants_out(r, 0x10, 4, 0); /* its memory is gone */
	assert_int_equal(mem_reset(&r->mem), 0);
	assert_int_equal(mem_release(&r->mem, 0x300000, PAGE_SIZE), 0);
	WANTS_RANGES(r, { .size = 0x300000 }, { .gpa = 0x301000, .size = RIG_MEM - 0x301000 });
}

static void writes_to_rom_come_out(void **state)
{
	RIG(r);
	r->mem.kind[0x400] = MEM_ROM;
	engine_kvm.mem_changed(r->vm, 0x400000, PAGE_SIZE, true);
	WANTS_RANGES(r, { .size = 0x400000 }, { .gpa = 0x400000, .size = PAGE_SIZE, .readonly = true },
	             { .gpa = 0x401000, .size = RIG_MEM - 0x401000 });
	rig_long(r, RIG_BYTES(0x89, 0x03, 0x8b, 0x03, 0xe7, 0x10)); /* mov %eax, (%rbx); mov (%rbx), %eax; out */
	r->state.gpr[RAX] = 0x99;
	r->state.gpr[RBX] = 0x400000;
	rig_set(r);
	rig_put64(r, 0x400000, 0x1234);
	rig_wants(r, EXIT_MMIO);
	assert_true(r->exit.mmio.write);
	assert_int_equal(r->exit.mmio.gpa, 0x400000);
	rig_wants_out(r, 0x10, 4, 0x1234);
}

/* Ranges of every shape against a byte for each page. */
static void lists_agree_with_pages(void **state)
{
	uint64_t seed = 1;

	RIG(r);
	for (unsigned round = 0; round < 2000; round++) {
		uint64_t first, n;
		uint8_t kind;

		seed = seed * 6364136223846793005 + 1442695040888963407;
		first = 0xe0000 + (seed >> 33) % 64;
		n = 1 + (seed >> 45) % 8;
		kind = (uint8_t[]){ MEM_NONE, MEM_HOST, MEM_ROM, MEM_RAM }[seed >> 60 & 3];
		memset(r->mem.kind + first, kind, n);
		engine_kvm.mem_changed(r->vm, first << PAGE_SHIFT, n << PAGE_SHIFT, true);
		for (uint64_t page = 0xdffff; page < 0xe0050; page++) {
			const struct kvm_slots *s = &r->vm->slots;
			uint32_t found = 0;

			for (uint32_t i = 0; i < s->n; i++) {
				const struct kvm_range *x = &s->ranges[i];

				if ((page << PAGE_SHIFT) - x->gpa >= x->size)
					continue;
				found++;
				assert_int_equal(x->readonly, r->mem.kind[page] == MEM_ROM);
			}
			assert_int_equal(found, r->mem.kind[page] != MEM_NONE);
		}
		for (uint32_t i = 1; i < r->vm->slots.n; i++) {
			const struct kvm_range *a = &r->vm->slots.ranges[i - 1], *b = a + 1;

			assert_true(a->gpa + a->size < b->gpa || (a->gpa + a->size == b->gpa && a->readonly != b->readonly));
		}
	}
	memset(r->mem.kind + 0xe0000, MEM_NONE, 80);
	engine_kvm.mem_changed(r->vm, RIG_HOLE, 80 << PAGE_SHIFT, true);
	WANTS_RANGES(r, { .size = RIG_MEM });
	assert_int_equal(kvm_slots_sync(r->vm), 0);
}

static void too_many_slots_are_refused(void **state)
{
	RIG(r);
	r->vm->features.max_slots = KVM_OWN_SLOTS + 2;
	for (unsigned i = 0; i < 3; i++) {
		r->mem.kind[0xe0000 + 2 * i] = MEM_ROM; /* nothing behind it: it is not touched here */
		engine_kvm.mem_changed(r->vm, RIG_HOLE + 2 * i * PAGE_SIZE, PAGE_SIZE, true);
	}
	assert_int_equal(kvm_slots_sync(r->vm), 0);
	assert_int_equal(r->vm->slots.refused, 2);
	/* One goes, another gets its place. */
	r->mem.kind[0xe0000] = MEM_NONE;
	engine_kvm.mem_changed(r->vm, RIG_HOLE, PAGE_SIZE, true);
	assert_int_equal(kvm_slots_sync(r->vm), 0);
	assert_int_equal(r->vm->slots.refused, 3);
	assert_int_not_equal(r->vm->slots.ranges[1].id, KVM_NO_SLOT);
	assert_int_equal(r->vm->slots.ranges[2].id, KVM_NO_SLOT);
	rig_real(r, RIG_BYTES(0xf4));
	rig_wants(r, EXIT_HLT);
}

static void own_slots_lie_beside_memory(void **state)
{
	RIG(r);
	assert_int_equal(kvm_slot_own(r->vm, 0, RIG_HOLE, rig_at(r, 0x100000), PAGE_SIZE, false), 0);
	assert_int_equal(kvm_slot_own(r->vm, KVM_OWN_SLOTS, RIG_HOLE, rig_at(r, 0x100000), PAGE_SIZE, false), -EINVAL);
	rig_put64(r, 0x100000, 0x4242);
	rig_long(r, RIG_BYTES(0x8b, 0x03, 0xe7, 0x10, 0xeb, 0xfa));
	r->state.gpr[RBX] = RIG_HOLE;
	rig_set(r);
	rig_wants_out(r, 0x10, 4, 0x4242);
	assert_int_equal(kvm_slot_own(r->vm, 0, RIG_HOLE, NULL, 0, false), 0);
	rig_wants(r, EXIT_MMIO);
}

/* ---- while the guest runs ---------------------------------------------------------------- */

struct mapper {
	struct rig *r;
	struct gamut_page *pages;
	unsigned rounds;
};

#define COUNTER 0x300000u

/* The guest has counted on since it was at `from`; false: not in ten seconds. */
static bool counts_on(struct rig *r, uint64_t from)
{
	for (unsigned i = 0; i < 10000; i++) {
		if (__atomic_load_n((uint64_t *)(void *)(r->mem.base + COUNTER), __ATOMIC_RELAXED) != from)
			return true;
		usleep(1000);
	}
	return false;
}

static void *map_and_unmap(void *opaque)
{
	struct mapper *m = opaque;
	struct mem *mem = &m->r->mem;

	for (unsigned i = 0; i < m->rounds; i++) {
		uint64_t count = __atomic_load_n((uint64_t *)(void *)(mem->base + COUNTER), __ATOMIC_RELAXED);

		if (mem_page_map(mem, m->pages, 0, RIG_HOLE) || mem_page_map(mem, m->pages, 1, RIG_HOLE + PAGE_SIZE))
			return m;
		if (mem_page_unmap(mem, m->pages, 0) || mem_page_unmap(mem, m->pages, 1) || !counts_on(m->r, count))
			return m;
	}
	atomic_fetch_or(&m->r->attention, ATTN_STOP);
	engine_kvm.vcpu_kick(m->r->v);
	return NULL;
}

/* The guest's own memory is there all the time: it never sees a slot half replaced. */
static void slots_change_under_a_running_guest(void **state)
{
	struct mapper m = { .rounds = 50 };
	pthread_t thread;
	void *failed;

	RIG(r);
	m.r = r;
	m.pages = mem_page_alloc(&r->mem, 2, NULL);
	rig_long(r, RIG_BYTES(0x48, 0xff, 0x03, 0xeb, 0xfb)); /* incq (%rbx); back */
	r->state.gpr[RBX] = COUNTER;
	rig_set(r);
	assert_int_equal(pthread_create(&thread, NULL, map_and_unmap, &m), 0);
	rig_wants(r, EXIT_INTR);
	pthread_join(thread, &failed);
	assert_null(failed);
	mem_page_free(&r->mem, m.pages);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(ram_is_one_slot),
		RIG_TEST(host_pages_over_ram_change_nothing),
		RIG_TEST(host_pages_beyond_ram_have_slots),
		RIG_TEST(holes_made_before_the_first_entry_are_holes),
		RIG_TEST(a_balloon_cuts_no_slots),
		RIG_TEST(writes_to_rom_come_out),
		RIG_TEST(lists_agree_with_pages),
		RIG_TEST(too_many_slots_are_refused),
		RIG_TEST(own_slots_lie_beside_memory),
		RIG_TEST(slots_change_under_a_running_guest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
