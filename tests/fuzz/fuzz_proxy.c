/*
 * tests/fuzz/fuzz_proxy.c - any bytes as the PROXY protocol header of a load balancer, whole and in every cut.
 *
 * Holds besides memory: a cut says PARTIAL or what the whole says; a header is no longer than it may be, and only bytes
 * that look like one are taken for one.
 */
#include "wire/proxy.h"
#include "fuzz.h"

/* From memory of exactly that size: a sanitizer sees a byte too far. */
static enum proxy_result
parse_exact(const uint8_t *data, size_t len, struct proxy_header *out)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	struct fail why = { 0 };
	enum proxy_result result;

	must(copy != NULL);
	memcpy(copy, data, len);
	result = proxy_parse(copy, len, out, &why);
	if (result == PROXY_BAD)
		must(strcmp(why.sqlstate, "08P01") == 0 && why.text[0] != '\0');
	free(copy);
	return result;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_header whole, part;
	enum proxy_result result = parse_exact(data, size, &whole);

	if (result == PROXY_OK) {
		must(proxy_is_header(data, size) && whole.len <= size && whole.len <= PROXY_V2_MAX);
		must(!whole.has_source || whole.source.any.sa_family == AF_INET ||
		     whole.source.any.sa_family == AF_INET6);
	}
	for (size_t len = 0; len < size && len <= PROXY_V2_MAX; len++) {
		enum proxy_result cut = parse_exact(data, len, &part);

		must(cut == PROXY_PARTIAL || cut == result);
		if (cut == PROXY_OK)
			must(part.len == whole.len && memcmp(&part.source, &whole.source, sizeof(part.source)) == 0);
	}
	return 0;
}
