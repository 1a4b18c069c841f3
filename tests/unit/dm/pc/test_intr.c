/* SPDX-License-Identifier: MIT */
/*
 * A PC's interrupts as its software and its devices see them: the same cases
 * for our own controllers and for those of the host's kernel, on whose other
 * side a guest executes the accesses.
 */
#include "fake/kvm-rig.h"

#include "dm/pc/intr.h"
#include "engine/kvm/probe.h"
#include "fake/host-fake.h"

#define PIC_VECTOR 0x30u
#define MS 1000000ull

enum { ID = 0x20, TPR = 0x80, EOI = 0xb0, SVR = 0xf0, TMR = 0x180, LINT0 = 0x350 };

#define LEVEL 0x8000u
#define MASKED 0x10000u
#define REMOTE_IRR 0x4000u

struct machine {
	struct host_fake *f;
	struct pc_intr x;
	struct rig *kvm; /* NULL: own controllers */
};

static const struct gamut_irq_lines_ops *lines = &pc_irq_lines;

/* ---- the guest, when the kernel has the controllers --------------------------------------- */

static int kvm_line(struct gamut_inst *inst, uint32_t gsi, uint32_t level);
static int kvm_msi(struct gamut_inst *inst, uint64_t address, uint32_t data);
static struct rig *kvm_rig; /* of the machine that is there: the host's services have no other way to it */

static int kvm_line(struct gamut_inst *inst, uint32_t gsi, uint32_t level)
{
	(void)inst;
	return engine_kvm.irqchip_line(kvm_rig->vm, gsi, level != 0);
}

static int kvm_msi(struct gamut_inst *inst, uint64_t address, uint32_t data)
{
	(void)inst;
	return engine_kvm.irqchip_msi(kvm_rig->vm, address, data);
}

/* Completes the instruction of the last exit, so that the next begins afresh. */
static void finish(struct rig *r)
{
	atomic_store(&r->attention, ATTN_STOP);
	rig_wants(r, EXIT_INTR);
	atomic_store(&r->attention, 0);
}

/* Runs an instruction, and then the one that says it is done: out %eax, $0x10. The address goes to both. */
static uint32_t execute(struct rig *r, const uint8_t *code, size_t n, uint64_t at, uint32_t value)
{
	uint8_t text[32] = { 0 };

	memcpy(text, code, n);
	memcpy(text + n, "\xe7\x10", 2);
	rig_fetch(r);
	rig_code(r, text, n + 2);
	r->state.rip = RIG_CODE;
	r->state.rflags = 2;
	r->state.gpr[RAX] = value;
	r->state.gpr[RDX] = r->state.gpr[RBX] = at;
	rig_set(r);
	rig_wants(r, EXIT_PIO);
	assert_int_equal(r->exit.pio.port, 0x10);
	value = r->exit.pio.data;
	finish(r);
	return value;
}

/*
 * sti; nop; out %eax, $0x11; nop; cli; out %eax, $0x10. The handler of a vector
 * says which it was; a KVM in software looks for interrupts at entries alone.
 */
static int take_in_guest(struct rig *r)
{
	int vector = -1;

	rig_fetch(r);
	rig_code(r, RIG_BYTES(0xfb, 0x90, 0xe7, 0x11, 0x90, 0xfa, 0xe7, 0x10));
	r->state.rip = RIG_CODE;
	r->state.rflags = 2;
	rig_set(r);
	rig_wants(r, EXIT_PIO);
	if (r->exit.pio.port == 0x11)
		rig_wants(r, EXIT_PIO);
	if (r->exit.pio.port == RIG_TRAP_PORT)
		vector = (int)(r->exit.pio.data & 0xff);
	finish(r);
	return vector;
}

static int setup_kvm(void **state)
{
	static const struct engine_irqchip whole = { .split = false };
	struct machine *m;
	struct rig *r;
	void *rig;

	rig_setup(&rig);
	r = rig;
	*state = NULL;
	if (!r)
		return 0;
	if (engine_kvm.irqchip_create(r->vm, &whole)) {
		print_message("skipped: /dev/kvm has no interrupt controllers\n");
		rig_teardown(&rig);
		return 0;
	}
	rig_long(r, RIG_BYTES(0x90));
	m = test_calloc(1, sizeof(*m));
	m->kvm = kvm_rig = r;
	m->f = host_fake_create(1 << 20, 1);
	m->f->table.irqchip_line = kvm_line;
	m->f->table.irqchip_msi = kvm_msi;
	assert_int_equal(pc_intr_init(&m->x, m->f->host, m->f->inst, PC_INTR_KERNEL), 0);
	assert_int_equal(pc_intr_register(&m->x), 0);
	*state = m;
	return 0;
}

