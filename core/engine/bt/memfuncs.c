/* SPDX-License-Identifier: MIT */
/*
 * memcpy and its kin without vector registers, for the whole program.
 *
 * Compilers turn struct copies and clearing loops into calls of these, and
 * the C library's use the widest vectors there are, which hold guest state
 * while the bt engine's C code runs. Being hidden, these do not reach
 * libraries or plugins. Sanitized builds keep the sanitizer's own.
 */
#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_ASAN 1
#endif
#endif

#if !defined(__SANITIZE_ADDRESS__) && !defined(HAVE_ASAN)

void *memcpy(void *dst, const void *src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);

void *memcpy(void *dst, const void *src, size_t n)
{
	void *d = dst;

	__asm__ volatile("rep movsb" : "+D"(d), "+S"(src), "+c"(n) : : "memory");
	return dst;
}

void *memmove(void *dst, const void *src, size_t n)
{
	unsigned char *d = dst;
	const unsigned char *s = src;

	if ((size_t)(d - s) >= n)
		return memcpy(dst, src, n);
	d += n;
	s += n;
	while (n--) {
		*--d = *--s;
		__asm__ volatile("" : : : "memory"); /* or the loop becomes a call of itself */
	}
	return dst;
}

void *memset(void *dst, int c, size_t n)
{
	void *d = dst;

	__asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(c) : "memory");
	return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const unsigned char *x = a, *y = b;

	for (; n--; x++, y++) {
		if (*x != *y)
			return *x - *y;
	}
	return 0;
}

#else
typedef int memfuncs_are_the_sanitizers;
#endif
