/* SPDX-License-Identifier: MIT */
#include "net-traffic.h"

#define WINDOW 16u
#define TRIES 4u
#define TRY_NS (500 * NS_PER_MS)

static const char not_sent[] = "a frame was not sent within 2 s";
static const char wrongly_sent[] = "the card did not send a frame, or says so of one that it was not given";
static const char wrong_answer[] = "an answer is not what was sent";

static bool failed(struct traffic *t, const char *why)
{
	t->failure = why;
	return false;
}

/* ---- one at a time -------------------------------------------------------------- */

/* What is in slot 0, until the card has it. */
static bool send_one(struct traffic *t, uint32_t bytes)
{
	uint64_t deadline = clock_ns() + IO_WAIT;
	unsigned slot;

	t->nic.send(0, bytes);
	t->nic.kick();
	while (!t->nic.sent(&slot)) {
		if (clock_ns() >= deadline)
			return failed(t, not_sent);
		__asm__ volatile("pause");
	}
	return slot == 0 || failed(t, wrongly_sent);
}

enum io_found traffic_resolve(struct traffic *t)
{
	const uint8_t *frame;
	uint32_t got;

	for (unsigned i = 0; i < TRIES; i++) {
		uint64_t deadline = clock_ns() + TRY_NS;

		frame_put_question(nic_frame(0), &t->ends);
		if (!send_one(t, FRAME_MIN))
			return IO_FAILED;
		while (clock_ns() < deadline) {
			frame = t->nic.receive(&got);
			if (frame && frame_is_told(frame, got, &t->ends))
				return IO_OPEN;
		}
	}
	return IO_NONE;
}

/* Answers to earlier ones are dropped. */
bool traffic_trip(struct traffic *t, uint16_t sequence, uint32_t bytes, uint64_t *took)
{
	uint64_t start, now, deadline;
	const uint8_t *frame;
	uint16_t whose;
	uint32_t got;

	frame_put_echo(nic_frame(0), &t->ends, sequence, bytes);
	start = clock_ns();
	deadline = start + IO_WAIT;
	*took = 0;
	if (!send_one(t, bytes))
		return false;
	do {
		frame = t->nic.receive(&got);
		now = clock_ns();
		if (!frame) {
			__asm__ volatile("pause");
		} else if (frame_is_answer(frame, got, &t->ends, bytes, &whose) && whose == sequence) {
			*took = now - start;
			return frame_is_whole(frame, &t->ends, bytes) || failed(t, wrong_answer);
		}
	} while (now < deadline);
	return true;
}

/* ---- many ------------------------------------------------------------------------- */

void traffic_fill(struct traffic *t, uint32_t bytes, bool echoes)
{
	for (unsigned i = 0; i < NIC_SLOTS; i++)
		if (echoes)
			frame_put_echo(nic_frame(i), &t->ends, (uint16_t)i, bytes);
		else
			frame_put_experiment(nic_frame(i), &t->ends, bytes);
}

bool traffic_send(struct traffic *t, unsigned count, uint32_t bytes)
{
	unsigned given = 0, done = 0, slot;
	uint64_t deadline = clock_ns() + IO_WAIT;
	uint32_t got;

	while (given < NIC_SLOTS && given < count)
		t->nic.send(given++, bytes);
	t->nic.kick();
	while (done < count) {
		unsigned before = done;

		for (; done < count && t->nic.sent(&slot); done++) {
			if (slot >= NIC_SLOTS)
				return failed(t, wrongly_sent);
			if (given < count)
				t->nic.send(slot, bytes), given++;
		}
		if (done > before) {
			t->nic.kick();
			deadline = clock_ns() + IO_WAIT;
		} else if (clock_ns() >= deadline) {
			return failed(t, not_sent);
		}
		while (done == before && t->nic.receive(&got))
			; /* what others say must not stand in the way */
	}
	return true;
}

/* ---- there and back ----------------------------------------------------------------- */

/* Slots that the card has, and those whose answer is to come. */
struct window {
	uint64_t sending, waiting;
	unsigned given, left, size, back;
};

_Static_assert(NIC_SLOTS == 64, "a bit for each slot");

static bool take_sent(struct traffic *t, struct window *w)
{
	unsigned slot;

	while (t->nic.sent(&slot)) {
		if (slot >= NIC_SLOTS)
			return failed(t, wrongly_sent);
		w->sending &= ~(1ull << slot);
	}
	return true;
}

static void give(struct traffic *t, struct window *w, uint32_t bytes)
{
	unsigned before = w->given;

	while (w->left && w->size < WINDOW && !((w->sending | w->waiting) >> w->given % NIC_SLOTS & 1)) {
		t->nic.send(w->given % NIC_SLOTS, bytes);
		w->sending |= 1ull << w->given % NIC_SLOTS;
		w->waiting |= 1ull << w->given % NIC_SLOTS;
		w->given++;
		w->left--;
		w->size++;
	}
	if (w->given != before)
		t->nic.kick();
}

static bool take_answers(struct traffic *t, struct window *w, uint32_t bytes, bool look)
{
	const uint8_t *frame;
	uint16_t whose;
	uint32_t got;

	while ((frame = t->nic.receive(&got))) {
		if (!frame_is_answer(frame, got, &t->ends, bytes, &whose) || whose >= NIC_SLOTS ||
		    !(w->waiting >> whose & 1))
			continue;
		if (look && !frame_is_whole(frame, &t->ends, bytes))
			return failed(t, wrong_answer);
		w->waiting &= ~(1ull << whose);
		w->size--;
		w->back++;
	}
	return true;
}

bool traffic_echo(struct traffic *t, unsigned count, uint32_t bytes, bool look, unsigned *back)
{
	struct window w = { .left = count };
	uint64_t deadline = clock_ns() + IO_WAIT;

	while (w.left || w.size || w.sending) {
		unsigned before = w.back;

		give(t, &w, bytes);
		if (!take_sent(t, &w) || !take_answers(t, &w, bytes, look))
			return false;
		if (w.back != before)
			deadline = clock_ns() + IO_WAIT;
		else if (clock_ns() >= deadline)
			break;
	}
	*back = w.back;
	if (w.sending)
		return failed(t, not_sent);
	return w.back >= count / 2 || failed(t, "most echoes are lost");
}
