// SPDX-License-Identifier: MIT
/*
 * usage: vectors SEED ROUNDS
 *
 * Arithmetic whose intermediate results live in vector and x87 registers for as
 * long as a time slice and longer, across system calls and page faults, ending
 * in checksums: the same wherever it runs, bit for bit, as long as whoever
 * switches between processes keeps every register of each.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

typedef uint32_t u32x8 __attribute__((vector_size(32)));
typedef uint8_t u8x32 __attribute__((vector_size(32)));
typedef double f64x4 __attribute__((vector_size(32)));
typedef float f32x4 __attribute__((vector_size(16)));

static uint64_t mix(uint64_t sum, const void *data, size_t n)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < n; i++)
		sum = (sum ^ p[i]) * 0x100000001b3;
	return sum;
}

/* Inline, so that no calling convention makes the compiler spill what is live. */
static inline void system_call(void)
{
	long rax = SYS_getppid;

	__asm__ volatile("syscall" : "+a"(rax) : : "rcx", "r11", "memory");
}

/* Eight accumulators of integers: xorshift in every lane. */
static uint64_t integers(uint32_t seed, uint32_t rounds)
{
	u32x8 a[8];
	uint64_t sum = 1;

	for (uint32_t i = 0; i < 8; i++)
		for (uint32_t lane = 0; lane < 8; lane++)
			a[i][lane] = seed * 2654435761u + i * 8 + lane + 1;
	for (uint32_t n = 0; n < rounds * 40; n++) {
		for (uint32_t turn = 0; turn < 1000; turn++)
			for (uint32_t i = 0; i < 8; i++) {
				a[i] ^= a[i] << 13;
				a[i] ^= a[i] >> 17;
				a[i] ^= a[i] << 5;
			}
		system_call();
	}
	for (uint32_t i = 0; i < 8; i++)
		sum = mix(sum, &a[i], sizeof(a[i]));
	return sum;
}

/* A logistic map in each lane: chaotic, so one wrong bit becomes another number. */
static uint64_t doubles(uint32_t seed, uint32_t rounds)
{
	f64x4 x = { 0.1 + seed * 1e-6, 0.2, 0.3, 0.4 }, y = 1.0 - x, three = { 3.99, 3.98, 3.97, 3.96 };
	uint64_t sum = 2;

	for (uint32_t n = 0; n < rounds * 40; n++) {
		for (uint32_t turn = 0; turn < 1000; turn++) {
			x = three * x * (1.0 - x);
			y = three * y * (1.0 - y);
		}
		system_call();
	}
	sum = mix(sum, &x, sizeof(x));
	return mix(sum, &y, sizeof(y));
}

static uint64_t floats(uint32_t seed, uint32_t rounds)
{
	f32x4 x = { 0.5f, 0.25f, 0.125f, 0.75f }, step = { 3.99f, 3.98f, 3.97f, 3.96f };

	x[0] += (float)seed * 1e-4f;
	for (uint32_t n = 0; n < rounds * 40000; n++)
		x = step * x * (1.0f - x);
	return mix(3, &x, sizeof(x));
}

/* 80 bits, on the x87 stack. */
static uint64_t extended(uint32_t seed, uint32_t rounds)
{
	long double x = 0.3L + seed * 1e-6L, y = 0.7L;
	uint8_t bytes[20];

	for (uint32_t n = 0; n < rounds * 20; n++) {
		for (uint32_t turn = 0; turn < 1000; turn++) {
			x = 3.999L * x * (1.0L - x);
			y = 3.998L * y * (1.0L - y);
		}
		system_call();
	}
	memcpy(bytes, &x, 10);
	memcpy(bytes + 10, &y, 10);
	return mix(4, bytes, sizeof(bytes));
}

/* Bytes through memory that is mapped anew each round: page faults with the registers full. */
static uint64_t memory(uint32_t seed, uint32_t rounds)
{
	u8x32 acc = { 0 };
	uint64_t sum = 5;

	for (uint32_t n = 0; n < rounds; n++) {
		const size_t size = 1 << 20;
		u8x32 *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (page == MAP_FAILED)
			exit(1);
		for (size_t i = 0; i < size / sizeof(*page); i++) {
			page[i] = acc + (uint8_t)(i * 7 + seed);
			acc = (acc << 3 | acc >> 5) + (page[i] ^ (uint8_t)n);
		}
		sum = mix(sum, page, 4096);
		munmap(page, size);
	}
	return mix(sum, &acc, sizeof(acc));
}

int main(int argc, char **argv)
{
	static uint64_t (*const parts[])(uint32_t, uint32_t) = { integers, doubles, floats, extended, memory };
	uint32_t seed = argc > 1 ? (uint32_t)atoi(argv[1]) : 1, rounds = argc > 2 ? (uint32_t)atoi(argv[2]) : 1;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		printf("vectors %zu %016" PRIx64 "\n", i, parts[i](seed, rounds));
	return 0;
}
