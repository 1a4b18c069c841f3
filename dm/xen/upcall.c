/* SPDX-License-Identifier: MIT */
#include "dm/xen/upcall.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gamut/plugin.h"

/* Vectors below are the processor's exceptions. */
#define FIRST_VECTOR 0x10u

void upcall_finish(struct upcall *up)
{
	upcall_line_finish(up);
	free(up->vcpu);
}

/* A PV guest begins with its events masked. */
static void mask_all(struct upcall *up)
{
	for (uint32_t i = 0; i < up->env->n_vcpus; i++) {
		uint8_t *info = shinfo_vcpu_info(up->shinfo, i);

		if (info)
			info[SHINFO_MASK] = 1;
	}
}

void upcall_reset(struct upcall *up)
{
	up->callback_vector = 0;
	upcall_line_set(up, 0);
	memset(up->vcpu, 0, up->env->n_vcpus * sizeof(*up->vcpu));
	if (up->by_monitor)
		mask_all(up);
}

void upcall_by_monitor(struct upcall *up)
{
	up->by_monitor = true;
	up->shinfo->stays = true;
	mask_all(up);
}

/* evtchn_upcall_pending has become 1. */
static void assert_upcall(struct upcall *up, uint32_t vcpu)
{
	uint32_t vector = upcall_own_vector(up, vcpu);

	if (up->by_monitor) {
		up->env->host->irq_raise(up->env->inst, vcpu);
		xen_count(up->delivered);
	} else if (vector) {
		lapic_set_irq(up->apics, vcpu, (uint8_t)vector);
		xen_count(up->delivered);
	} else if (__atomic_load_n(&up->callback_vector, __ATOMIC_ACQUIRE)) {
		up->env->host->irq_raise(up->env->inst, vcpu);
	} else if (vcpu == 0) {
		upcall_line_event(up);
	}
}

void upcall_pending(struct upcall *up, uint32_t vcpu)
{
	uint8_t *info = shinfo_vcpu_info(up->shinfo, vcpu);

	/* evtchn_upcall_pending is the first byte in both layouts. */
	if (!info || __atomic_exchange_n(info, 1, __ATOMIC_SEQ_CST))
		return;
	shinfo_dirty(up->shinfo, vcpu);
	assert_upcall(up, vcpu);
}

void upcall_spurious(struct upcall *up, uint32_t vcpu)
{
	const struct shinfo_layout *layout = shinfo_layout(up->shinfo);
	uint8_t *info = shinfo_vcpu_info(up->shinfo, vcpu);

	if (!info)
		return;
	for (uint32_t i = 0; i < layout->word_bits; i += 32)
		__atomic_store_n((uint32_t *)(void *)(info + layout->sel + i / 8), UINT32_MAX, __ATOMIC_SEQ_CST);
	__atomic_store_n(info, 1, __ATOMIC_SEQ_CST);
	shinfo_dirty(up->shinfo, vcpu);
	assert_upcall(up, vcpu);
}

static bool is_masked(struct upcall *up, uint32_t vcpu)
{
	const uint8_t *info = shinfo_vcpu_info(up->shinfo, vcpu);

	return info && __atomic_load_n(&info[SHINFO_MASK], __ATOMIC_SEQ_CST);
}

void upcall_unmask(struct upcall *up, uint32_t vcpu)
{
	uint8_t *info = shinfo_vcpu_info(up->shinfo, vcpu);

	if (!up->by_monitor || !info)
		return;
	__atomic_store_n(&info[SHINFO_MASK], 0, __ATOMIC_SEQ_CST);
	shinfo_dirty(up->shinfo, vcpu);
}

/*
 * A guest tells a processor's vector, and has events bound to it, before it
 * starts that processor with INIT. What is pending would never be an edge again.
 */
static void after_init(void *opaque, uint32_t vcpu)
{
	struct upcall *up = opaque;

	if (upcall_own_vector(up, vcpu) && upcall_has_event(up, vcpu))
		assert_upcall(up, vcpu);
}

int upcall_init(struct upcall *up, const struct xen_env *env, struct shinfo *shinfo, struct lapics *apics)
{
	*up = (struct upcall){ .env = env, .shinfo = shinfo, .apics = apics };
	up->vcpu = calloc(env->n_vcpus, sizeof(*up->vcpu));
	if (!up->vcpu)
		return -ENOMEM;
	apics->cleared = after_init;
	apics->cleared_opaque = up;
	upcall_line_init(up);
	up->vector_set = env->host->sign(env->inst, GAMUT_AXIS_INTERRUPTS, GAMUT_COLOUR_P, "callback vector");
	up->delivered = env->host->sign(env->inst, GAMUT_AXIS_INTERRUPTS, GAMUT_COLOUR_P, "upcalls");
	up->by_line = env->host->sign(env->inst, GAMUT_AXIS_INTERRUPTS, GAMUT_COLOUR_V, "upcalls by line");
	return 0;
}

int upcall_set_callback(struct upcall *up, uint64_t via)
{
	uint32_t vector = 0;

	if (via >> 56 == HVM_PARAM_CALLBACK_TYPE_VECTOR && !up->no_vectors)
		vector = (uint8_t)via < FIRST_VECTOR ? 0 : (uint8_t)via;
	if (vector)
		xen_count(up->vector_set);
	upcall_line_set(up, via);
	__atomic_store_n(&up->callback_vector, vector, __ATOMIC_SEQ_CST);
	for (uint32_t i = 0; vector && i < up->env->n_vcpus; i++)
		if (upcall_has_event(up, i))
			assert_upcall(up, i);
	return 0;
}

int upcall_set_vector(struct upcall *up, uint32_t vcpu, uint32_t vector)
{
	if (up->no_vectors)
		return xen_unimplemented(up->env);
	if (vector < FIRST_VECTOR || vector > 0xff)
		return -EINVAL;
	if (vcpu >= up->env->n_vcpus)
		return -ENOENT;
	xen_count(up->vector_set);
	__atomic_store_n(&up->vcpu[vcpu].vector, vector, __ATOMIC_SEQ_CST);
	upcall_line_look(up);
	/* As Xen: one upcall at once, whatever is pending. */
	assert_upcall(up, vcpu);
	return 0;
}

int upcall_accept(struct upcall *up, uint32_t vcpu)
{
	uint32_t vector = __atomic_load_n(&up->callback_vector, __ATOMIC_ACQUIRE);

	if (up->by_monitor)
		return -1;
	upcall_line_look(up);
	if (!vector || !upcall_has_event(up, vcpu))
		return lapic_accept(up->apics, vcpu);
	xen_count(up->delivered);
	return (int)vector;
}

int upcall_has(struct upcall *up, uint32_t vcpu)
{
	if (up->by_monitor)
		return upcall_has_event(up, vcpu) && !is_masked(up, vcpu);
	if (__atomic_load_n(&up->callback_vector, __ATOMIC_ACQUIRE) && upcall_has_event(up, vcpu))
		return 1;
	return lapic_pending(up->apics, vcpu);
}
