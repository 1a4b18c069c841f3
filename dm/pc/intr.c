/* SPDX-License-Identifier: MIT */
#include "dm/pc/intr.h"

#include <errno.h>
#include <string.h>

#include "gamut/plugin.h"

#define TICK_PIN 2u  /* of the I/O APIC: line 0 */
#define PIC_PIN 0u   /* the 8259s' output */
#define CASCADE 2u

/* ---- which chips there are ---- */

static bool has_pic(const struct pc_intr *x)
{
	return x->kind == PC_INTR_OWN;
}

static bool has_ioapic(const struct pc_intr *x)
{
	return x->kind == PC_INTR_OWN || x->kind == PC_INTR_IOAPIC || x->kind == PC_INTR_TIMER;
}

static bool has_timer(const struct pc_intr *x)
{
	return x->kind == PC_INTR_OWN || x->kind == PC_INTR_KERNEL || x->kind == PC_INTR_TIMER;
}

/* ---- wires between the chips ---- */

static void pic_output(void *opaque, uint32_t level)
{
	struct pc_intr *x = opaque;

	ioapic_set(&x->ioapic, PIC_PIN, level);
	lapics_intr(&x->apics, level);
}

static void count(uint64_t *sign)
{
	__atomic_fetch_add(sign, 1, __ATOMIC_RELAXED);
}

static int ioapic_sends(void *opaque, const struct apic_message *m)
{
	struct pc_intr *x = opaque;
	int fate = lapics_message(&x->apics, m);

	if (fate == APIC_TAKEN)
		count(x->by_ioapic);
	return fate;
}

static void look(void *opaque)
{
	struct pc_intr *x = opaque;

	if (x->look)
		x->look(x->look_opaque);
}

static void apic_eoi(void *board, uint32_t vector)
{
	look(board);
	ioapic_eoi(&((struct pc_intr *)board)->ioapic, vector);
}

/* Ticks are owed, and the guest may have dealt with one. */
static void apic_ended(void *board, uint32_t vector)
{
	struct pc_intr *x = board;

	if (ioapic_edge_vector(&x->ioapic, TICK_PIN) == (int)vector)
		i8254_acknowledged(&x->pit);
}

static int apic_intack(void *board, bool all_the_same)
{
	struct pc_intr *x = board;
	int vector = i8259_ack(&x->pic, !all_the_same);

	if (vector >= 0)
		count(x->by_pic);
	return vector;
}

/*
 * The 8254's output, and whether a tick arrived as one more: by the 8259s it
 * did not if the one before had to make room for it. Under the 8254's lock.
 */
static int own_tick(struct pc_intr *x, uint32_t level)
{
	int asks = i8259_asks(&x->pic, 0), by_pic, by_pin;

	if (!level)
		x->tick_waits = asks > 0;
	i8259_set(&x->pic, 0, level);
	by_pin = ioapic_set(&x->ioapic, TICK_PIN, level);
	if (!level)
		return APIC_MERGED;
	by_pic = asks < 0 || !lapics_wired(&x->apics) ? APIC_NOBODY : x->tick_waits ? APIC_MERGED : APIC_TAKEN;
	x->tick_waits = false;
	return by_pic > by_pin ? by_pic : by_pin;
}

/* The engine does not say what became of it. */
static int tick(void *opaque, uint32_t level)
{
	struct pc_intr *x = opaque;

	if (x->kind == PC_INTR_TIMER)
		return ioapic_set(&x->ioapic, TICK_PIN, level);
	if (x->kind != PC_INTR_KERNEL)
		return own_tick(x, level);
	x->host->irqchip_line(x->inst, 0, level);
	return APIC_TAKEN;
}

/* ---- "irq-lines" ---- */

static void drive(struct pc_intr *x, uint32_t line, uint32_t level)
{
	if (line < GAMUT_IRQ_ISA && has_pic(x))
		i8259_set(&x->pic, line, level);
	ioapic_set(&x->ioapic, line, level);
}

/* A line that several may drive is asserted as long as one of them does it. */
static void drive_shared(struct pc_intr *x, uint32_t *which, uint32_t line, uint32_t level)
{
	pthread_mutex_lock(&x->line_lock);
	*which = (*which & ~(1u << line)) | level << line;
	drive(x, line, (x->devices | x->wires) >> line & 1);
	pthread_mutex_unlock(&x->line_lock);
}

