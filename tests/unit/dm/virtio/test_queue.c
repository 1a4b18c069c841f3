/* SPDX-License-Identifier: MIT */
/* A virtqueue with a driver written here, honest and not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dm/virtio/queue.h"
#include "fake/host-fake.h"

#define RAM   (8ull << 20)
#define DESC  0x1000u
#define AVAIL 0x2000u
#define USED  0x3000u
#define DATA  0x10000u
#define TABLE 0x8000u
#define SIZE  8u

struct fixture {
	struct host_fake *f;
	struct virtq q;
	struct vring_desc *desc, *table;
	struct vring_avail *avail;
	struct vring_used *used;
	struct virtq_chain chain;
	struct virtq_seg segs[VIRTQ_CHAIN_MAX];
};

static int setup(void **state)
{
	struct fixture *t = calloc(1, sizeof(*t));

	t->f = host_fake_create(RAM, 1);
	t->desc = (struct vring_desc *)(t->f->ram + DESC);
	t->table = (struct vring_desc *)(t->f->ram + TABLE);
	t->avail = (struct vring_avail *)(t->f->ram + AVAIL);
	t->used = (struct vring_used *)(t->f->ram + USED);
	virtq_init(&t->q, t->f->host, t->f->inst, 256);
	t->q.desc = DESC;
	t->q.avail = AVAIL;
	t->q.used = USED;
	t->q.size = SIZE;
	t->q.indirect = true;
	assert_int_equal(virtq_map(&t->q), 0);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *t = *state;

	virtq_finish(&t->q);
	assert_int_equal(host_fake_destroy(t->f), 0);
	free(t);
	return 0;
}

static void offer(struct fixture *t, uint16_t head)
{
	t->avail->ring[t->avail->idx & (SIZE - 1)] = head;
	t->avail->idx++;
}

static int pop(struct fixture *t)
{
	return virtq_pop(&t->q, &t->chain, t->segs, VIRTQ_CHAIN_MAX);
}

static void put(struct fixture *t, uint64_t written)
{
	virtq_put(&t->q, t->chain.seg, t->chain.n_out, t->chain.n_in, written);
}

static void expect_broken(struct fixture *t)
{
	uint32_t gets = t->f->gets;

	assert_int_equal(pop(t), -EPROTO);
	assert_non_null(t->q.fault);
	assert_int_equal(t->f->gets, gets);
	assert_int_equal(pop(t), -EPROTO);
}

/* ---- as it should be ---- */

static void chain(void **state)
{
	struct fixture *t = *state;
	char text[8] = {0};

	assert_int_equal(pop(t), 0);
	t->desc[3] = (struct vring_desc){.addr = DATA, .len = 3, .flags = VRING_DESC_F_NEXT, .next = 1};
	t->desc[1] = (struct vring_desc){.addr = DATA + 100, .len = 3, .flags = VRING_DESC_F_NEXT, .next = 7};
	t->desc[7] = (struct vring_desc){.addr = DATA + 200, .len = 5, .flags = VRING_DESC_F_WRITE};
	memcpy(t->f->ram + DATA, "abc", 3);
	memcpy(t->f->ram + DATA + 100, "def", 3);
	offer(t, 3);
	assert_int_equal(pop(t), 1);
	assert_int_equal(t->chain.head, 3);
	assert_int_equal(t->chain.n_out, 2);
	assert_int_equal(t->chain.n_in, 1);
	assert_int_equal(t->chain.out_len, 6);
	assert_int_equal(t->chain.in_len, 5);
	assert_int_equal(virtq_copy_out(&t->chain, 2, text, 8), 4);
	assert_string_equal(text, "cdef");
	assert_int_equal(virtq_copy_in(&t->chain, 1, "xyz", 3), 3);
	assert_memory_equal(t->f->ram + DATA + 201, "xyz", 3);
	t->f->dirtied = 0;
	put(t, 4);
	assert_int_equal(t->f->dirtied, 4);
	virtq_push(&t->q, 3, 4);
	assert_int_equal(t->used->idx, 0);
	assert_true(virtq_publish(&t->q));
	assert_int_equal(t->used->idx, 1);
	assert_int_equal(t->used->ring[0].id, 3);
	assert_int_equal(t->used->ring[0].len, 4);
	assert_false(virtq_publish(&t->q));
}

