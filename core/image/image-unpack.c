/* SPDX-License-Identifier: MIT */
/*
 * Every method is driven the same way: it fills what room the sink has and is
 * called again with more, until its stream ends. The sink is anonymous memory
 * that doubles by mremap, so nothing is copied when it grows and untouched
 * pages cost nothing when a hint was too large.
 */
#include "image/image-unpack.h"

#include <errno.h>
#include <limits.h>
#include <lz4.h>
#include <lzma.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>
#include <zstd.h>

#define FIRST_CAPACITY (4ull << 20)
#define HUGE           (2ull << 20)
#define MAX_MAX        (1ull << 40)
#define LZMA_MEMORY    (512ull << 20) /* dictionaries of kernels are 128 MiB at most */
#define LZ4_MAGIC      0x184c2102u
#define LZ4_BLOCK      (8u << 20) /* of the legacy format, unpacked */

struct sink {
	uint8_t *data;
	size_t size, capacity;
	uint64_t max; /* one more than allowed: a stream that reaches it is too long */
};

struct source {
	const uint8_t *data;
	size_t size;
};

static size_t sink_room(const struct sink *sink)
{
	size_t room = sink->capacity - sink->size;

	return room < sink->max - sink->size ? room : (size_t)(sink->max - sink->size);
}

static uint64_t round_up(uint64_t n, uint64_t unit)
{
	return (n + unit - 1) / unit * unit;
}