static int setup(void **state)
{
	struct machine *m = test_calloc(1, sizeof(*m));

	m->f = host_fake_create(1 << 20, 2);
	assert_int_equal(pc_intr_init(&m->x, m->f->host, m->f->inst, PC_INTR_OWN), 0);
	assert_int_equal(pc_intr_register(&m->x), 0);
	*state = m;
	return 0;
}

static int teardown(void **state)
{
	struct machine *m = *state;
	void *rig;

	if (!m)
		return 0;
	pc_intr_finish(&m->x);
	assert_int_equal(host_fake_destroy(m->f), 0);
	rig = m->kvm;
	if (rig)
		rig_teardown(&rig);
	test_free(m);
	return 0;
}

#define MACHINE(m)                      \
	struct machine *m = *state;     \
	if (!(m))                       \
	skip()

/* ---- software's side ---------------------------------------------------------------------- */

/* The 8254 is never the kernel's. */
static bool in_kernel(const struct machine *m, uint64_t at)
{
	return m->kvm && at - I8254_PORT >= 4;
}

static uint8_t inb(struct machine *m, uint16_t port)
{
	if (in_kernel(m, port))
		return (uint8_t)execute(m->kvm, RIG_BYTES(0xec), port, 0);
	return (uint8_t)host_fake_in(m->f, GAMUT_SPACE_PIO, port, 1);
}

static void outb(struct machine *m, uint16_t port, uint8_t value)
{
	if (in_kernel(m, port))
		execute(m->kvm, RIG_BYTES(0xee), port, value);
	else
		host_fake_out(m->f, GAMUT_SPACE_PIO, port, 1, value);
}

static uint32_t rd(struct machine *m, uint64_t at)
{
	if (m->kvm)
		return execute(m->kvm, RIG_BYTES(0x8b, 0x03), at, 0); /* mov (%rbx), %eax */
	return (uint32_t)host_fake_in(m->f, GAMUT_SPACE_MMIO, at, 4);
}

static void wr(struct machine *m, uint64_t at, uint32_t value)
{
	if (m->kvm)
		execute(m->kvm, RIG_BYTES(0x89, 0x03), at, value); /* mov %eax, (%rbx) */
	else
		host_fake_out(m->f, GAMUT_SPACE_MMIO, at, 4, value);
}

/* The interrupt that vCPU 0 gets now, -1 for none. */
static int take(struct machine *m)
{
	int pending, vector;

	if (m->kvm)
		return take_in_guest(m->kvm);
	pending = m->f->irq->pending(m->f->irq_opaque, 0);
	vector = m->f->irq->accept(m->f->irq_opaque, 0);
	assert_int_equal(pending, vector >= 0);
	return vector;
}

static void set_line(struct machine *m, uint32_t line, uint32_t level)
{
	lines->set(&m->x, line, level);
}

static uint32_t lapic(struct machine *m, uint32_t reg)
{
	return rd(m, LAPIC_BASE + reg);
}

static void set_lapic(struct machine *m, uint32_t reg, uint32_t value)
{
	wr(m, LAPIC_BASE + reg, value);
}

static uint32_t ioapic(struct machine *m, uint32_t reg)
{
	wr(m, IOAPIC_BASE, reg);
	return rd(m, IOAPIC_BASE + 0x10);
}

static void set_ioapic(struct machine *m, uint32_t reg, uint32_t value)
{
	wr(m, IOAPIC_BASE, reg);
	wr(m, IOAPIC_BASE + 0x10, value);
}

static void entry(struct machine *m, uint32_t pin, uint32_t low)
{
	set_ioapic(m, 0x11 + 2 * pin, 0);
	set_ioapic(m, 0x10 + 2 * pin, low);
}

static void init_pic(struct machine *m, uint16_t mask)
{
	for (unsigned chip = 0; chip < 2; chip++) {
		const uint16_t port = chip ? 0xa0 : 0x20;

		outb(m, port, 0x11);
		outb(m, port + 1, (uint8_t)(PIC_VECTOR + chip * 8));
		outb(m, port + 1, chip ? 2 : 4);
		outb(m, port + 1, 1);
		outb(m, port + 1, (uint8_t)(mask >> chip * 8));
	}
}

static void virtual_wire(struct machine *m, uint16_t mask)
{
	init_pic(m, mask);
	set_lapic(m, SVR, 0x1ff);
	set_lapic(m, LINT0, 0x700);
}