static void indirect(void **state)
{
	struct fixture *t = *state;

	t->desc[0] = (struct vring_desc){.addr = TABLE, .len = 3 * 16, .flags = VRING_DESC_F_INDIRECT};
	t->table[0] = (struct vring_desc){.addr = DATA, .len = 16, .flags = VRING_DESC_F_NEXT, .next = 2};
	t->table[2] = (struct vring_desc){.addr = DATA + 512, .len = 512, .flags = VRING_DESC_F_WRITE};
	offer(t, 0);
	assert_int_equal(pop(t), 1);
	assert_int_equal(t->chain.n_out, 1);
	assert_int_equal(t->chain.n_in, 1);
	assert_int_equal(t->f->gets, 3 + 2);
	put(t, 0);
	/* Direct ones before it are allowed. */
	t->desc[1] = (struct vring_desc){.addr = DATA, .len = 16, .flags = VRING_DESC_F_NEXT, .next = 0};
	offer(t, 1);
	assert_int_equal(pop(t), 1);
	assert_int_equal(t->chain.n_out, 2);
	put(t, 0);
}

static void empty_buffers_are_none(void **state)
{
	struct fixture *t = *state;

	t->desc[0] = (struct vring_desc){.addr = UINT64_MAX, .len = 0, .flags = VRING_DESC_F_NEXT, .next = 1};
	t->desc[1] = (struct vring_desc){.addr = DATA, .len = 1, .flags = VRING_DESC_F_WRITE};
	offer(t, 0);
	assert_int_equal(pop(t), 1);
	assert_int_equal(t->chain.n_out + t->chain.n_in, 1);
	put(t, 0);
}

static void goes_back(void **state)
{
	struct fixture *t = *state;

	t->desc[0] = (struct vring_desc){.addr = DATA, .len = 1, .flags = VRING_DESC_F_NEXT, .next = 1};
	t->desc[1] = (struct vring_desc){.addr = DATA + 8, .len = 1};
	offer(t, 0);
	assert_int_equal(virtq_pop(&t->q, &t->chain, t->segs, 1), -ENOSPC);
	assert_int_equal(t->f->gets, 3);
	assert_int_equal(pop(t), 1);
	put(t, 0);
	virtq_unpop(&t->q, 1);
	assert_int_equal(pop(t), 1);
	put(t, 0);
	assert_int_equal(pop(t), 0);
}

/* Around the ring many times, and the index around its sixteen bits. */
static void wraps(void **state)
{
	struct fixture *t = *state;

	for (uint32_t i = 0; i < 70000; i++) {
		t->desc[i % SIZE] = (struct vring_desc){.addr = DATA, .len = 1 + i % 7};
		offer(t, i % SIZE);
		assert_int_equal(pop(t), 1);
		assert_int_equal(t->chain.out_len, 1 + i % 7);
		put(t, 0);
		virtq_push(&t->q, t->chain.head, i);
		virtq_publish(&t->q);
		assert_int_equal(t->used->idx, (uint16_t)(i + 1));
		assert_int_equal(t->used->ring[i % SIZE].len, i);
	}
}

/* ---- notifications ---- */

static void flags(void **state)
{
	struct fixture *t = *state;

	t->desc[0] = (struct vring_desc){.addr = DATA, .len = 1};
	virtq_hush(&t->q);
	assert_int_equal(t->used->flags, VRING_USED_F_NO_NOTIFY);
	assert_false(virtq_listen(&t->q));
	assert_int_equal(t->used->flags, 0);
	t->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	offer(t, 0);
	assert_true(virtq_listen(&t->q));
	assert_int_equal(pop(t), 1);
	put(t, 0);
	virtq_push(&t->q, 0, 0);
	assert_false(virtq_publish(&t->q));
	assert_int_equal(t->used->idx, 1);
}

static bool use(struct fixture *t, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		offer(t, 0);
		assert_int_equal(pop(t), 1);
		put(t, 0);
		virtq_push(&t->q, 0, 0);
	}
	return virtq_publish(&t->q);
}

