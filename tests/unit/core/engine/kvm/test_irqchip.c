/* SPDX-License-Identifier: MIT */
/* Interrupt controllers in the kernel. */
#include "fake/kvm-rig.h"

#define MSI_BASE 0xfee00000ull /* to APIC 0, fixed */

/* Turns its APIC on, says so and waits: mov $0x1ff, 0xf0(%rbx); out %al, $0x11; sti; 1: hlt; jmp 1b */
static void wait_for_interrupts(struct rig *r)
{
	rig_long(r, RIG_BYTES(0xc7, 0x83, 0xf0, 0, 0, 0, 0xff, 0x01, 0, 0, 0xe6, 0x11, 0xfb, 0xf4, 0xeb, 0xfd));
	r->state.gpr[RBX] = MSI_BASE;
	rig_set(r);
	rig_wants_out(r, 0x11, 1, 0);
}

#define IRQCHIP(r, how)                                                             \
	do {                                                                        \
		int rc_ = engine_kvm.irqchip_create((r)->vm, how);                  \
		if (rc_ == -ENOTSUP)                                                \
			skip();                                                     \
		assert_int_equal(rc_, 0);                                           \
	} while (0)

struct message {
	struct rig *r;
	uint8_t vector;
};

static void *send_soon(void *opaque)
{
	const struct timespec wait = { .tv_nsec = 50000000 };
	struct message *m = opaque;

	nanosleep(&wait, NULL);
	assert_int_equal(engine_kvm.irqchip_msi(m->r->vm, MSI_BASE, m->vector), 0);
	return NULL;
}

/* The vCPU halts in the kernel, and is woken there. */
static void a_message_wakes_and_interrupts(void **state)
{
	struct message m = { .vector = 0x61 };
	struct engine_irqchip whole = { .split = false };
	pthread_t thread;

	RIG(r);
	m.r = r;
	IRQCHIP(r, &whole);
	wait_for_interrupts(r);
	assert_int_equal(pthread_create(&thread, NULL, send_soon, &m), 0);
	rig_wants_vector(r, 0x61);
	pthread_join(thread, NULL);
}

static void a_halt_in_the_kernel_can_be_left(void **state)
{
	struct engine_irqchip whole = { .split = false };

	RIG(r);
	IRQCHIP(r, &whole);
	wait_for_interrupts(r);
	atomic_store(&r->attention, ATTN_STOP);
	rig_wants(r, EXIT_INTR);
}

static void pins_are_the_whole_irqchips(void **state)
{
	struct engine_irqchip whole = { .split = false }, split = { .split = true };

	RIG(r);
	assert_int_equal(engine_kvm.irqchip_line(r->vm, 4, true), -ENOTSUP);
	assert_int_equal(engine_kvm.irqchip_msi(r->vm, MSI_BASE, 0x61), -ENOTSUP);
	assert_int_equal(engine_kvm.irqchip_route(r->vm, NULL, 0), -ENOTSUP);
	IRQCHIP(r, &whole);
	assert_int_equal(engine_kvm.irqchip_line(r->vm, 4, true), 0);
	assert_int_equal(engine_kvm.irqchip_line(r->vm, 4, false), 0);
	assert_int_equal(engine_kvm.irqchip_route(r->vm, NULL, 0), -ENOTSUP);
	assert_int_equal(engine_kvm.irqchip_create(r->vm, &split), -EBUSY);
}

/* Memory, CPUID and reset are as before in the VM that was made anew. */
static void the_vm_is_whole_after_it(void **state)
{
	struct engine_irqchip whole = { .split = false };
	struct gamut_page *page;
	uint32_t *host;

	RIG(r);
	page = mem_page_alloc(&r->mem, 1, (void **)&host);
	*host = 0x77;
	assert_int_equal(mem_page_map(&r->mem, page, 0, RIG_HOLE), 0);
	engine_kvm.vcpu_reset(r->v);
	IRQCHIP(r, &whole);
	rig_long(r, RIG_BYTES(0x8b, 0x03, 0xe7, 0x10)); /* mov (%rbx), %eax; out %eax, $0x10 */
	r->state.gpr[RBX] = RIG_HOLE;
	rig_set(r);
	rig_wants_out(r, 0x10, 4, 0x77);
	mem_page_free(&r->mem, page);
}

static void too_late_with_state_of_ones_own(void **state)
{
	struct engine_irqchip whole = { .split = false };

	RIG(r);
	rig_real(r, RIG_BYTES(0xf4));
	if (!r->vm->features.irqchip)
		skip();
	assert_int_equal(engine_kvm.irqchip_create(r->vm, &whole), -EBUSY);
	rig_wants(r, EXIT_HLT);
}

/* ---- split --------------------------------------------------------------------------- */

static void note_eoi(void *opaque, uint32_t vector)
{
	*(uint32_t *)opaque = vector;
}