/* Line 0 is the 8254's own. */
static bool exists(uint32_t line)
{
	return line != 0 && line != CASCADE && line < GAMUT_IRQ_COUNT;
}

static void line_set(void *self, uint32_t line, uint32_t level)
{
	struct pc_intr *x = self;

	level = level != 0;
	if (!exists(line))
		return;
	if (x->kind == PC_INTR_KERNEL)
		x->host->irqchip_line(x->inst, line, level);
	else if (x->wired)
		drive_shared(x, &x->devices, line, level);
	else
		drive(x, line, level);
}

void pc_intr_wire(struct pc_intr *x, uint32_t line, uint32_t level)
{
	if (exists(line))
		drive_shared(x, &x->wires, line, level != 0);
}

static void line_message(void *self, uint64_t address, uint32_t data)
{
	struct pc_intr *x = self;

	if (x->kind == PC_INTR_KERNEL)
		x->host->irqchip_msi(x->inst, address, data);
	else
		lapics_msi(&x->apics, address, data);
}

static uint32_t speaker_output(void *self)
{
	return i8254_output(&((struct pc_intr *)self)->pit, 2);
}

static void speaker_gate(void *self, uint32_t level)
{
	i8254_gate(&((struct pc_intr *)self)->pit, 2, level);
}

static uint32_t refresh(void *self)
{
	return i8254_refresh(&((struct pc_intr *)self)->pit);
}

static uint32_t apic_id(void *self, uint32_t vcpu)
{
	(void)self;
	return vcpu;
}

static void nmi(void *self)
{
	struct pc_intr *x = self;

	if (x->kind == PC_INTR_KERNEL)
		x->host->nmi_raise(x->inst, 0);
	else
		lapics_nmi(&x->apics);
}

static int unclaimed(void *self, uint64_t gpa, uint32_t width, uint32_t write, uint64_t *value)
{
	struct pc_intr *x = self;

	return x->kind != PC_INTR_KERNEL && lapics_page(&x->apics, gpa, width, write, value) ? 0 : -ENOENT;
}

#define INIT_ADDRESS 0xfeeff000ull /* to all, physically */
#define INIT_DATA 0x500u

static void init_pin(void *self)
{
	struct pc_intr *x = self;

	if (x->kind == PC_INTR_KERNEL)
		x->host->irqchip_msi(x->inst, INIT_ADDRESS, INIT_DATA);
	else
		lapics_init_pin(&x->apics);
}

const struct gamut_irq_lines_ops pc_irq_lines = {
	.size = sizeof(struct gamut_irq_lines_ops),
	.set = line_set,
	.message = line_message,
	.speaker_output = speaker_output,
	.speaker_gate = speaker_gate,
	.refresh = refresh,
	.apic_id = apic_id,
	.nmi = nmi,
	.mmio = unclaimed,
	.init = init_pin,
};

/* Without what is the 8254's. */
static const struct gamut_irq_lines_ops lines_alone = {
	.size = sizeof(struct gamut_irq_lines_ops),
	.set = line_set,
	.message = line_message,
	.apic_id = apic_id,
	.nmi = nmi,
	.mmio = unclaimed,
	.init = init_pin,
};

const void *pc_intr_interface(const struct pc_intr *x, const char *id, uint32_t revision)
{
	if (strcmp(id, GAMUT_IRQ_LINES) || revision != GAMUT_IRQ_REVISION || x->kind == PC_INTR_APICS)
		return NULL;
	return has_timer(x) ? &pc_irq_lines : &lines_alone;
}

/* ---- for the core ---- */

static int irq_accept(void *opaque, uint32_t vcpu)
{
	return lapic_accept(&((struct pc_intr *)opaque)->apics, vcpu);
}

static int irq_pending(void *opaque, uint32_t vcpu)
{
	return lapic_pending(&((struct pc_intr *)opaque)->apics, vcpu);
}

static const struct gamut_irq_source irq_source = {
	.size = sizeof(struct gamut_irq_source),
	.accept = irq_accept,
	.pending = irq_pending,
};

