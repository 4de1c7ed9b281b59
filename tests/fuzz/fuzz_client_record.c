/*
 * tests/fuzz/fuzz_client_record.c - any bytes as what one process of pgweir tells another of a client. The first byte
 * says what they are: a client record ('c'), SQL ('t') or a pool ('p').
 *
 * Besides memory safety it checks: what was found good can be walked to its end, and lies within the bytes.
 */
#include "restart/client_record_form.h"
#include "fuzz.h"

static void
walk_settings(struct client_record_part part)
{
	struct guc s = { 0 };

	while (client_record_next(&part, client_record_item_setting, &s))
		must(strlen(s.name) < SIZE_MAX && strlen(s.value) < SIZE_MAX && s.kind <= GUC_REPORTED);
	must(part.len == 0);
}

static void
walk(const struct client_record *p)
{
	struct client_record_part statements = p->statements, channels = p->channels;
	struct client_record_statement s = { 0 };
	const char *channel = NULL;

	must(strlen(p->database) <= CLIENT_RECORD_NAME_MAX && strlen(p->user) <= CLIENT_RECORD_NAME_MAX);
	must(p->secret_len == 4 || p->secret_len == CLIENT_RECORD_SECRET_MAX);
	walk_settings(p->settings);
	walk_settings(p->startup);
	while (client_record_next(&statements, client_record_item_statement, &s))
		must(strlen(s.name) < SIZE_MAX);
	must(statements.len == 0);
	while (client_record_next(&channels, client_record_item_channel, &channel))
		must(strlen(channel) <= CLIENT_RECORD_NAME_MAX);
	must(channels.len == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct client_record p;
	struct client_record_text t;
	struct client_record_pool pool;

	if (size == 0)
		return 0;
	if (data[0] == 'c' && client_record_parse(data + 1, size - 1, &p) == 0)
		walk(&p);
	if (data[0] == 't' && client_record_parse_text(data + 1, size - 1, &t) == 0)
		must(t.bytes + t.len == data + size && memchr(t.bytes, 0, t.len) == t.bytes + t.query_len);
	if (data[0] == 'p' && client_record_parse_pool(data + 1, size - 1, 100, &pool) == 0)
		must(strlen(pool.secret) < size && (pool.keys_len == 0 || pool.keys_len == 100));
	return 0;
}
