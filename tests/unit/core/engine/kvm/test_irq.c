/* SPDX-License-Identifier: MIT */
/* Interrupts into the guest, and getting it to look up. */
#include "fake/kvm-rig.h"

static void raise(struct rig *r, int vector)
{
	r->vectors[0] = vector;
	atomic_fetch_or(&r->attention, ATTN_IRQ);
}

static void an_interrupt_is_delivered(void **state)
{
	RIG(r);
	rig_real(r, RIG_BYTES(0xfb, 0x90, 0xe6, 0x10, 0xf4)); /* sti; nop; out %al, $0x10; hlt */
	rig_wants_out(r, 0x10, 1, 0);
	raise(r, 0x33);
	rig_wants_vector(r, 0x33);
	assert_int_equal(r->accepted, 1);
	assert_int_equal(atomic_load(&r->attention), 0);
	rig_wants(r, EXIT_HLT);
}

/* To ask the controller is to acknowledge: not before the guest can take it. */
static void it_waits_for_the_interrupt_flag(void **state)
{
	RIG(r);
	rig_real(r, RIG_BYTES(0xe6, 0x10, 0xfb, 0xeb, 0xfe)); /* out %al, $0x10; sti; jmp . */
	rig_wants_out(r, 0x10, 1, 0);
	raise(r, 0x44);
	r->vectors[1] = 0x45;
	rig_wants_vector(r, 0x44); /* by an exit at the moment when IF and shadow allow */
	assert_int_equal(r->accepted, 1);
	rig_wants_vector(r, 0x45);
	assert_int_equal(r->accepted, 2);
}

static void a_masked_guest_is_left_alone(void **state)
{
	RIG(r);
	rig_real(r, RIG_BYTES(0xe6, 0x10, 0xe6, 0x11, 0xf4));
	rig_wants_out(r, 0x10, 1, 0);
	raise(r, 0x44);
	rig_wants_out(r, 0x11, 1, 0);
	rig_wants(r, EXIT_HLT);
	assert_int_equal(r->accepted, 0);
	assert_true(atomic_load(&r->attention) & ATTN_IRQ);
}

/* The bit may be left from one that has gone since. */
static void nothing_pending_is_nothing(void **state)
{
	RIG(r);
	rig_real(r, RIG_BYTES(0xfb, 0x90, 0xe6, 0x10, 0xf4));
	rig_wants_out(r, 0x10, 1, 0);
	atomic_store(&r->attention, ATTN_IRQ);
	rig_wants(r, EXIT_HLT);
	assert_int_equal(atomic_load(&r->attention), 0);
}

static void a_halt_is_ended_by_it(void **state)
{
	RIG(r);
	rig_real(r, RIG_BYTES(0xfb, 0xf4, 0xf4)); /* sti; hlt; hlt */
	rig_wants(r, EXIT_HLT);
	raise(r, 0x20);
	rig_wants_vector(r, 0x20);
	rig_wants(r, EXIT_HLT);
	rig_fetch(r);
	assert_int_equal(r->state.rip, RIG_CODE + 3);
}

static void an_nmi_needs_no_flag(void **state)
{
	RIG(r);
	rig_real(r, RIG_BYTES(0xe6, 0x10, 0xf4));
	rig_wants_out(r, 0x10, 1, 0);
	atomic_store(&r->attention, ATTN_NMI);
	rig_wants_vector(r, 2);
	assert_int_equal(atomic_load(&r->attention), 0);
	rig_wants(r, EXIT_HLT);
}

/* The first one's handler has a flat iret, and behind it the second comes. */
static void two_nmis_are_two(void **state)
{
	RIG(r);
	rig_real(r, RIG_BYTES(0xe6, 0x10, 0xf4));
	rig_wants_out(r, 0x10, 1, 0);
	atomic_store(&r->attention, 0);
	attn_nmi_raise(&r->attention);
	attn_nmi_raise(&r->attention);
	rig_wants_vector(r, 2);
	assert_int_equal(atomic_load(&r->attention), 0);
}

/* State that cannot take an interrupt does not get one that was on its way to the state before. */
static void new_state_is_asked_anew(void **state)
{
	RIG(r);
	rig_real(r, RIG_BYTES(0xfb, 0x90, 0xe6, 0x10, 0xf4));
	rig_wants_out(r, 0x10, 1, 0);
	rig_fetch(r);
	r->state.rflags &= ~0x200ull;
	r->state.rip = RIG_CODE + 4;
	rig_set(r);
	raise(r, 0x33);
	rig_wants(r, EXIT_HLT);
	assert_int_equal(r->accepted, 0);
}

/* What the kernel notes in the shared page about one under way stays there when it has been delivered. */
static void one_delivered_does_not_come_back(void **state)
{
	RIG(r);
	rig_real(r, RIG_BYTES(0x0f, 0x30, 0xf4)); /* wrmsr; hlt */
	r->state.gpr[RCX] = 0x1b;
	r->state.gpr[RAX] = 0xfee00100;
	r->state.gpr[RDX] = 0;
	rig_set(r);
	rig_wants(r, EXIT_WRMSR);
	kvm_sregs(r->v)->interrupt_bitmap[0] |= 1ull << 0x33;
	r->exit.msr.fault = false;
	rig_wants(r, EXIT_HLT);
	assert_int_equal(r->accepted, 0);
}

/* ---- kicks -------------------------------------------------------------------------- */

struct kicker {
	struct rig *r;
	uint32_t bits;
	int vector;
};

static void *kick_soon(void *opaque)
{
	struct kicker *k = opaque;
	const struct timespec wait = { .tv_nsec = 50000000 };

	nanosleep(&wait, NULL);
	if (k->vector >= 0)
		k->r->vectors[0] = k->vector;
	atomic_fetch_or(&k->r->attention, k->bits);
	engine_kvm.vcpu_kick(k->r->v);
	return NULL;
}

