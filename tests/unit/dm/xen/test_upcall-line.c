/* SPDX-License-Identifier: MIT */
/* Upcalls by an interrupt line, through a PC's 8259s and I/O APIC; and what a guest is not offered beside them. */
#include "world.h"

#include "gamut/pci.h"

#include <pthread.h>
#include <sched.h>

#define PIC_VECTOR 0x30u
#define LINE 11u
#define APIC_VECTOR 0x51u
#define LEVEL 0x8000u
#define APIC(reg) (LAPIC_BASE + (reg))

enum { EOI = 0xb0, SVR = 0xf0, IRR_51 = 0x220, LINT0 = 0x350 };

struct rig {
	struct host_fake *f;
	struct xen_intr x;
	uint32_t device, pin, level, calls; /* of board_irq */
	uint8_t *info; /* vCPU 0's */
};

static struct rig r;

static void board_irq(void *self, uint32_t device, uint32_t pin, uint32_t level)
{
	(void)self;
	r.device = device;
	r.pin = pin;
	r.level = level;
	r.calls++;
}

static const struct gamut_pci_bus_ops bus = { .size = sizeof(bus), .board_irq = board_irq };

static void outb(uint64_t port, uint8_t value)
{
	host_fake_out(r.f, GAMUT_SPACE_PIO, port, 1, value);
}

static void wr(uint64_t at, uint32_t value)
{
	host_fake_out(r.f, GAMUT_SPACE_MMIO, at, 4, value);
}

static uint32_t rd(uint64_t at)
{
	return (uint32_t)host_fake_in(r.f, GAMUT_SPACE_MMIO, at, 4);
}

static void entry(uint32_t pin, uint32_t low)
{
	wr(IOAPIC_BASE, 0x10 + 2 * pin);
	wr(IOAPIC_BASE + 0x10, low);
}

static int setup_as(uint32_t can)
{
	memset(&r, 0, sizeof(r));
	r.f = host_fake_create(1 << 20, 2);
	host_fake_give(r.f, GAMUT_PCI_BUS, GAMUT_PCI_REVISION, &bus, NULL);
	assert_int_equal(xen_intr_init_pc(&r.x, r.f->host, r.f->inst, can), 0);
	assert_int_equal(xen_intr_register(&r.x), 0);
	xen_intr_start(&r.x);
	r.info = xen_intr_ops.vcpu_info(&r.x, 0);
	wr(APIC(SVR), 0x1ff);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return setup_as(0);
}

static int setup_all(void **state)
{
	(void)state;
	return setup_as(GAMUT_XEN_INTR_VECTOR | GAMUT_XEN_INTR_TIME);
}

static int teardown(void **state)
{
	(void)state;
	xen_intr_finish(&r.x);
	assert_int_equal(host_fake_destroy(r.f), 0);
	return 0;
}

/* The 8259s by virtual wire: line 11 is level triggered. */
static void by_pic(void)
{
	static const uint8_t icw[][2] = { { 0x20, 0x11 }, { 0x21, PIC_VECTOR }, { 0x21, 4 }, { 0x21, 1 }, { 0xa0, 0x11 },
		                          { 0xa1, PIC_VECTOR + 8 }, { 0xa1, 2 }, { 0xa1, 1 }, { 0x21, 0 }, { 0xa1, 0 } };

	for (size_t i = 0; i < sizeof(icw) / sizeof(icw[0]); i++)
		outb(icw[i][0], icw[i][1]);
	outb(0x4d1, 1 << (LINE - 8));
	wr(APIC(LINT0), 0x700);
}

static void pic_eoi(void)
{
	outb(0xa0, 0x20);
	outb(0x20, 0x20);
}

static void by_ioapic(void)
{
	entry(LINE, LEVEL | APIC_VECTOR);
}

static int accept(uint32_t vcpu)
{
	return r.f->irq->accept(r.f->irq_opaque, vcpu);
}

static bool pending(uint32_t vcpu)
{
	return r.f->irq->pending(r.f->irq_opaque, vcpu);
}

static uint64_t via_intx(uint32_t device, uint32_t pin)
{
	return 1ull << 56 | (uint64_t)device << 11 | (pin - 1);
}

static void callback(uint64_t via)
{
	assert_int_equal(xen_intr_ops.callback_set(&r.x, via), 0);
}

/* An event, as if its selector had been clear. */
static void event(uint32_t vcpu)
{
	upcall_pending(&r.x.upcall, vcpu);
}