static void start_pit(struct machine *m)
{
	outb(m, 0x43, 0x34);
	outb(m, 0x40, 1193 & 0xff);
	outb(m, 0x40, 1193 >> 8);
}

/* ---- cases ---------------------------------------------------------------------------------- */

static void by_virtual_wire(void **state)
{
	MACHINE(m);
	virtual_wire(m, 0xefeb);
	assert_int_equal(inb(m, 0x21), 0xeb);
	assert_int_equal(take(m), -1);
	set_line(m, 4, 1);
	set_line(m, 4, 1);
	assert_int_equal(inb(m, 0x20), 0x10);
	assert_int_equal(take(m), PIC_VECTOR + 4);
	outb(m, 0x20, 0x0b);
	assert_int_equal(inb(m, 0x20), 0x10);
	set_line(m, 4, 0);
	set_line(m, 4, 1);
	assert_int_equal(take(m), -1); /* in service */
	outb(m, 0x20, 0x20);
	assert_int_equal(take(m), PIC_VECTOR + 4);
	outb(m, 0x20, 0x20);
	/* The slave's. */
	set_line(m, 12, 1);
	assert_int_equal(take(m), PIC_VECTOR + 12);
	outb(m, 0xa0, 0x20);
	outb(m, 0x20, 0x20);
	/* Masked here, there, and at LINT0. */
	set_line(m, 3, 1);
	set_line(m, 11, 1);
	assert_int_equal(take(m), -1);
	outb(m, 0x21, 0);
	assert_int_equal(take(m), PIC_VECTOR + 3);
	outb(m, 0x20, 0x20);
	set_lapic(m, LINT0, 0x700 | MASKED);
	outb(m, 0xa1, 0);
	assert_int_equal(take(m), -1);
	set_lapic(m, LINT0, 0x700);
	assert_int_equal(take(m), PIC_VECTOR + 11);
}

static void levels_by_virtual_wire(void **state)
{
	MACHINE(m);
	virtual_wire(m, 0);
	outb(m, 0x4d0, 0xff);
	outb(m, 0x4d1, 0xff);
	assert_int_equal(inb(m, 0x4d0), 0xf8);
	assert_int_equal(inb(m, 0x4d1), 0xde);
	set_line(m, 10, 1);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(take(m), PIC_VECTOR + 10);
		assert_int_equal(take(m), -1);
		if (i == 2)
			set_line(m, 10, 0);
		outb(m, 0xa0, 0x20);
		outb(m, 0x20, 0x20);
	}
	assert_int_equal(take(m), -1);
}

static void nobody_has_the_cascade(void **state)
{
	MACHINE(m);
	virtual_wire(m, 0);
	set_line(m, 2, 1);
	set_line(m, 0, 1); /* the 8254's */
	set_line(m, 24, 1);
	set_line(m, UINT32_MAX, 1);
	assert_int_equal(take(m), -1);
}

static void ticks_both_ways(void **state)
{
	MACHINE(m);
	virtual_wire(m, 0xfffe);
	start_pit(m);
	take(m);
	outb(m, 0x20, 0x20);
	host_fake_advance(m->f, MS / 10);
	for (int i = 0; i < 3; i++) {
		host_fake_advance(m->f, MS);
		assert_int_equal(take(m), PIC_VECTOR);
		outb(m, 0x20, 0x20);
	}
	outb(m, 0x21, 0xff);
	entry(m, 2, 0x51);
	for (int i = 0; i < 3; i++) {
		host_fake_advance(m->f, MS);
		assert_int_equal(take(m), 0x51);
		set_lapic(m, EOI, 0);
	}
	assert_int_equal(take(m), -1);
}

static void registers_of_the_ioapic(void **state)
{
	MACHINE(m);
	init_pic(m, 0xffff);
	assert_int_equal(ioapic(m, 1) >> 16 & 0xff, 23);
	set_ioapic(m, 0, 0xffffffff);
	assert_int_equal(ioapic(m, 0), 0x0f000000);
	assert_int_equal(ioapic(m, 2), 0x0f000000);
	for (uint32_t pin = 0; pin < 24; pin++)
		assert_int_equal(ioapic(m, 0x10 + 2 * pin), MASKED);
}