static int register_board(struct pc_intr *x)
{
	const struct gamut_host *host = x->host;
	struct gamut_inst *inst = x->inst;
	int rc = host->mmio_register(inst, IOAPIC_BASE, IOAPIC_SIZE, &ioapic_ops, &x->ioapic);

	if (rc || !has_pic(x))
		return rc;
	rc = host->pio_register(inst, I8259_MASTER_PORT, 2, &i8259_master_ops, &x->pic);

	if (!rc)
		rc = host->pio_register(inst, I8259_SLAVE_PORT, 2, &i8259_slave_ops, &x->pic);
	if (!rc)
		rc = host->pio_register(inst, I8259_ELCR_PORT, 2, &i8259_elcr_ops, &x->pic);
	return rc;
}

static int register_source(struct pc_intr *x)
{
	return x->source ? x->host->irq_source(x->inst, x->source, x->source_opaque) :
	                   x->host->irq_source(x->inst, &irq_source, x);
}

int pc_intr_register(struct pc_intr *x)
{
	int rc = has_timer(x) ? x->host->pio_register(x->inst, I8254_PORT, 4, &i8254_ops, &x->pit) : 0;

	if (rc)
		return rc;
	if (x->kind == PC_INTR_KERNEL)
		return lapics_cpuid(&x->apics);
	if (x->look)
		x->pic.look = x->ioapic.look = look;
	rc = register_source(x);
	if (!rc && has_ioapic(x))
		rc = register_board(x);
	return rc ? rc : lapics_register(&x->apics);
}

/* ---- life cycle ---- */

/* Without firmware, no processor has anything to do at the reset vector. */
static void init_board(struct pc_intr *x)
{
	struct lapics *s = &x->apics;

	s->id_shift = 0;
	s->suppress_eoi = true;
	s->restarts = has_pic(x);
	s->eoi = apic_eoi;
	s->board = x;
	if (has_timer(x)) {
		s->ended = apic_ended;
		s->owing = &x->pit.owed;
	}
	ioapic_init(&x->ioapic, ioapic_sends, x);
	x->by_ioapic = x->host->sign(x->inst, GAMUT_AXIS_INTERRUPTS, GAMUT_COLOUR_V, "I/O APIC interrupts");
	pthread_mutex_init(&x->line_lock, NULL);
	if (!has_pic(x))
		return;
	s->intack = apic_intack;
	i8259_init(&x->pic, pic_output, x);
	x->by_pic = x->host->sign(x->inst, GAMUT_AXIS_INTERRUPTS, GAMUT_COLOUR_V, "8259 interrupts");
}

/* CPUID is all that is left of them here. */
static void init_kernel(struct pc_intr *x)
{
	x->apics = (struct lapics){ .host = x->host, .inst = x->inst, .n = x->host->vcpu_count(x->inst), .tsc_deadline = true };
}

static void finish_own(struct pc_intr *x)
{
	if (has_pic(x))
		i8259_finish(&x->pic);
	if (has_ioapic(x)) {
		ioapic_finish(&x->ioapic);
		pthread_mutex_destroy(&x->line_lock);
	}
	lapics_finish(&x->apics);
}

int pc_intr_init(struct pc_intr *x, const struct gamut_host *host, struct gamut_inst *inst, enum pc_intr_kind kind)
{
	int rc = 0;

	*x = (struct pc_intr){ .host = host, .inst = inst, .kind = kind };
	if (kind == PC_INTR_KERNEL)
		init_kernel(x);
	else
		rc = lapics_init(&x->apics, host, inst);
	if (rc)
		return rc;
	if (has_ioapic(x))
		init_board(x);
	rc = has_timer(x) ? i8254_init(&x->pit, host, inst, tick, x) : 0;
	if (rc && kind != PC_INTR_KERNEL)
		finish_own(x);
	return rc;
}

void pc_intr_finish(struct pc_intr *x)
{
	if (has_timer(x))
		i8254_finish(&x->pit);
	if (x->kind != PC_INTR_KERNEL)
		finish_own(x);
}

/* The engine resets its controllers with the processors. */
void pc_intr_reset(struct pc_intr *x)
{
	if (x->kind != PC_INTR_KERNEL)
		lapics_reset(&x->apics);
	if (has_ioapic(x))
		ioapic_reset(&x->ioapic);
	if (has_pic(x))
		i8259_reset(&x->pic);
	if (has_timer(x))
		i8254_reset(&x->pit);
	x->tick_waits = false;
}

/* Domain time stood still, and the 8254 with it; the guest's TSC did not. */
void pc_intr_resume(struct pc_intr *x)
{
	if (x->kind != PC_INTR_KERNEL)
		lapics_resume(&x->apics);
}