static void event_index(void **state)
{
	struct fixture *t = *state;
	uint16_t *used_event = &t->avail->ring[SIZE], *avail_event = (uint16_t *)&t->used->ring[SIZE];

	t->q.event_idx = true;
	t->desc[0] = (struct vring_desc){.addr = DATA, .len = 1};
	*used_event = 2;
	assert_false(use(t, 2)); /* 1 and 2 */
	assert_true(use(t, 1));  /* 3 passes 2 */
	assert_false(use(t, 3));
	*used_event = 7;
	assert_true(use(t, 4)); /* 7 to 10 */
	assert_false(virtq_listen(&t->q));
	assert_int_equal(*avail_event, 10);
	/* The flag has no meaning then. */
	t->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	*used_event = 10;
	assert_true(use(t, 1));
}

/* ---- as it should not be ---- */

static void index_beyond_the_ring(void **state)
{
	struct fixture *t = *state;

	t->avail->idx = SIZE + 1;
	expect_broken(t);
}

/* More than the ring holds, little by little, without an answer in between. */
static void more_than_there_can_be(void **state)
{
	struct fixture *t = *state;

	t->desc[0] = (struct vring_desc){.addr = DATA, .len = 1};
	for (uint32_t i = 0; i < SIZE; i++) {
		offer(t, 0);
		assert_int_equal(pop(t), 1);
		put(t, 0);
	}
	offer(t, 0);
	expect_broken(t);
}

static void descriptor_outside(void **state)
{
	struct fixture *t = *state;

	offer(t, SIZE);
	expect_broken(t);
}

static void next_outside(void **state)
{
	struct fixture *t = *state;

	t->desc[0] = (struct vring_desc){.addr = DATA, .len = 1, .flags = VRING_DESC_F_NEXT, .next = SIZE};
	offer(t, 0);
	expect_broken(t);
}

static void circle(void **state)
{
	struct fixture *t = *state;

	for (uint32_t i = 0; i < SIZE; i++)
		t->desc[i] = (struct vring_desc){.addr = DATA, .len = 1, .flags = VRING_DESC_F_NEXT, .next = (i + 1) % SIZE};
	offer(t, 5);
	expect_broken(t);
}

static void circle_of_nothing(void **state)
{
	struct fixture *t = *state;

	t->desc[0] = (struct vring_desc){.addr = DATA, .len = 0, .flags = VRING_DESC_F_NEXT, .next = 0};
	offer(t, 0);
	expect_broken(t);
}

static void not_ram(void **state)
{
	struct fixture *t = *state;

	t->desc[0] = (struct vring_desc){.addr = RAM - 1, .len = 2};
	offer(t, 0);
	expect_broken(t);
}

static void address_overflows(void **state)
{
	struct fixture *t = *state;

	t->desc[0] = (struct vring_desc){.addr = DATA, .len = 1, .flags = VRING_DESC_F_NEXT, .next = 1};
	t->desc[1] = (struct vring_desc){.addr = UINT64_MAX - 1, .len = UINT32_MAX};
	offer(t, 0);
	expect_broken(t);
}

static void readable_behind_writable(void **state)
{
	struct fixture *t = *state;

	t->desc[0] =
	        (struct vring_desc){.addr = DATA, .len = 1, .flags = VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, .next = 1};
	t->desc[1] = (struct vring_desc){.addr = DATA, .len = 1};
	offer(t, 0);
	expect_broken(t);
}

static void more_than_4_gib(void **state)
{
	struct fixture *t = *state;

	for (uint32_t i = 0; i < 1024; i++)
		t->table[i] = (struct vring_desc){.addr = 0,
		                                  .len = RAM,
		                                  .flags = i < 1023 ? VRING_DESC_F_NEXT : 0,
		                                  .next = (uint16_t)(i + 1)};
	t->desc[0] = (struct vring_desc){.addr = TABLE, .len = 1024 * 16, .flags = VRING_DESC_F_INDIRECT};
	offer(t, 0);
	expect_broken(t);
	assert_non_null(strstr(t->q.fault, "4 GiB"));
}