static void by_the_8259s(void **state)
{
	(void)state;
	by_pic();
	callback(LINE);
	assert_false(pending(0));
	event(0);
	assert_int_equal(r.info[0], 1);
	assert_int_equal(accept(0), PIC_VECTOR + LINE);
	assert_int_equal(accept(0), -1); /* in service */
	pic_eoi();
	assert_int_equal(accept(0), PIC_VECTOR + LINE); /* a level that stands */
	r.info[0] = 0;
	pic_eoi();
	assert_int_equal(accept(0), -1);
	assert_false(pending(0));
	assert_int_equal(host_fake_counter(r.f, "upcalls by line"), 1);
	event(0);
	assert_int_equal(accept(0), PIC_VECTOR + LINE);
}

/* As old handlers do it: masked, ended, served, unmasked. */
static void masked_meanwhile(void **state)
{
	(void)state;
	by_pic();
	callback(LINE);
	event(0);
	assert_int_equal(accept(0), PIC_VECTOR + LINE);
	outb(0xa1, 1 << (LINE - 8));
	pic_eoi();
	r.info[0] = 0;
	outb(0xa1, 0);
	assert_int_equal(accept(0), -1);
	outb(0xa1, 1 << (LINE - 8));
	event(0);
	assert_int_equal(accept(0), -1);
	outb(0xa1, 0);
	assert_int_equal(accept(0), PIC_VECTOR + LINE);
}

/* The guest looked by itself: what has ended before it interrupted does so no more. */
static void polled(void **state)
{
	(void)state;
	by_pic();
	callback(LINE);
	event(0);
	assert_true(pending(0));
	r.info[0] = 0;
	assert_int_equal(accept(0), -1);
	assert_false(pending(0));
}

static void by_the_ioapic(void **state)
{
	(void)state;
	by_ioapic();
	callback(LINE);
	event(0);
	assert_int_equal(accept(0), APIC_VECTOR);
	r.info[0] = 0;
	event(0); /* before the end: once more, and once */
	assert_int_equal(accept(0), -1);
	wr(APIC(EOI), 0);
	assert_int_equal(accept(0), APIC_VECTOR);
	r.info[0] = 0;
	wr(APIC(EOI), 0);
	assert_int_equal(accept(0), -1);
	assert_int_equal(host_fake_counter(r.f, "I/O APIC interrupts"), 2);
	event(0);
	assert_int_equal(accept(0), APIC_VECTOR);
}

/* The I/O APIC's own register of ends. */
static void by_eoi_register(void **state)
{
	(void)state;
	by_ioapic();
	wr(APIC(SVR), 0x11ff); /* no broadcasts */
	callback(LINE);
	event(0);
	assert_int_equal(accept(0), APIC_VECTOR);
	wr(APIC(EOI), 0);
	r.info[0] = 0;
	wr(IOAPIC_BASE + 0x40, APIC_VECTOR);
	assert_int_equal(accept(0), -1);
	assert_int_equal(rd(APIC(IRR_51)) >> (APIC_VECTOR % 32) & 1, 0);
}

/* Edge triggered: an edge for every time that the byte rises. */
static void edges(void **state)
{
	(void)state;
	entry(LINE, APIC_VECTOR);
	callback(LINE);
	for (int i = 0; i < 3; i++) {
		event(0);
		assert_int_equal(accept(0), APIC_VECTOR);
		r.info[0] = 0;
		event(0);
		wr(APIC(EOI), 0);
		assert_int_equal(accept(0), APIC_VECTOR);
		r.info[0] = 0;
		wr(APIC(EOI), 0);
	}
	assert_int_equal(accept(0), -1);
}

static void shared_with_a_device(void **state)
{
	(void)state;
	by_ioapic();
	callback(LINE);
	pc_irq_lines.set(&r.x, LINE, 1);
	assert_int_equal(accept(0), APIC_VECTOR);
	event(0);
	pc_irq_lines.set(&r.x, LINE, 0);
	wr(APIC(EOI), 0);
	assert_int_equal(accept(0), APIC_VECTOR); /* the event's */
	pc_irq_lines.set(&r.x, LINE, 1);
	r.info[0] = 0;
	wr(APIC(EOI), 0);
	assert_int_equal(accept(0), APIC_VECTOR); /* the device's */
	pc_irq_lines.set(&r.x, LINE, 0);
	wr(APIC(EOI), 0);
	assert_int_equal(accept(0), -1);
}