static void edges_by_ioapic(void **state)
{
	MACHINE(m);
	init_pic(m, 0xffff);
	set_lapic(m, SVR, 0x1ff);
	entry(m, 14, 0x76);
	entry(m, 15, 0x66);
	entry(m, 20, 0x86);
	set_line(m, 15, 1);
	set_line(m, 14, 1);
	set_line(m, 20, 1);
	assert_int_equal(take(m), 0x86);
	set_lapic(m, EOI, 0);
	assert_int_equal(take(m), 0x76);
	assert_int_equal(lapic(m, TMR + 0x30), 0);
	set_lapic(m, EOI, 0);
	assert_int_equal(take(m), 0x66);
	set_lapic(m, EOI, 0);
	assert_int_equal(take(m), -1);
	/* Lost while it is masked. */
	entry(m, 14, 0x76 | MASKED);
	set_line(m, 14, 0);
	set_line(m, 14, 1);
	set_line(m, 14, 0);
	entry(m, 14, 0x76);
	assert_int_equal(take(m), -1);
	set_line(m, 14, 1);
	assert_int_equal(take(m), 0x76);
}

/* A KVM in software was seen to deliver a level once more after its end. */
static bool software_kvm(const struct machine *m)
{
	struct kvm_probe probe;

	if (!m->kvm || kvm_probe_kind(&probe) == KVM_HARDWARE)
		return false;
	print_message("skipped: %s\n", probe.why);
	return true;
}

static void levels_by_ioapic(void **state)
{
	MACHINE(m);
	if (software_kvm(m))
		skip();
	init_pic(m, 0xffff);
	set_lapic(m, SVR, 0x1ff);
	entry(m, 18, 0x77 | LEVEL);
	set_line(m, 18, 1);
	assert_int_equal(ioapic(m, 0x10 + 2 * 18) & REMOTE_IRR, REMOTE_IRR);
	assert_int_equal(take(m), 0x77);
	assert_int_equal(lapic(m, TMR + 0x30), 1u << 0x17);
	assert_int_equal(take(m), -1);
	set_lapic(m, EOI, 0); /* still high */
	assert_int_equal(take(m), 0x77);
	set_line(m, 18, 0);
	set_lapic(m, EOI, 0);
	assert_int_equal(take(m), -1);
	assert_int_equal(ioapic(m, 0x10 + 2 * 18) & REMOTE_IRR, 0);
	/* Masked, and unmasked while it is high. */
	entry(m, 18, 0x77 | LEVEL | MASKED);
	set_line(m, 18, 1);
	assert_int_equal(take(m), -1);
	entry(m, 18, 0x77 | LEVEL);
	assert_int_equal(take(m), 0x77);
}

static void messages(void **state)
{
	MACHINE(m);
	init_pic(m, 0xffff);
	set_lapic(m, SVR, 0x1ff);
	lines->message(&m->x, LAPIC_BASE, 0x61);
	assert_int_equal(take(m), 0x61);
	set_lapic(m, EOI, 0);
	set_lapic(m, TPR, 0x70);
	lines->message(&m->x, LAPIC_BASE, 0x62);
	assert_int_equal(take(m), -1);
	set_lapic(m, TPR, 0);
	assert_int_equal(take(m), 0x62);
	lines->message(&m->x, LAPIC_BASE | 5 << 12, 0x63); /* nobody's id */
	assert_int_equal(take(m), -1);
}

static void the_speakers_counter(void **state)
{
	MACHINE(m);
	lines->speaker_gate(&m->x, 1);
	outb(m, 0x43, 0xb0);
	outb(m, 0x42, 100);
	outb(m, 0x42, 0);
	assert_int_equal(lines->speaker_output(&m->x), 0);
	host_fake_advance(m->f, 100000);
	assert_int_equal(lines->speaker_output(&m->x), 1);
	assert_in_range(lines->refresh(&m->x), 0, 1);
	assert_int_equal(lines->apic_id(&m->x, 3), 3);
}

/* ---- of our own alone ------------------------------------------------------------------------ */

static void reset_is_power_on(void **state)
{
	MACHINE(m);
	virtual_wire(m, 0);
	entry(m, 18, 0x77 | LEVEL);
	start_pit(m);
	set_line(m, 18, 1);
	pc_intr_reset(&m->x);
	assert_int_equal(take(m), -1);
	assert_int_equal(inb(m, 0x21), 0xff);
	assert_int_equal(ioapic(m, 0x10 + 2 * 18), MASKED);
	host_fake_advance(m->f, 10 * MS);
	/* The device has kept its line: it is seen by who looks again. */
	set_lapic(m, SVR, 0x1ff);
	entry(m, 18, 0x77 | LEVEL);
	assert_int_equal(take(m), 0x77);
}

