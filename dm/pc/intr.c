/* SPDX-License-Identifier: MIT */
#include "dm/pc/intr.h"

#include <errno.h>

#define TICK_PIN 2u  /* of the I/O APIC: line 0 */
#define PIC_PIN 0u   /* the 8259s' output */
#define CASCADE 2u

/* ---- wires between the chips ---- */

static void pic_output(void *opaque, uint32_t level)
{
	struct pc_intr *x = opaque;

	ioapic_set(&x->ioapic, PIC_PIN, level);
	lapics_intr(&x->apics, level);
}

static int ioapic_sends(void *opaque, const struct apic_message *m)
{
	return lapics_message(&((struct pc_intr *)opaque)->apics, m);
}

static void apic_eoi(void *board, uint32_t vector)
{
	ioapic_eoi(&((struct pc_intr *)board)->ioapic, vector);
}

static int apic_intack(void *board, bool all_the_same)
{
	return i8259_ack(&((struct pc_intr *)board)->pic, !all_the_same);
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

	if (!x->kernel)
		return own_tick(x, level);
	x->host->irqchip_line(x->inst, 0, level);
	return APIC_TAKEN;
}

/* ---- "irq-lines" ---- */

/* Line 0 is the 8254's own. */
static void line_set(void *self, uint32_t line, uint32_t level)
{
	struct pc_intr *x = self;

	level = level != 0;
	if (line == 0 || line == CASCADE || line >= GAMUT_IRQ_COUNT)
		return;
	if (x->kernel) {
		x->host->irqchip_line(x->inst, line, level);
		return;
	}
	if (line < GAMUT_IRQ_ISA)
		i8259_set(&x->pic, line, level);
	ioapic_set(&x->ioapic, line, level);
}

static void line_message(void *self, uint64_t address, uint32_t data)
{
	struct pc_intr *x = self;

	if (x->kernel)
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

	if (x->kernel)
		x->host->nmi_raise(x->inst, 0);
	else
		lapics_nmi(&x->apics);
}

static int unclaimed(void *self, uint64_t gpa, uint32_t width, uint32_t write, uint64_t *value)
{
	struct pc_intr *x = self;

	return !x->kernel && lapics_page(&x->apics, gpa, width, write, value) ? 0 : -ENOENT;
}

#define INIT_ADDRESS 0xfeeff000ull /* to all, physically */
#define INIT_DATA 0x500u

static void init_pin(void *self)
{
	struct pc_intr *x = self;

	if (x->kernel)
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

static int register_own(struct pc_intr *x)
{
	const struct gamut_host *host = x->host;
	struct gamut_inst *inst = x->inst;
	int rc = host->irq_source(inst, &irq_source, x);

	if (!rc)
		rc = host->pio_register(inst, I8259_MASTER_PORT, 2, &i8259_master_ops, &x->pic);
	if (!rc)
		rc = host->pio_register(inst, I8259_SLAVE_PORT, 2, &i8259_slave_ops, &x->pic);
	if (!rc)
		rc = host->pio_register(inst, I8259_ELCR_PORT, 2, &i8259_elcr_ops, &x->pic);
	if (!rc)
		rc = host->mmio_register(inst, IOAPIC_BASE, IOAPIC_SIZE, &ioapic_ops, &x->ioapic);
	return rc ? rc : lapics_register(&x->apics);
}

int pc_intr_register(struct pc_intr *x)
{
	int rc = x->host->pio_register(x->inst, I8254_PORT, 4, &i8254_ops, &x->pit);

	if (rc)
		return rc;
	return x->kernel ? lapics_cpuid(&x->apics) : register_own(x);
}

/* ---- life cycle ---- */

static int init_own(struct pc_intr *x)
{
	struct lapics *s = &x->apics;
	int rc = lapics_init(s, x->host, x->inst);

	if (rc)
		return rc;
	s->id_shift = 0;
	s->suppress_eoi = true;
	s->restarts = true;
	s->eoi = apic_eoi;
	s->intack = apic_intack;
	s->board = x;
	ioapic_init(&x->ioapic, ioapic_sends, x);
	i8259_init(&x->pic, pic_output, x);
	return 0;
}

static void finish_own(struct pc_intr *x)
{
	i8259_finish(&x->pic);
	ioapic_finish(&x->ioapic);
	lapics_finish(&x->apics);
}

int pc_intr_init(struct pc_intr *x, const struct gamut_host *host, struct gamut_inst *inst, bool kernel)
{
	int rc = 0;

	*x = (struct pc_intr){ .host = host, .inst = inst, .kernel = kernel };
	if (kernel)
		x->apics = (struct lapics){ .host = host, .inst = inst, .n = host->vcpu_count(inst), .tsc_deadline = true };
	else
		rc = init_own(x);
	if (rc)
		return rc;
	rc = i8254_init(&x->pit, host, inst, tick, x);
	if (rc && !kernel)
		finish_own(x);
	return rc;
}

void pc_intr_finish(struct pc_intr *x)
{
	i8254_finish(&x->pit);
	if (!x->kernel)
		finish_own(x);
}

/* The engine resets its controllers with the processors. */
void pc_intr_reset(struct pc_intr *x)
{
	if (!x->kernel) {
		lapics_reset(&x->apics);
		ioapic_reset(&x->ioapic);
		i8259_reset(&x->pic);
	}
	i8254_reset(&x->pit);
	x->tick_waits = false;
}

/* Domain time stood still, and the 8254 with it; the guest's TSC did not. */
void pc_intr_resume(struct pc_intr *x)
{
	if (!x->kernel)
		lapics_resume(&x->apics);
}