/* The handler of vector 0x61 signals the end: movl $0, 0xb0(%rbx); out; out; iretq */
static void ends_of_interrupt_are_told(void **state)
{
	static const uint8_t handler[] = { 0xc7, 0x83, 0xb0, 0, 0, 0, 0, 0, 0, 0, 0xe6, 0x10, 0xe6, 0x10, 0x48, 0xcf };
	uint32_t eoi = 0;
	struct engine_irqchip split = { .split = true, .eoi = note_eoi, .opaque = &eoi };
	/* Level-triggered, as an I/O APIC's pin can be. */
	struct engine_msi pins[2] = { { 0 }, { .set = true, .address = MSI_BASE, .data = 0xc061 } };

	RIG(r);
	IRQCHIP(r, &split);
	assert_int_equal(engine_kvm.irqchip_line(r->vm, 4, true), -ENOTSUP);
	wait_for_interrupts(r);
	memcpy(rig_at(r, RIG_HANDLERS64 + 0x61 * 16), handler, sizeof(handler));
	assert_int_equal(engine_kvm.irqchip_route(r->vm, pins, 2), 0);
	assert_int_equal(engine_kvm.irqchip_msi(r->vm, MSI_BASE, 0xc061), 0);
	rig_wants_out(r, 0x10, 1, 0);
	rig_wants_out(r, 0x10, 1, 0); /* by the next entry at the latest */
	assert_int_equal(eoi, 0x61);
}

/* The 8259s stay outside: their interrupts come as without an irqchip. */
static void external_interrupts_come_from_outside(void **state)
{
	struct engine_irqchip split = { .split = true };

	RIG(r);
	IRQCHIP(r, &split);
	/* LINT0 as ExtINT: mov $0x700, 0x350(%rbx); then as above */
	rig_long(r, RIG_BYTES(0xc7, 0x83, 0xf0, 0, 0, 0, 0xff, 0x01, 0, 0, 0xc7, 0x83, 0x50, 0x03, 0, 0, 0, 0x07, 0, 0,
	                      0xe6, 0x10, 0xfb, 0x90, 0xeb, 0xfd));
	r->state.gpr[RBX] = MSI_BASE;
	rig_set(r);
	rig_wants_out(r, 0x10, 1, 0);
	r->vectors[0] = 0x20;
	atomic_fetch_or(&r->attention, ATTN_IRQ);
	rig_wants_vector(r, 0x20);
	assert_int_equal(r->accepted, 1);
}

/* A pin that was high, a level in service, an APIC that was on: of the life before. */
static void a_reset_is_of_all_chips(void **state)
{
	struct engine_irqchip whole = { .split = false };
	struct kvm_irqchip before = { .chip_id = KVM_IRQCHIP_PIC_MASTER }, after = before;
	struct kvm_lapic_state apic;

	RIG(r);
	IRQCHIP(r, &whole);
	assert_int_equal(kvm_ioctl(r->vm->fd, KVM_GET_IRQCHIP, &before), 0);
	wait_for_interrupts(r);
	assert_int_equal(engine_kvm.irqchip_line(r->vm, 4, true), 0);
	assert_int_equal(kvm_ioctl(r->vm->fd, KVM_GET_IRQCHIP, &after), 0);
	assert_memory_not_equal(&before, &after, sizeof(before));
	assert_int_equal(kvm_ioctl(r->v->fd, KVM_GET_LAPIC, &apic), 0);
	assert_int_equal(apic.regs[0xf1] & 1, 1);
	engine_kvm.vcpu_reset(r->v);
	assert_int_equal(kvm_ioctl(r->vm->fd, KVM_GET_IRQCHIP, &after), 0);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_int_equal(kvm_ioctl(r->v->fd, KVM_GET_LAPIC, &apic), 0);
	assert_int_equal(apic.regs[0xf1] & 1, 0);
}

/* ---- several vCPUs -------------------------------------------------------------------- */

static int setup_two(void **state)
{
	return rig_setup_cpus(state, 2);
}

struct second {
	struct engine_vcpu *v;
	struct vcpu_exit exit;
	_Atomic uint32_t attention;
};

static void *run_second(void *opaque)
{
	struct second *s = opaque;

	s->exit.reason = EXIT_INTR;
	engine_kvm.vcpu_run(s->v, &s->exit);
	return NULL;
}

static void make_second(struct rig *r, struct second *s)
{
	const struct engine_vcpu_env env = { .opaque = r, .attention = &s->attention, .irq_accept = rig_accept,
		                             .irq_pending = rig_pending };
	char err[200];

	*s = (struct second){ .v = NULL };
	assert_int_equal(engine_kvm.vcpu_create(r->vm, 1, &env, &s->v, err, sizeof(err)), 0);
}

