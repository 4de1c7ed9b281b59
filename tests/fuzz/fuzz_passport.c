/*
 * tests/fuzz/fuzz_passport.c - any bytes as what one process of pgweir tells another of a client. The first byte says
 * what they are: a passport ('c'), SQL ('t') or a pool ('p').
 *
 * Besides memory safety it checks: what was found good can be walked to its end, and lies within the bytes.
 */
#include "restart/passport_form.h"
#include "fuzz.h"

static void
walk_settings(struct passport_part part)
{
	struct image_setting s = { 0 };

	while (passport_next(&part, passport_setting, &s))
		must(strlen(s.name) < SIZE_MAX && strlen(s.value) < SIZE_MAX && s.kind <= IMAGE_REPORTED);
	must(part.len == 0);
}

static void
walk(const struct passport *p)
{
	struct passport_part statements = p->statements, channels = p->channels;
	struct passport_statement s = { 0 };
	const char *channel = NULL;

	must(strlen(p->database) <= PASSPORT_NAME_MAX && strlen(p->user) <= PASSPORT_NAME_MAX);
	must(p->secret_len == 4 || p->secret_len == PASSPORT_SECRET_MAX);
	walk_settings(p->settings);
	walk_settings(p->startup);
	while (passport_next(&statements, passport_statement, &s))
		must(strlen(s.name) < SIZE_MAX);
	must(statements.len == 0);
	while (passport_next(&channels, passport_channel, &channel))
		must(strlen(channel) <= PASSPORT_NAME_MAX);
	must(channels.len == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct passport p;
	struct passport_text t;
	struct passport_pool pool;

	if (size == 0)
		return 0;
	if (data[0] == 'c' && passport_parse(data + 1, size - 1, &p) == 0)
		walk(&p);
	if (data[0] == 't' && passport_parse_text(data + 1, size - 1, &t) == 0)
		must(t.bytes + t.len == data + size && memchr(t.bytes, 0, t.len) == t.bytes + t.query_len);
	if (data[0] == 'p' && passport_parse_pool(data + 1, size - 1, 100, &pool) == 0)
		must(strlen(pool.secret) < size && (pool.keys_len == 0 || pool.keys_len == 100));
	return 0;
}
