/* SPDX-License-Identifier: MIT */
/*
 * Interrupts into the guest, while their controller is not in the kernel.
 *
 * The controller is asked for a vector only when the guest can take it, as the
 * kernel said at the last exit (ready_for_interrupt_injection): to ask is to
 * acknowledge. Otherwise an exit is asked for at the moment when it can.
 *
 * CR8 is a field of the shared page: the kernel takes it from there at an entry
 * and puts it there at an exit, which comes at once when the guest lowers it.
 */
#include "engine/kvm/kvm.h"

static int inject(struct engine_vcpu *v, int vector)
{
	struct kvm_interrupt irq = { .irq = (uint32_t)vector };

	v->n_interrupt++;
	return kvm_ioctl(v->fd, KVM_INTERRUPT, &irq);
}

static int offer_interrupt(struct engine_vcpu *v)
{
	const struct engine_vcpu_env *env = &v->env;
	int vector, r;

	if (!v->run->ready_for_interrupt_injection) {
		v->run->request_interrupt_window = env->irq_pending(env->opaque) != 0;
		return 0;
	}
	atomic_fetch_and(env->attention, ~ATTN_IRQ);
	vector = env->irq_accept(env->opaque);
	if (vector < 0)
		return 0;
	r = inject(v, vector);
	v->run->ready_for_interrupt_injection = 0;
	if (env->irq_pending(env->opaque)) {
		atomic_fetch_or(env->attention, ATTN_IRQ);
		v->run->request_interrupt_window = 1;
	}
	return r;
}

static bool cr8_is_outside(const struct engine_vcpu *v)
{
	return v->env.cr8_outside && *v->env.cr8_outside && !v->vm->irqchip;
}

void kvm_cr8_in(struct engine_vcpu *v)
{
	if (cr8_is_outside(v))
		v->run->cr8 = v->cr8 = v->env.cr8_read(v->env.opaque);
}

void kvm_cr8_out(struct engine_vcpu *v)
{
	if (cr8_is_outside(v) && v->run->cr8 != v->cr8)
		v->env.cr8_write(v->env.opaque, v->run->cr8);
}

int kvm_irq_offer(struct engine_vcpu *v, uint32_t attention)
{
	int r = 0;

	v->run->request_interrupt_window = 0;
	if (attention & ATTN_NMI) {
		uint32_t more = atomic_fetch_and(v->env.attention, ~(ATTN_NMI | ATTN_NMI_MORE)) & ATTN_NMI_MORE;

		/* KVM itself knows how many can wait. */
		for (uint32_t n = more ? 2 : 1; n && !r; n--) {
			v->n_nmi++;
			r = kvm_ioctl(v->fd, KVM_NMI, NULL);
		}
	}
	/* With half of the controller in the kernel, what is offered here is the 8259's. */
	if (r || !(attention & ATTN_IRQ) || (v->vm->irqchip && !v->vm->split))
		return r;
	return offer_interrupt(v);
}
