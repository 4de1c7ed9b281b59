/* src/console/console_extended.c - Parse, Bind, Describe, Execute, Close. See console_client.h. */
#include "console/console_client.h"

#include "wire/fields.h"
#include "wire/frame.h"
#include "wire/messages.h"

#include <string.h>

static int
malformed(struct fail *why)
{
	return fail_set(why, "08P01", "invalid message format");
}

static int
on_parse(struct console_client *cc, const uint8_t *body, size_t len, struct fail *why)
{
	struct parse_fields f;
	struct command command, more;
	const char *text;
	size_t used, rest;

	if (!fields_parse(body, len, &f))
		return malformed(why);
	text = (const char *)f.rest;
	if (console_read(cc, text, f.query_len, &used, &command, why) < 0)
		return -1;
	while (used < f.query_len) {
		if (console_read(cc, text + used, f.query_len - used, &rest, &more, why) < 0)
			return -1;
		if (command.row == NULL)
			command = more;
		else if (more.row != NULL)
			return fail_set(why, "42601", "cannot insert multiple commands into a prepared statement");
		used += rest;
	}
	if (portal_add(&cc->prepared, f.name, &command, 0, why) == NULL)
		return -1;
	message_put(&cc->out, '1', NULL, 0);
	return 0;
}

/* The rest of a message. */
struct reader {
	const uint8_t *at, *end;
	bool is_bad;
};

static uint16_t
read_u16(struct reader *r)
{
	uint16_t v;

	if (r->end - r->at < 2) {
		r->is_bad = true;
		return 0;
	}
	v = wire_u16(r->at);
	r->at += 2;
	return v;
}

static void
skip_values(struct reader *r, uint16_t count)
{
	for (; count > 0 && !r->is_bad; count--) {
		size_t left = (size_t)(r->end - r->at);
		uint32_t said = left < 4 ? 0 : wire_u32(r->at), len = said == UINT32_MAX ? 0 : said; /* that is NULL */

		r->is_bad = left < 4 || len > left - 4;
		if (!r->is_bad)
			r->at += 4 + (size_t)len;
	}
}

/* No formats: all text; one: for all columns; else one for each. */
static int
read_formats(struct reader *r, size_t column_count, uint64_t *binary, struct fail *why)
{
	uint16_t count = read_u16(r);

	*binary = 0;
	if (count > 1 && count != column_count)
		return fail_set(why, "08P01", "bind message has %u result formats but query has %zu columns", count,
				column_count);
	for (uint16_t i = 0; i < count; i++) {
		uint16_t format = read_u16(r);

		if (format > 1)
			return fail_set(why, "22023", "unsupported format code: %u", format);
		if (format == 1)
			*binary |= count == 1 ? UINT64_MAX : UINT64_C(1) << i;
	}
	return r->is_bad || r->at != r->end ? malformed(why) : 0;
}

static int
on_bind(struct console_client *cc, const uint8_t *body, size_t len, struct fail *why)
{
	struct reader r = { body, body + len, false };
	const char *portal, *name;
	const struct column *columns;
	struct portal *prepared;
	struct column scratch;
	size_t names_len;
	uint64_t binary;
	uint16_t count;

	if (!fields_bind(body, len, &portal, &name, &names_len))
		return malformed(why);
	prepared = portal_find(&cc->prepared, name);
	if (prepared == NULL)
		return fail_set(why, "26000", "prepared statement \"%.63s\" does not exist", name);
	r.at += names_len;
	for (count = read_u16(&r); count > 0 && !r.is_bad; count--)
		read_u16(&r); /* formats of parameters */
	count = read_u16(&r);
	if (!r.is_bad && count > 0 && prepared->command.row != NULL &&
	    prepared->command.row->id == COMMAND_SELECT_SET_CONFIG)
		skip_values(&r, count);
	else if (!r.is_bad && count > 0) {
		fail_set(why, "0A000", "console commands take no parameters");
		return fail_hint(why, "Write the value into the command itself.");
	}
	if (read_formats(&r, console_columns(cc->console, &prepared->command, &scratch, &columns), &binary, why) < 0)
		return -1;
	if (portal_add(&cc->portals, portal, &prepared->command, binary, why) == NULL)
		return -1;
	message_put(&cc->out, '2', NULL, 0);
	return 0;
}

static int
no_portal(const char *name, struct fail *why)
{
	return fail_set(why, "34000", "portal \"%.63s\" does not exist", name);
}