static void extint_by_ioapic(void **state)
{
	MACHINE(m);
	init_pic(m, 0);
	set_lapic(m, SVR, 0x1ff);
	entry(m, 0, 0x700);
	set_line(m, 4, 1);
	assert_int_equal(take(m), PIC_VECTOR + 4);
	outb(m, 0x20, 0x20);
	/* Asked for and withdrawn: spurious. */
	set_line(m, 4, 0);
	set_line(m, 4, 1);
	set_line(m, 4, 0);
	assert_int_equal(take(m), PIC_VECTOR + 7);
	assert_int_equal(take(m), -1);
}

static void a_slow_guest_gets_its_ticks(void **state)
{
	int by_pic = 0, by_pin = 0;

	MACHINE(m);
	virtual_wire(m, 0xfffe);
	start_pit(m);
	host_fake_advance(m->f, 100 * MS);
	for (int i = 0; i < 1000; i++) {
		by_pic += take(m) == PIC_VECTOR;
		outb(m, 0x20, 0x20);
		host_fake_advance(m->f, MS / 4);
	}
	assert_in_range(by_pic, 347, 353);
	outb(m, 0x21, 0xff);
	entry(m, 2, 0x51);
	host_fake_advance(m->f, 100 * MS);
	for (int i = 0; i < 1000; i++) {
		by_pin += take(m) == 0x51;
		set_lapic(m, EOI, 0);
		host_fake_advance(m->f, MS / 4);
	}
	assert_in_range(by_pin, 347, 353);
	/* Nobody listens: nothing is owed. */
	entry(m, 2, 0x51 | MASKED);
	host_fake_advance(m->f, 100 * MS);
	assert_int_equal(m->x.pit.owed, 0);
}

static void a_page_that_moved(void **state)
{
	uint64_t value = 0;

	MACHINE(m);
	assert_int_equal(lines->mmio(&m->x, 0xfed40000 + ID, 4, 0, &value), -ENOENT);
	assert_int_equal(host_fake_wrmsr(m->f, 0, 0x1b, 0xfed40000 | 0x900), 0);
	value = 0x1ff;
	assert_int_equal(lines->mmio(&m->x, 0xfed40000 + SVR, 4, 1, &value), 0);
	value = 0;
	assert_int_equal(lines->mmio(&m->x, 0xfed40000 + SVR, 4, 0, &value), 0);
	assert_int_equal(value, 0x1ff);
}

static void the_boards_nmi(void **state)
{
	MACHINE(m);
	set_lapic(m, SVR, 0x1ff);
	set_lapic(m, 0x360, 0x400);
	lines->nmi(&m->x);
	assert_int_equal(m->f->vcpu[0].nmis, 1);
	assert_int_equal(m->f->vcpu[1].nmis, 0);
}

/* Lines and messages from one thread, software on another: nothing is lost, nothing hangs. */
static void *device(void *opaque)
{
	struct machine *m = opaque;

	for (int i = 0; i < 20000; i++) {
		set_line(m, 18, i & 1);
		set_line(m, 4, i & 1);
		lines->message(&m->x, LAPIC_BASE, 0x61);
	}
	set_line(m, 18, 1);
	return NULL;
}

static void threads(void **state)
{
	bool got = false;
	pthread_t thread;

	MACHINE(m);
	virtual_wire(m, 0xffef);
	entry(m, 18, 0x77 | LEVEL);
	assert_int_equal(pthread_create(&thread, NULL, device, m), 0);
	for (int i = 0; i < 20000; i++) {
		int vector = m->f->irq->accept(m->f->irq_opaque, 0);

		if (vector == PIC_VECTOR + 4)
			outb(m, 0x20, 0x20);
		else if (vector >= 0)
			set_lapic(m, EOI, 0);
	}
	pthread_join(thread, NULL);
	for (int i = 0; i < 4 && !got; i++) {
		int vector = m->f->irq->accept(m->f->irq_opaque, 0);

		got = vector == 0x77;
		if (vector == PIC_VECTOR + 4)
			outb(m, 0x20, 0x20);
		else if (vector >= 0)
			set_lapic(m, EOI, 0);
	}
	assert_true(got);
}

#define OWN(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define KERNEL(f) { "kernel: " #f, f, setup_kvm, teardown, NULL }
#define EITHER(f) OWN(f), KERNEL(f)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EITHER(by_virtual_wire), EITHER(levels_by_virtual_wire), EITHER(nobody_has_the_cascade),
		EITHER(ticks_both_ways), EITHER(registers_of_the_ioapic), EITHER(edges_by_ioapic), EITHER(levels_by_ioapic),
		EITHER(messages), EITHER(the_speakers_counter), OWN(reset_is_power_on), OWN(extint_by_ioapic),
		OWN(a_slow_guest_gets_its_ticks), OWN(a_page_that_moved), OWN(the_boards_nmi), OWN(threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