static void by_intx(void **state)
{
	(void)state;
	callback(via_intx(2, 1) | 0xffull << 32 | 0xabull << 16); /* domain and bus do not matter, as on Xen */
	event(0);
	assert_int_equal(r.device, 2);
	assert_int_equal(r.pin, 1);
	assert_int_equal(r.level, 1);
	r.info[0] = 0;
	outb(0x20, 0x20); /* any access to a controller */
	assert_int_equal(r.level, 0);
	assert_int_equal(r.calls, 2);
	callback(via_intx(31, 4));
	event(0);
	assert_int_equal(r.device, 31);
	assert_int_equal(r.pin, 4);
}

static void moved_while_asserted(void **state)
{
	(void)state;
	by_ioapic();
	entry(10, LEVEL | 0x61);
	callback(10);
	event(0);
	assert_int_equal(accept(0), 0x61);
	callback(LINE);
	wr(APIC(EOI), 0);
	assert_int_equal(accept(0), APIC_VECTOR);
	callback(via_intx(5, 2));
	assert_int_equal(r.level, 1);
	callback(0);
	assert_int_equal(r.level, 0);
	wr(APIC(EOI), 0);
	assert_int_equal(accept(0), -1);
}

static void other_vcpus_have_no_line(void **state)
{
	(void)state;
	by_ioapic();
	callback(LINE);
	event(1);
	assert_false(pending(0));
	assert_false(pending(1));
}

static void any_param(void **state)
{
	static const uint64_t odd[] = { 0, 2, 23, 24, 255, 256, 3ull << 56 | 11, 255ull << 56 | 11, UINT64_MAX,
		                        1ull << 56 | UINT32_MAX, 2ull << 56 | 0xf3 };

	(void)state;
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		callback(odd[i]);
		event(0);
		r.info[0] = 0;
		outb(0x20, 0x0b);
		assert_false(pending(0));
	}
}

static void reset_lets_go(void **state)
{
	(void)state;
	by_ioapic();
	callback(LINE);
	event(0);
	callback(via_intx(2, 1));
	assert_int_equal(r.level, 1);
	xen_intr_pause(&r.x);
	xen_intr_reset(&r.x);
	xen_intr_resume(&r.x);
	assert_int_equal(r.level, 0);
	wr(APIC(SVR), 0x1ff);
	by_ioapic();
	event(0);
	assert_int_equal(accept(0), -1);
}

static int64_t call(uint32_t nr, uint64_t a, uint64_t b, uint64_t c)
{
	struct gamut_hypercall hc = { .nr = nr, .long_mode = 1, .args = { a, b, c } };

	return xen_intr_ops.hypercall(&r.x, &hc);
}

static void not_offered(void **state)
{
	(void)state;
	assert_int_equal(xen_intr_ops.can(&r.x), 0);
	callback(2ull << 56 | 0xf3);
	event(0);
	assert_false(pending(0));
	assert_int_equal(xen_intr_ops.upcall_vector_set(&r.x, 0, 0xf3), -ENOSYS);
	assert_null(r.f->hypercalls[__HYPERVISOR_set_timer_op].fn);
	assert_int_equal(call(__HYPERVISOR_set_timer_op, 1, 0, 0), -ENOSYS);
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0, ARG), -ENOSYS);
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_set_periodic_timer, 0, ARG), -ENOSYS);
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_time_memory_area, 0, ARG), -ENOSYS);
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_is_up, 0, 0), 1);
	assert_int_equal(call(__HYPERVISOR_vcpu_op, UINT32_MAX, 0, 0), -ENOSYS);
	for (size_t i = 0; i < sizeof(struct vcpu_time_info); i++)
		assert_int_equal(r.info[offsetof(struct vcpu_info, time) + i], 0);
	assert_int_equal(host_fake_counter(r.f, "callback vector"), 0);
}