static int sink_init(struct sink *sink, uint64_t hint, uint64_t max)
{
	uint64_t want = hint > FIRST_CAPACITY ? hint : FIRST_CAPACITY;

	if (max > MAX_MAX)
		max = MAX_MAX;
	/* One byte more than expected: an exact hint needs no growth to see the end. */
	want = round_up((want < max ? want : max) + 1, HUGE);
	*sink = (struct sink){.max = max + 1};
	sink->data =
	        mmap(NULL, want, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (sink->data == MAP_FAILED)
		return -ENOMEM;
	sink->capacity = want;
	(void)madvise(sink->data, want, MADV_HUGEPAGE);
	return 0;
}

/* Makes at least `need` bytes of room. -EFBIG at the cap, -ENOMEM. */
static int sink_grow(struct sink *sink, size_t need)
{
	size_t capacity = sink->capacity;
	void *data;

	if (sink_room(sink) >= need)
		return 0;
	if (sink->max - sink->size < need)
		return -EFBIG;
	while (capacity - sink->size < need)
		capacity *= 2;
	data = mremap(sink->data, sink->capacity, capacity, MREMAP_MAYMOVE);
	if (data == MAP_FAILED)
		return -ENOMEM;
	sink->data = data;
	sink->capacity = capacity;
	return 0;
}

/* ---- methods: 0 when the stream has ended well, -ENOEXEC, -EFBIG, -ENOMEM ------------ */

static uInt clamp(size_t n)
{
	return n < UINT_MAX ? (uInt)n : UINT_MAX;
}

static int run_inflate(z_stream *z, struct source *in, struct sink *out)
{
	for (;;) {
		uInt give = clamp(in->size), room;
		int error = sink_grow(out, 1), status;

		if (error)
			return error;
		room = clamp(sink_room(out));
		z->next_in = (Bytef *)(uintptr_t)in->data;
		z->avail_in = give;
		z->next_out = out->data + out->size;
		z->avail_out = room;
		status = inflate(z, Z_NO_FLUSH);
		in->data += give - z->avail_in;
		in->size -= give - z->avail_in;
		out->size += room - z->avail_out;
		if (status == Z_STREAM_END)
			return 0;
		if (status == Z_MEM_ERROR)
			return -ENOMEM;
		if (status != Z_OK || (z->avail_out && !in->size))
			return -ENOEXEC;
	}
}

static int unpack_gzip(struct source in, struct sink *out)
{
	z_stream z = {0};
	int error;

	if (inflateInit2(&z, 15 + 16) != Z_OK)
		return -ENOMEM;
	error = run_inflate(&z, &in, out);
	inflateEnd(&z);
	return error;
}

static int run_lzma(lzma_stream *stream, struct source in, struct sink *out)
{
	stream->next_in = in.data;
	stream->avail_in = in.size;
	for (;;) {
		int error = sink_grow(out, 1);
		size_t room;
		lzma_ret ret;

		if (error)
			return error;
		room = sink_room(out);
		stream->next_out = out->data + out->size;
		stream->avail_out = room;
		ret = lzma_code(stream, LZMA_RUN);
		out->size += room - stream->avail_out;
		if (ret == LZMA_STREAM_END)
			return 0;
		if (ret == LZMA_MEM_ERROR || ret == LZMA_MEMLIMIT_ERROR)
			return -ENOMEM;
		if (ret != LZMA_OK || (stream->avail_out && !stream->avail_in))
			return -ENOEXEC;
	}
}

static int unpack_xz(struct source in, struct sink *out)
{
	lzma_stream stream = LZMA_STREAM_INIT;
	int error = -ENOMEM;

	if (lzma_stream_decoder(&stream, LZMA_MEMORY, 0) == LZMA_OK)
		error = run_lzma(&stream, in, out);
	lzma_end(&stream);
	return error;
}

static int unpack_lzma(struct source in, struct sink *out)
{
	lzma_stream stream = LZMA_STREAM_INIT;
	int error = -ENOMEM;

	if (lzma_alone_decoder(&stream, LZMA_MEMORY) == LZMA_OK)
		error = run_lzma(&stream, in, out);
	lzma_end(&stream);
	return error;
}

static int unpack_zstd(struct source in, struct sink *out)
{
	ZSTD_inBuffer input = {in.data, in.size, 0};
	ZSTD_DStream *stream = ZSTD_createDStream();
	int error = stream ? 0 : -ENOMEM;

	while (!error) {
		ZSTD_outBuffer output;
		size_t left;

		error = sink_grow(out, 1);
		if (error)
			break;
		output = (ZSTD_outBuffer){out->data + out->size, sink_room(out), 0};
		left = ZSTD_decompressStream(stream, &output, &input);
		out->size += output.pos;
		if (!left)
			break;
		if (ZSTD_isError(left) || (input.pos == input.size && output.pos < output.size))
			error = -ENOEXEC;
	}
	ZSTD_freeDStream(stream);
	return error;
}

static uint32_t get_le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static int unpack_lz4_block(struct source *in, uint32_t packed, struct sink *out)
{
	size_t room = out->max - out->size < LZ4_BLOCK ? (size_t)(out->max - out->size) : LZ4_BLOCK;
	int error = sink_grow(out, room), n;

	if (error)
		return error;
	n = LZ4_decompress_safe((const char *)in->data, (char *)out->data + out->size, (int)packed,
	                        (int)room);
	/* Near the cap, a sound block that does not fit looks like a damaged one. */
	if (n < 0)
		return room < LZ4_BLOCK ? -EFBIG : -ENOEXEC;
	out->size += (size_t)n;
	in->data += packed;
	in->size -= packed;
	return 0;
}

/*
 * The legacy format has no end mark. What ends it is the end of the file, or
 * in a bzImage the four bytes of the unpacked size after it; a tool that
 * wrote several streams in a row repeats the magic.
 */
static int unpack_lz4(struct source in, struct sink *out)
{
	int error = 0;

	while (!error && in.size > 4) {
		uint32_t packed = get_le32(in.data);

		in.data += 4;
		in.size -= 4;
		if (packed == LZ4_MAGIC)
			continue;
		if (!packed || packed > (uint32_t)LZ4_COMPRESSBOUND(LZ4_BLOCK) || packed > in.size)
			return -ENOEXEC;
		error = unpack_lz4_block(&in, packed, out);
	}
	return error || out->size ? error : -ENOEXEC;
}

/* ---- the table --------------------------------------------------------------------------- */

static const struct method {
	const char *name;
	uint8_t magic_len;
	uint8_t magic[9];
	int (*unpack)(struct source in, struct sink *out); /* NULL: known, not supported */
} methods[] = {
        {"gzip", 3, {0x1f, 0x8b, 0x08}, unpack_gzip},
        {"xz", 6, {0xfd, '7', 'z', 'X', 'Z', 0}, unpack_xz},
        {"lzma", 3, {0x5d, 0, 0}, unpack_lzma},
        {"lz4", 4, {0x02, 0x21, 0x4c, 0x18}, unpack_lz4},
        {"zstd", 4, {0x28, 0xb5, 0x2f, 0xfd}, unpack_zstd},
        {"bzip2", 3, {'B', 'Z', 'h'}, NULL},
        {"lzo", 9, {0x89, 'L', 'Z', 'O', 0, 0x0d, 0x0a, 0x1a, 0x0a}, NULL},
};

static const struct method *find_method(const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (size >= methods[i].magic_len && !memcmp(data, methods[i].magic, methods[i].magic_len))
			return &methods[i];
	return NULL;
}

const char *image_packing(const uint8_t *data, size_t size)
{
	const struct method *method = find_method(data, size);

	return method ? method->name : NULL;
}

static int explain(int error, const struct method *method, uint64_t max, const struct image_error *err)
{
	switch (error) {
	case -EFBIG:
		return image_fail(err, EFBIG, "the kernel's %s data unpacks to more than %llu MiB; refused",
		                  method->name, (unsigned long long)(max >> 20));
	case -ENOMEM:
		return image_fail(err, ENOMEM, "not enough memory to unpack the kernel's %s data",
		                  method->name);
	default:
		return image_fail(err, ENOEXEC,
		                  "the kernel's %s data is truncated or damaged; copy the file again",
		                  method->name);
	}
}

int image_unpack(struct image_bytes *out, const uint8_t *data, size_t size, uint64_t hint, uint64_t max,
                 const struct image_error *err)
{
	const struct method *method = find_method(data, size);
	struct sink sink;
	int error;

	if (!method)
		return image_fail(err, ENOEXEC, "the kernel is packed by a method that is not known here");
	if (!method->unpack)
		return image_fail(err, ENOEXEC,
		                  "the kernel is packed with %s, which is not supported; use one packed "
		                  "with gzip, xz, lzma, lz4 or zstd, or its vmlinux",
		                  method->name);
	error = sink_init(&sink, hint, max);
	if (error)
		return explain(error, method, max, err);
	error = method->unpack((struct source){data, size}, &sink);
	if (!error && sink.size == sink.max)
		error = -EFBIG;
	if (error) {
		munmap(sink.data, sink.capacity);
		return explain(error, method, max, err);
	}
	*out = (struct image_bytes){sink.data, sink.size, sink.capacity, false};
	return 0;
}
