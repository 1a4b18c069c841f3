/* SPDX-License-Identifier: MIT */
#include "dm/xen/upcall.h"

#define VIA_TYPE(via) ((via) >> 56)
#define VIA_GSI(via) ((uint32_t)(via) & 0xff)
#define VIA_DEVICE(via) ((uint32_t)((via) >> 11) & 31)
#define VIA_PIN(via) (((uint32_t)(via) & 3) + 1)

/* Under the lock. */
static void drive(struct upcall_line *l, uint32_t level)
{
	const struct upcall_pins *p = &l->pins;

	__atomic_store_n(&l->level, level, __ATOMIC_SEQ_CST);
	if (VIA_TYPE(l->via) == HVM_PARAM_CALLBACK_TYPE_PCI_INTX)
		p->intx(p->opaque, VIA_DEVICE(l->via), VIA_PIN(l->via), level);
	else
		p->gsi(p->opaque, VIA_GSI(l->via), level);
}

/* Whoever sets evtchn_upcall_pending comes here after that, so the last to have the lock sees it. Under the lock. */
static void follow(struct upcall *up)
{
	struct upcall_line *l = &up->line;
	uint32_t level = l->via && upcall_has_event(up, 0) && !upcall_own_vector(up, 0);

	if (level == l->level)
		return;
	if (level)
		xen_count(up->by_line);
	drive(l, level);
}

static bool in_use(const struct upcall_line *l)
{
	return __atomic_load_n(&l->via, __ATOMIC_ACQUIRE) != 0;
}

void upcall_line_set(struct upcall *up, uint64_t via)
{
	struct upcall_line *l = &up->line;
	bool gsi = VIA_TYPE(via) == HVM_PARAM_CALLBACK_TYPE_GSI && VIA_GSI(via);

	if (!l->pins.gsi)
		return;
	if (!gsi && VIA_TYPE(via) != HVM_PARAM_CALLBACK_TYPE_PCI_INTX)
		via = 0;
	pthread_mutex_lock(&l->lock);
	if (l->level)
		drive(l, 0);
	__atomic_store_n(&l->via, via, __ATOMIC_RELEASE);
	follow(up);
	pthread_mutex_unlock(&l->lock);
}

/* A line that was still up has been down in between, as the guest had cleared the byte: one that wants edges gets one. */
void upcall_line_event(struct upcall *up)
{
	struct upcall_line *l = &up->line;

	if (!in_use(l))
		return;
	pthread_mutex_lock(&l->lock);
	if (l->via && l->level)
		drive(l, 0);
	follow(up);
	pthread_mutex_unlock(&l->lock);
}

/* The lock only when there is something to take back: a rise is upcall_line_event's. */
void upcall_line_look(struct upcall *up)
{
	struct upcall_line *l = &up->line;

	if (!__atomic_load_n(&l->level, __ATOMIC_SEQ_CST) || upcall_has_event(up, 0))
		return;
	pthread_mutex_lock(&l->lock);
	follow(up);
	pthread_mutex_unlock(&l->lock);
}

void upcall_line_init(struct upcall *up)
{
	pthread_mutex_init(&up->line.lock, NULL);
}

void upcall_line_finish(struct upcall *up)
{
	pthread_mutex_destroy(&up->line.lock);
}
