/*
 * tests/fuzz/fuzz_auth_query.c - any bytes as the row that auth_query returned.
 *
 * Besides memory safety it checks: a secret lies within the row, is not empty, has no zero byte and is within its
 * limit; a name in front of it is the one asked for, or NULL.
 */
#include "lookup/auth_query_cache.h"
#include "wire/frame.h"
#include "fuzz.h"

static void
check_name(const uint8_t *body)
{
	if (wire_u16(body) > 1 && wire_u32(body + 2) != UINT32_MAX)
		must(wire_u32(body + 2) == 3 && memcmp(body + 6, "web", 3) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *body = malloc(size + 1); /* of exact size from its second byte on: an overrun is seen */
	struct auth_answer a;
	struct fail why;

	must(body != NULL);
	memcpy(body + 1, data, size);
	if (auth_answer_read(body + 1, size, "web", &a, &why) == 0) {
		check_name(body + 1);
		if (a.secret != NULL) {
			const uint8_t *secret = (const uint8_t *)a.secret;

			must(secret > body && secret + a.secret_len <= body + 1 + size);
			must(a.secret_len > 0 && a.secret_len <= AUTH_SECRET_MAX);
			must(memchr(secret, 0, a.secret_len) == NULL);
		}
	} else
		must(strlen(why.sqlstate) == 5);
	free(body);
	return 0;
}