static int
on_describe(struct console_client *cc, const uint8_t *body, size_t len, struct fail *why)
{
	const char *name;
	uint8_t kind;

	if (!fields_target(body, len, &kind, &name))
		return malformed(why);
	if (kind == 'S') {
		struct portal *prepared = portal_find(&cc->prepared, name);

		if (prepared == NULL)
			return fail_set(why, "26000", "prepared statement \"%.63s\" does not exist", name);
		message_put(&cc->out, 't', "\0", 2); /* no parameters */
		console_put_description(cc, &prepared->command, 0);
	} else {
		struct portal *portal = portal_find(&cc->portals, name);

		if (portal == NULL)
			return no_portal(name, why);
		console_put_description(cc, &portal->command, portal->binary);
	}
	return 0;
}

static int
begin_portal(struct console_client *cc, struct portal *portal, struct fail *why)
{
	uint64_t count;

	portal->is_begun = true;
	portal->rows.limit = portal_room(&cc->portals);
	if (console_rows(cc, &portal->command, portal->binary, &portal->rows, &count, why) == 0)
		return 0;
	buf_fini(&portal->rows);
	portal->is_done = true;
	return -1;
}

static uint64_t
count_messages(const uint8_t *bytes, size_t len)
{
	uint64_t n = 0;

	for (size_t at = 0; at < len; n++)
		at += 1 + (size_t)wire_u32(bytes + at + 1);
	return n;
}

static int
fetch(struct console_client *cc, struct portal *portal, uint32_t max, struct fail *why)
{
	uint64_t count;
	size_t len;

	if (!portal->is_begun && begin_portal(cc, portal, why) < 0)
		return -1;
	len = portal_next(portal, max);
	count = len > 0 ? count_messages(portal->rows.bytes + portal->rows_at, len) : 0;
	if (len > 0)
		console_send(cc, portal->rows.bytes + portal->rows_at, len);
	portal->rows_at += len;
	/* As in PostgreSQL, where a portal that was asked for as many rows as it has does not know that it is at its
	 * end. */
	if (!portal->is_done && max > 0 && count == max) {
		message_put(&cc->out, 's', NULL, 0);
		return 0;
	}
	console_put_complete(cc, &portal->command, count);
	portal->is_done = true;
	buf_fini(&portal->rows);
	portal->rows_at = 0;
	return 0;
}

static int
on_execute(struct console_client *cc, const uint8_t *body, size_t len, struct fail *why)
{
	const uint8_t *name_end = len > 0 ? memchr(body, 0, len) : NULL;
	struct portal *portal;

	if (name_end == NULL || (size_t)(body + len - name_end) != 5)
		return malformed(why);
	portal = portal_find(&cc->portals, (const char *)body);
	if (portal == NULL)
		return no_portal((const char *)body, why);
	if (portal->command.row == NULL) {
		message_put(&cc->out, 'I', NULL, 0);
		return 0;
	}
	if (console_check_transaction(cc, &portal->command, why) < 0)
		return -1;
	if (portal->command.row->id < COMMAND_WITH_ROWS)
		return fetch(cc, portal, wire_u32(name_end + 1), why);
	if (portal->is_begun)
		return fail_set(why, "55000", "portal \"%.63s\" cannot be run", portal->name);
	portal->is_begun = true;
	return console_run_complete(cc, &portal->command, why) == RUN_FAILED ? -1 : 0;
}

static int
on_close(struct console_client *cc, const uint8_t *body, size_t len, struct fail *why)
{
	struct portals *portals;
	const char *name;
	uint8_t kind;

	if (!fields_target(body, len, &kind, &name))
		return malformed(why);
	portals = kind == 'S' ? &cc->prepared : &cc->portals;
	portal_drop(portals, portal_find(portals, name));
	message_put(&cc->out, '3', NULL, 0);
	return 0;
}

bool
console_holds_execute(struct console_client *cc, uint8_t type, const uint8_t *body, size_t len)
{
	const struct portal *portal;

	if (type != 'E' || cc->is_skipping || memchr(body, '\0', len) == NULL)
		return false;
	portal = portal_find(&cc->portals, (const char *)body);
	return portal != NULL && !portal->is_begun && console_asks_first(cc, &portal->command);
}

int
console_extended(struct console_client *cc, uint8_t type, const uint8_t *body, size_t len, struct fail *why)
{
	switch (type) {
	case 'P':
		return on_parse(cc, body, len, why);
	case 'B':
		return on_bind(cc, body, len, why);
	case 'D':
		return on_describe(cc, body, len, why);
	case 'E':
		return on_execute(cc, body, len, why);
	case 'C':
		return on_close(cc, body, len, why);
	default: /* Flush: answers are never held back. CopyData and the like: without a COPY they are ignored. */
		return 0;
	}
}