/* With everything: a vector goes before the controllers, and beside it they work. */
static void vectors_beside_controllers(void **state)
{
	(void)state;
	by_ioapic();
	callback(2ull << 56 | 0xf3);
	pc_irq_lines.set(&r.x, LINE, 1);
	event(0);
	assert_int_equal(accept(0), 0xf3);
	r.info[0] = 0;
	assert_int_equal(accept(0), APIC_VECTOR);
	assert_int_equal(xen_intr_ops.upcall_vector_set(&r.x, 0, 0x91), 0);
	callback(LINE); /* as Linux does beside its own vectors: no line */
	assert_int_equal(accept(0), 0x91);
	wr(APIC(EOI), 0);
	pc_irq_lines.set(&r.x, LINE, 0);
	wr(APIC(EOI), 0);
	event(0);
	assert_int_equal(accept(0), 0x91);
	wr(APIC(EOI), 0);
	assert_int_equal(accept(0), -1);
	assert_int_equal(host_fake_counter(r.f, "upcalls by line"), 0);
	assert_int_equal(host_fake_counter(r.f, "callback vector"), 2);
}

/* ---- whatever the order ---- */

static uint32_t seed;

static uint32_t random_below(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

static void any_action(void)
{
	switch (random_below(10)) {
	case 0:
	case 1:
		event(0);
		break;
	case 2:
		r.info[0] = 0;
		break;
	case 3:
		accept(0);
		break;
	case 4:
		wr(APIC(EOI), 0);
		break;
	case 5:
		entry(LINE, LEVEL | APIC_VECTOR | random_below(2) << 16);
		break;
	case 6:
		pc_irq_lines.set(&r.x, LINE, random_below(2));
		break;
	case 7:
		callback(random_below(2) ? LINE : 10);
		break;
	case 8:
		upcall_spurious(&r.x.upcall, 0);
		break;
	default:
		outb(0x20, (uint8_t)random_below(256));
	}
}

/* Everything is ended and let through: now there is an interrupt exactly if there is a reason. */
static void settled(void)
{
	bool device = random_below(2), events = r.info[0];

	callback(LINE);
	pc_irq_lines.set(&r.x, LINE, device);
	entry(LINE, LEVEL | APIC_VECTOR);
	for (int i = 0; i < 4; i++)
		wr(APIC(EOI), 0);
	if (accept(0) == APIC_VECTOR) /* one may have been on its way when its reason ended */
		wr(APIC(EOI), 0);
	assert_int_equal(accept(0), device || events ? (int)APIC_VECTOR : -1);
	r.info[0] = 0;
	pc_irq_lines.set(&r.x, LINE, 0);
	wr(APIC(EOI), 0);
	assert_int_equal(accept(0), -1);
}

static void any_order(void **state)
{
	(void)state;
	by_ioapic();
	for (seed = 1; seed < 3000; seed++) {
		uint32_t first = seed;

		for (uint32_t i = 0; i < 30; i++)
			any_action();
		settled();
		seed = first;
	}
}

/* ---- from another thread ---- */

#define EVENTS 4000u

static uint32_t handled;

static void *notifier(void *opaque)
{
	(void)opaque;
	for (uint32_t i = 0; i < EVENTS; i++) {
		event(0);
		for (uint64_t spins = 0; __atomic_load_n(&handled, __ATOMIC_SEQ_CST) <= i; spins++) {
			if (spins > 1u << 16)
				sched_yield();
			if (spins > 1u << 22)
				return (void *)1; /* lost */
		}
	}
	return NULL;
}

/* The guest's handler takes what there is, and the next event may come at any of its steps. */
static void no_event_is_lost(void **state)
{
	pthread_t thread;
	void *lost;

	(void)state;
	by_ioapic();
	callback(LINE);
	handled = 0;
	assert_int_equal(pthread_create(&thread, NULL, notifier, NULL), 0);
	for (uint64_t idle = 0; handled < EVENTS && idle < 1u << 26;) {
		if (accept(0) != APIC_VECTOR) {
			idle++;
			continue;
		}
		idle = 0;
		if (__atomic_exchange_n(r.info, 0, __ATOMIC_SEQ_CST))
			__atomic_fetch_add(&handled, 1, __ATOMIC_SEQ_CST);
		wr(APIC(EOI), 0);
	}
	assert_int_equal(pthread_join(thread, &lost), 0);
	assert_null(lost);
	assert_int_equal(handled, EVENTS);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(by_the_8259s), T(masked_meanwhile), T(polled), T(by_the_ioapic), T(by_eoi_register), T(edges),
		T(shared_with_a_device), T(by_intx), T(moved_while_asserted), T(other_vcpus_have_no_line), T(any_param),
		T(reset_lets_go), T(not_offered), T(any_order), T(no_event_is_lost),
		cmocka_unit_test_setup_teardown(vectors_beside_controllers, setup_all, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