/* INIT and start-up messages are between the kernel's APICs: the second waits in there until it gets its vector. */
static void a_second_one_is_started(void **state)
{
	struct engine_irqchip whole = { .split = false };
	struct second second;
	pthread_t thread;
	int rc;

	RIG(r);
	make_second(r, &second);
	rc = engine_kvm.irqchip_create(r->vm, &whole);
	assert_true(rc == 0 || rc == -ENOTSUP);
	/* To all but itself: movl $0xc4500, 0x300(%rbx); movl $0xc4603, 0x300(%rbx); out %al, $0x11; hlt */
	rig_long(r, RIG_BYTES(0xc7, 0x83, 0xf0, 0, 0, 0, 0xff, 0x01, 0, 0, 0xc7, 0x83, 0, 0x03, 0, 0, 0, 0x45, 0x0c, 0,
	                      0xc7, 0x83, 0, 0x03, 0, 0, 0x03, 0x46, 0x0c, 0, 0xe6, 0x11, 0xf4));
	r->state.gpr[RBX] = MSI_BASE;
	rig_set(r);
	memcpy(rig_at(r, 0x3000), "\xb0\x77\xe6\x22\xf4", 5); /* mov $0x77, %al; out %al, $0x22; hlt */
	if (!rc) {
		assert_int_equal(pthread_create(&thread, NULL, run_second, &second), 0);
		rig_wants_out(r, 0x11, 1, 0);
		pthread_join(thread, NULL);
		assert_int_equal(second.exit.reason, EXIT_PIO);
		assert_int_equal(second.exit.pio.port, 0x22);
		assert_int_equal(second.exit.pio.data, 0x77);
	}
	engine_kvm.vcpu_destroy(second.v);
	if (rc)
		skip();
}

static void *stop_second(void *opaque)
{
	const struct timespec wait = { .tv_nsec = 50000000 };
	struct second *s = opaque;

	nanosleep(&wait, NULL);
	atomic_fetch_or(&s->attention, ATTN_STOP);
	engine_kvm.vcpu_kick(s->v);
	return NULL;
}

/* One that nobody has started can be got out for a pause or the end; and a reset has it wait again. */
static void one_that_waits_can_be_stopped(void **state)
{
	struct engine_irqchip whole = { .split = false };
	struct second second;
	pthread_t thread;
	int rc;

	RIG(r);
	make_second(r, &second);
	rc = engine_kvm.irqchip_create(r->vm, &whole);
	assert_true(rc == 0 || rc == -ENOTSUP);
	for (unsigned life = 0; life < 2 && !rc; life++) {
		atomic_store(&second.attention, 0);
		assert_int_equal(pthread_create(&thread, NULL, stop_second, &second), 0);
		run_second(&second);
		pthread_join(thread, NULL);
		assert_int_equal(second.exit.reason, EXIT_INTR);
		engine_kvm.vcpu_reset(second.v);
	}
	engine_kvm.vcpu_destroy(second.v);
	if (rc)
		skip();
}

static uint32_t lapic_id(struct engine_vcpu *v)
{
	struct kvm_lapic_state apic;
	uint32_t id;

	assert_int_equal(kvm_ioctl(v->fd, KVM_GET_LAPIC, &apic), 0);
	memcpy(&id, apic.regs + 0x20, sizeof(id));
	return id;
}

static void offer_x2apic(struct rig *r, struct engine_vcpu *v)
{
	struct cpuid_entry *list;
	uint32_t n;

	assert_int_equal(engine_kvm.cpuid_supported(r->vm, &list, &n), 0);
	for (uint32_t i = 0; i < n; i++)
		if (list[i].leaf == 1)
			list[i].regs[2] |= 1u << 21;
	assert_int_equal(engine_kvm.cpuid_set(v, list, n), 0);
	free(list);
}

/* A way that software has not got. */
static void a_reset_leaves_x2apic_mode(void **state)
{
	struct engine_irqchip whole = { .split = false };
	struct second second;
	uint64_t base = 0;
	int rc;

	RIG(r);
	make_second(r, &second);
	rc = engine_kvm.irqchip_create(r->vm, &whole);
	if (!rc) {
		offer_x2apic(r, second.v);
		assert_int_equal(kvm_msr_set(second.v, 0x1b, MSI_BASE | 0xc00), 0);
		engine_kvm.vcpu_reset(second.v);
		assert_int_equal(kvm_msr_get(second.v, 0x1b, &base), 0);
		assert_int_equal(base, MSI_BASE | 0x800);
		assert_int_equal(lapic_id(second.v), 1u << 24);
	}
	engine_kvm.vcpu_destroy(second.v);
	if (rc)
		skip();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(a_message_wakes_and_interrupts),
		RIG_TEST(a_halt_in_the_kernel_can_be_left),
		RIG_TEST(pins_are_the_whole_irqchips),
		RIG_TEST(the_vm_is_whole_after_it),
		RIG_TEST(too_late_with_state_of_ones_own),
		RIG_TEST(ends_of_interrupt_are_told),
		RIG_TEST(external_interrupts_come_from_outside),
		RIG_TEST(a_reset_is_of_all_chips),
		cmocka_unit_test_setup_teardown(a_second_one_is_started, setup_two, rig_teardown),
		cmocka_unit_test_setup_teardown(one_that_waits_can_be_stopped, setup_two, rig_teardown),
		cmocka_unit_test_setup_teardown(a_reset_leaves_x2apic_mode, setup_two, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