static void a_running_guest_comes_out(void **state)
{
	static const uint32_t bits[] = { ATTN_PAUSE, ATTN_STOP, ATTN_WAKE };

	RIG(r);
	rig_real(r, RIG_BYTES(0xeb, 0xfe)); /* jmp . */
	for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		struct kicker k = { r, bits[i], -1 };
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, kick_soon, &k), 0);
		rig_wants(r, EXIT_INTR);
		pthread_join(thread, NULL);
		assert_int_equal(r->exit.rip, RIG_CODE);
		atomic_store(&r->attention, 0);
	}
}

static void a_running_guest_is_interrupted(void **state)
{
	struct kicker k = { .bits = ATTN_IRQ, .vector = 0x55 };
	pthread_t thread;

	RIG(r);
	k.r = r;
	rig_real(r, RIG_BYTES(0xfb, 0xeb, 0xfe)); /* sti; jmp . */
	assert_int_equal(pthread_create(&thread, NULL, kick_soon, &k), 0);
	rig_wants_vector(r, 0x55);
	pthread_join(thread, NULL);
}

/* A kick before the entry is not lost, and one that nobody needs costs no more than a look. */
static void kicks_do_not_get_lost(void **state)
{
	RIG(r);
	rig_real(r, RIG_BYTES(0xeb, 0xfe));
	for (unsigned i = 0; i < 100; i++) {
		atomic_store(&r->attention, ATTN_PAUSE);
		engine_kvm.vcpu_kick(r->v);
		rig_wants(r, EXIT_INTR);
		atomic_store(&r->attention, 0);
	}
	rig_code(r, RIG_BYTES(0xf4));
	engine_kvm.vcpu_kick(r->v);
	engine_kvm.vcpu_kick(r->v);
	rig_wants(r, EXIT_HLT);
}

struct storm {
	struct rig *r;
	_Atomic bool end;
};

static void *kick_much(void *opaque)
{
	struct storm *s = opaque;

	while (!atomic_load(&s->end))
		engine_kvm.vcpu_kick(s->r->v);
	return NULL;
}

static void a_storm_of_kicks_changes_nothing(void **state)
{
	struct storm s = { 0 };
	pthread_t thread;

	RIG(r);
	s.r = r;
	rig_real(r, RIG_BYTES(0xe4, 0x20, 0xe6, 0x10, 0xeb, 0xfa)); /* in $0x20, %al; out %al, $0x10; back */
	rig_wants_in(r, 0x20, 1, 0);
	assert_int_equal(pthread_create(&thread, NULL, kick_much, &s), 0);
	for (unsigned i = 0; i < 200; i++) {
		r->exit.pio.data = i;
		rig_wants_out(r, 0x10, 1, i & 0xff);
		rig_wants_in(r, 0x20, 1, 0);
	}
	atomic_store(&s.end, true);
	pthread_join(thread, NULL);
}

/* mov %cr8, %rax; out %eax, $0x10; mov %rbx, %cr8; out %eax, $0x11; mov %cr8, %rax; out %eax, $0x12 */
static void cr8_is_the_controllers(void **state)
{
	RIG(r);
	r->cr8_outside = true;
	r->cr8 = 9;
	rig_long(r, RIG_BYTES(0x44, 0x0f, 0x20, 0xc0, 0xe7, 0x10, 0x44, 0x0f, 0x22, 0xc3, 0xe7, 0x11, 0x44, 0x0f, 0x20,
	                      0xc0, 0xe7, 0x12, 0xf4));
	r->state.gpr[RBX] = 4;
	rig_set(r);
	rig_wants_out(r, 0x10, 4, 9);
	assert_int_equal(r->cr8_writes, 0);
	rig_wants_out(r, 0x11, 4, 9);
	assert_int_equal(r->cr8, 4);
	assert_int_equal(r->cr8_writes, 1);
	/* By way of its registers, between two exits. */
	r->cr8 = 15;
	rig_wants_out(r, 0x12, 4, 15);
	assert_int_equal(r->cr8_writes, 1);
}

static void cr8_is_the_processors(void **state)
{
	RIG(r);
	rig_long(r, RIG_BYTES(0x44, 0x0f, 0x22, 0xc3, 0xe7, 0x10, 0x44, 0x0f, 0x20, 0xc0, 0xe7, 0x12, 0xf4));
	r->state.gpr[RBX] = 4;
	rig_set(r);
	rig_wants_out(r, 0x10, 4, 0);
	rig_wants_out(r, 0x12, 4, 4);
	rig_fetch(r);
	assert_int_equal(r->state.cr8, 4);
	assert_int_equal(r->cr8_writes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(an_interrupt_is_delivered),
		RIG_TEST(it_waits_for_the_interrupt_flag),
		RIG_TEST(a_masked_guest_is_left_alone),
		RIG_TEST(nothing_pending_is_nothing),
		RIG_TEST(a_halt_is_ended_by_it),
		RIG_TEST(an_nmi_needs_no_flag),
		RIG_TEST(two_nmis_are_two),
		RIG_TEST(new_state_is_asked_anew),
		RIG_TEST(one_delivered_does_not_come_back),
		RIG_TEST(a_running_guest_comes_out),
		RIG_TEST(a_running_guest_is_interrupted),
		RIG_TEST(kicks_do_not_get_lost),
		RIG_TEST(a_storm_of_kicks_changes_nothing),
		RIG_TEST(cr8_is_the_controllers),
		RIG_TEST(cr8_is_the_processors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