static const struct vring_desc bad_tables[] = {
        {.addr = TABLE, .len = 16, .flags = VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, .next = 1},
        {.addr = TABLE, .len = 0, .flags = VRING_DESC_F_INDIRECT},
        {.addr = TABLE, .len = 17, .flags = VRING_DESC_F_INDIRECT},
        {.addr = TABLE, .len = 16 * (VIRTQ_CHAIN_MAX + 1), .flags = VRING_DESC_F_INDIRECT},
        {.addr = RAM - 8, .len = 16, .flags = VRING_DESC_F_INDIRECT},
        {.addr = UINT64_MAX - 7, .len = 16, .flags = VRING_DESC_F_INDIRECT},
};

static void impossible_tables(void **state)
{
	struct fixture *t = *state;

	for (uint32_t i = 0; i < sizeof(bad_tables) / sizeof(bad_tables[0]); i++) {
		t->desc[0] = bad_tables[i];
		t->q.fault = NULL;
		offer(t, 0);
		expect_broken(t);
		t->avail->idx--;
		t->q.avail_seen = t->q.avail_next;
	}
}

static void table_within_a_table(void **state)
{
	struct fixture *t = *state;

	t->desc[0] = (struct vring_desc){.addr = TABLE, .len = 16, .flags = VRING_DESC_F_INDIRECT};
	t->table[0] = t->desc[0];
	offer(t, 0);
	expect_broken(t);
}

static void table_not_negotiated(void **state)
{
	struct fixture *t = *state;

	t->q.indirect = false;
	t->desc[0] = (struct vring_desc){.addr = TABLE, .len = 16, .flags = VRING_DESC_F_INDIRECT};
	offer(t, 0);
	expect_broken(t);
}

/* ---- rings ---- */

static void rings_that_cannot_be(void **state)
{
	struct fixture *t = *state;
	uint16_t sizes[] = {0, 3, 512};

	virtq_unmap(&t->q);
	assert_int_equal(t->f->gets, 0);
	for (uint32_t i = 0; i < 3; i++) {
		t->q.size = sizes[i];
		assert_int_equal(virtq_map(&t->q), -EINVAL);
	}
	t->q.size = 256;
	t->q.desc = DESC + 8;
	assert_int_equal(virtq_map(&t->q), -EINVAL);
	t->q.desc = DESC;
	t->q.avail = AVAIL + 1;
	assert_int_equal(virtq_map(&t->q), -EINVAL);
	t->q.avail = AVAIL;
	t->q.used = USED + 2;
	assert_int_equal(virtq_map(&t->q), -EINVAL);
	t->q.used = RAM - 256 * 8;
	assert_int_equal(virtq_map(&t->q), -EFAULT);
	t->q.used = UINT64_MAX & ~3ull;
	assert_int_equal(virtq_map(&t->q), -EFAULT);
	assert_int_equal(t->f->gets, 0);
	t->q.used = USED;
	assert_int_equal(virtq_map(&t->q), 0);
}

static void iov_of_neighbours(void **state)
{
	struct fixture *t = *state;
	struct virtq_seg segs[3] = {
	        {t->f->ram, 0, 100}, {t->f->ram + 100, 100, 100}, {t->f->ram + 300, 300, 100}};
	struct iovec iov[3];

	assert_int_equal(virtq_iov(segs, 3, 16, 250, iov), 2);
	assert_ptr_equal(iov[0].iov_base, t->f->ram + 16);
	assert_int_equal(iov[0].iov_len, 184);
	assert_ptr_equal(iov[1].iov_base, t->f->ram + 300);
	assert_int_equal(iov[1].iov_len, 66);
	assert_int_equal(virtq_iov(segs, 3, 0, 0, iov), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(chain),
	        TEST(indirect),
	        TEST(empty_buffers_are_none),
	        TEST(goes_back),
	        TEST(wraps),
	        TEST(flags),
	        TEST(event_index),
	        TEST(index_beyond_the_ring),
	        TEST(more_than_there_can_be),
	        TEST(descriptor_outside),
	        TEST(next_outside),
	        TEST(circle),
	        TEST(circle_of_nothing),
	        TEST(not_ram),
	        TEST(address_overflows),
	        TEST(readable_behind_writable),
	        TEST(more_than_4_gib),
	        TEST(impossible_tables),
	        TEST(table_within_a_table),
	        TEST(table_not_negotiated),
	        TEST(rings_that_cannot_be),
	        TEST(iov_of_neighbours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
