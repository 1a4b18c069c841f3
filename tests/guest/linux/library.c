// SPDX-License-Identifier: MIT
/*
 * Work of two libraries on data in memory: zstd at its default level, and what
 * `openssl speed -evp` would do, in pieces of 16 KiB. Both take the best code that
 * the processor says it can run.
 */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "bench.h"

#define PIECE 16384u

static uint8_t block[PIECE], sealed[PIECE];
static EVP_CIPHER_CTX *cipher;

static const char *begin_aes(void)
{
	static const uint8_t key[16] = {1}, iv[12] = {2};

	cipher = EVP_CIPHER_CTX_new();
	if (!cipher || EVP_EncryptInit_ex(cipher, EVP_aes_128_gcm(), NULL, key, iv) != 1)
		return "no AES-GCM in OpenSSL";
	return NULL;
}

static void do_aes(uint32_t n)
{
	int len;

	for (uint32_t i = 0; i < n; i++)
		if (EVP_EncryptUpdate(cipher, sealed, &len, block, PIECE) != 1)
			give_up("EVP_EncryptUpdate");
}

static void end_aes(void)
{
	EVP_CIPHER_CTX_free(cipher);
}

static void do_sha256(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (EVP_Digest(block, PIECE, sealed, NULL, EVP_sha256(), NULL) != 1)
			give_up("EVP_Digest");
}

static EVP_PKEY *key;
static EVP_MD_CTX *signer;

/* A fixed key: a guest that has just started may have no random numbers yet. */
static const char *begin_sign(void)
{
	static const uint8_t secret[32] = {3};

	key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, sizeof(secret));
	signer = EVP_MD_CTX_new();
	return key && signer ? NULL : "no Ed25519 in OpenSSL";
}

static void do_sign(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		size_t len = sizeof(sealed);

		EVP_MD_CTX_reset(signer);
		if (EVP_DigestSignInit(signer, NULL, NULL, NULL, key) != 1 ||
		    EVP_DigestSign(signer, sealed, &len, block, 32) != 1)
			give_up("EVP_DigestSign");
	}
}

static void end_sign(void)
{
	EVP_MD_CTX_free(signer);
	EVP_PKEY_free(key);
}

/* Words of a small vocabulary, the frequent ones more often, as in text: packs to about a third. */
#define TEXT (1u << 20)

static uint8_t *text, *packed;
static size_t packed_len, packed_most;

static void write_text(void)
{
	uint64_t state = 88172645463325252ull;
	size_t at = 0;

	while (at < TEXT) {
		uint32_t word, len;

		state ^= state << 13, state ^= state >> 7, state ^= state << 17;
		word = (uint32_t)(state % 4096) * (uint32_t)(state >> 20 & 4095) / 4096;
		for (len = 2 + word % 9; len && at < TEXT; len--, word = word * 2654435761u + len)
			text[at++] = (uint8_t)('a' + (word >> 8) % 26);
		if (at < TEXT)
			text[at++] = ' ';
	}
}

static const char *begin_zstd(void)
{
	packed_most = ZSTD_compressBound(TEXT);
	text = malloc(TEXT);
	packed = malloc(packed_most);
	if (!text || !packed)
		return "no memory";
	write_text();
	packed_len = ZSTD_compress(packed, packed_most, text, TEXT, 3);
	return ZSTD_isError(packed_len) ? ZSTD_getErrorName(packed_len) : NULL;
}

static void do_zstd(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (ZSTD_isError(ZSTD_compress(packed, packed_most, text, TEXT, 3)))
			give_up("ZSTD_compress");
}

static void do_unzstd(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (ZSTD_decompress(text, TEXT, packed, packed_len) != TEXT)
			give_up("ZSTD_decompress");
}

static void end_zstd(void)
{
	free(text);
	free(packed);
}

const struct workload library_workloads[] = {
        {"zstd-compress", UNIT_MB_S, do_zstd, .bytes = TEXT, .begin = begin_zstd, .end = end_zstd},
        {"zstd-decompress", UNIT_MB_S, do_unzstd, .bytes = TEXT, .begin = begin_zstd, .end = end_zstd},
        {"openssl-aes-gcm", UNIT_MB_S, do_aes, .bytes = PIECE, .begin = begin_aes, .end = end_aes},
        {"openssl-sha256", UNIT_MB_S, do_sha256, .bytes = PIECE},
        {"openssl-ed25519-sign", UNIT_OPS_S, do_sign, .begin = begin_sign, .end = end_sign},
        {0},
};
