/* SPDX-License-Identifier: MIT */
/*
 * Interrupt controllers in the kernel: all of them (8259s, I/O APIC, local
 * APICs), or the local APICs alone ("split"), with the rest in a plugin that
 * sends messages.
 *
 * KVM wants them before the first vCPU. A plugin asks when vCPUs are there
 * already, in power-on state: the VM is then made anew, and its vCPUs with it.
 *
 * A reset puts the state of just after that back. The local APICs' is with the
 * rest of their vCPUs' (state.c), the other chips' is the VM's and goes with
 * vCPU 0.
 */
#include "engine/kvm/kvm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int create_in(struct engine_vm *vm, bool split)
{
	return split ? kvm_vm_enable(vm, KVM_CAP_SPLIT_IRQCHIP, ENGINE_PINS) : kvm_ioctl(vm->fd, KVM_CREATE_IRQCHIP, NULL);
}

static void to_chip(struct kvm_irq_routing *table, uint32_t line, uint32_t chip, uint32_t pin)
{
	struct kvm_irq_routing_entry *e = &table->entries[table->nr++];

	e->gsi = line;
	e->type = KVM_IRQ_ROUTING_IRQCHIP;
	e->u.irqchip.irqchip = chip;
	e->u.irqchip.pin = pin;
}

/*
 * A PC's wires, where KVM's own differ: line 0 is the I/O APIC's pin 2, and
 * line 2, the 8259s' cascade, is nobody's.
 */
static int wire_board(struct engine_vm *vm)
{
	struct kvm_irq_routing *table = calloc(1, sizeof(*table) + (16 + ENGINE_PINS) * sizeof(table->entries[0]));
	int r;

	if (!table)
		return -ENOMEM;
	for (uint32_t line = 0; line < ENGINE_PINS; line++) {
		if (line == 2)
			continue;
		if (line < 16)
			to_chip(table, line, line < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, line & 7);
		to_chip(table, line, KVM_IRQCHIP_IOAPIC, line ? line : 2);
	}
	r = kvm_ioctl(vm->fd, KVM_SET_GSI_ROUTING, table);
	free(table);
	return r;
}

static int attach_vcpus(struct engine_vm *vm)
{
	int r = 0;

	for (uint32_t i = 0; i < vm->n_vcpus && !r; i++)
		if (vm->vcpu[i])
			r = kvm_vcpu_attach(vm->vcpu[i]);
	return r;
}

static void detach_vcpus(struct engine_vm *vm)
{
	for (uint32_t i = 0; i < vm->n_vcpus; i++)
		if (vm->vcpu[i])
			kvm_vcpu_detach(vm->vcpu[i]);
}

static int save_chips(struct engine_vm *vm)
{
	int r = 0;

	for (uint32_t i = 0; i < KVM_CHIPS && !vm->split && !r; i++) {
		vm->chips[i].chip_id = i;
		r = kvm_ioctl(vm->fd, KVM_GET_IRQCHIP, &vm->chips[i]);
	}
	return r;
}

void kvm_irqchip_reset(struct engine_vm *vm)
{
	for (uint32_t i = 0; i < KVM_CHIPS && vm->irqchip && !vm->split; i++)
		kvm_ioctl(vm->fd, KVM_SET_IRQCHIP, &vm->chips[i]);
}

/* Back to a VM that has none, so that somebody else can have them. */
static int give_up(struct engine_vm *vm, int why)
{
	int r;

	detach_vcpus(vm);
	vm->irqchip = vm->split = false;
	vm->eoi = NULL;
	r = kvm_vm_remake(vm);
	if (!r)
		r = attach_vcpus(vm);
	return r ? -EIO : why;
}

int kvm_irqchip_create(struct engine_vm *vm, const struct engine_irqchip *config)
{
	int r;

	if (!(config->split ? vm->features.split_irqchip : vm->features.irqchip))
		return -ENOTSUP;
	if (vm->irqchip || vm->touched)
		return -EBUSY;
	detach_vcpus(vm);
	vm->irqchip = true;
	vm->split = config->split;
	vm->eoi = config->eoi;
	vm->eoi_opaque = config->opaque;
	r = kvm_vm_remake(vm);
	if (!r)
		r = create_in(vm, config->split);
	if (!r && !config->split)
		r = wire_board(vm);
	if (!r)
		r = save_chips(vm);
	if (!r)
		r = attach_vcpus(vm);
	return r ? give_up(vm, r) : 0;
}

/* Of the whole irqchip: with a split one, pins are the plugin's. */
int kvm_irqchip_line(struct engine_vm *vm, uint32_t gsi, bool level)
{
	struct kvm_irq_level line = { .irq = gsi, .level = level };

	return vm->irqchip && !vm->split ? kvm_ioctl(vm->fd, KVM_IRQ_LINE, &line) : -ENOTSUP;
}

int kvm_irqchip_msi(struct engine_vm *vm, uint64_t address, uint32_t data)
{
	struct kvm_msi msi = { .address_lo = (uint32_t)address, .address_hi = (uint32_t)(address >> 32), .data = data };
	int r = vm->irqchip ? kvm_ioctl(vm->fd, KVM_SIGNAL_MSI, &msi) : -ENOTSUP;

	return r < 0 ? r : 0;
}

/* What the pins of the plugin's I/O APIC send, so that the kernel reports their ends of interrupt. */
int kvm_irqchip_route(struct engine_vm *vm, const struct engine_msi *pins, uint32_t n)
{
	struct kvm_irq_routing *table;
	int r;

	if (!vm->split)
		return -ENOTSUP;
	if (n > ENGINE_PINS)
		return -EINVAL;
	table = calloc(1, sizeof(*table) + n * sizeof(table->entries[0]));
	if (!table)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		struct kvm_irq_routing_entry *e;

		if (!pins[i].set)
			continue;
		e = &table->entries[table->nr++];
		e->gsi = i;
		e->type = KVM_IRQ_ROUTING_MSI;
		e->u.msi.address_lo = (uint32_t)pins[i].address;
		e->u.msi.address_hi = (uint32_t)(pins[i].address >> 32);
		e->u.msi.data = pins[i].data;
	}
	r = kvm_ioctl(vm->fd, KVM_SET_GSI_ROUTING, table);
	free(table);
	return r;
}
