/* SPDX-License-Identifier: MIT */
#include "dm/limit/bucket.h"

#define NS 1000000000ull

void bucket_init(struct bucket *b, uint64_t rate, uint64_t burst, uint64_t now)
{
	*b = (struct bucket){ .rate = rate, .burst = burst ? burst : rate / 10, .at = now };
	if (!b->burst)
		b->burst = 1;
	b->tokens = b->burst;
}

/* What comes in pays the debt first, then fills up to the burst. Time that made no whole token yet still counts later. */
static void fill(struct bucket *b, uint64_t now)
{
	uint64_t ns = now > b->at ? now - b->at : 0;
	unsigned __int128 n = (unsigned __int128)ns * b->rate / NS;
	uint64_t paid = n < b->debt ? (uint64_t)n : b->debt;

	b->at += (uint64_t)((n * NS + b->rate - 1) / b->rate);
	b->debt -= paid;
	n -= paid;
	b->tokens = n < b->burst - b->tokens ? b->tokens + (uint64_t)n : b->burst;
}

uint64_t bucket_ready(struct bucket *b, uint64_t now)
{
	unsigned __int128 wait;

	if (!b->rate)
		return 0;
	fill(b, now);
	if (!b->debt && b->tokens)
		return 0;
	/* Until the debt is paid and one token is there. */
	wait = ((unsigned __int128)b->debt + 1) * NS / b->rate + 1;
	return wait > UINT64_MAX - b->at ? UINT64_MAX : b->at + (uint64_t)wait;
}

void bucket_take(struct bucket *b, uint64_t n)
{
	if (!b->rate)
		return;
	if (n <= b->tokens) {
		b->tokens -= n;
		return;
	}
	n -= b->tokens;
	b->tokens = 0;
	b->debt = n > UINT64_MAX - b->debt ? UINT64_MAX : b->debt + n;
}
