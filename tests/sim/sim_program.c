/*
 * tests/sim/sim_program.c - see sim.h. What an application sends next: mostly sense, sometimes mistakes, never what
 * breaks the protocol. In texts ~ is a token (session_text.h), %n one of three names, %p one of two savepoints, %c a
 * channel (its own, or the one of all), %d a small number, %h a name of the database's code, %l many bytes.
 */
#include "sim.h"

#include "wire/messages.h"

#include <stdio.h>
#include <string.h>

#define RUN_CODE "SELECT '~' FROM %h"
#define NEW_STEPS 250 /* since code was made: so long most clients run it */

enum when { ANY, OUT, IN, NEVER };
enum needs { NOTHING, HIDDEN, LISTEN, ROLES, SEQUENCE, CODE, BULK };

static const struct text {
	const char *sql;
	uint8_t weight, when, needs;
} texts[] = {
	{ "SELECT '~'", 30, ANY, NOTHING },
	{ "SELECT 'of all'", 3, ANY, NOTHING },
	{ "SELECT '~' rows %d wide 90", 5, ANY, NOTHING },
	{ "SELECT '~' rows 20 wide 3000", 1, ANY, NOTHING },
	{ "SELECT '~'; SELECT '~'", 3, ANY, NOTHING },
	{ "SELECT '~'; SELECT wrong; SELECT '~'", 2, ANY, NOTHING },
	{ "ERROR '~'", 3, ANY, NOTHING },
	{ "SELECT '~ \xff'", 1, ANY, NOTHING },
	{ "", 1, ANY, NOTHING },
	{ "INSERT INTO t VALUES ('~')", 5, ANY, NOTHING },
	{ "UPDATE t SET a = '~'", 3, ANY, NOTHING },
	{ "BEGIN", 14, OUT, NOTHING },
	{ "BEGIN; SELECT '~'; COMMIT", 2, OUT, NOTHING },
	{ "BEGIN; SET a.%n = '~'; SELECT wrong; COMMIT", 1, OUT, NOTHING },
	{ "SET a.%n = '~'; SELECT wrong", 1, ANY, NOTHING },
	{ "COMMIT", 14, IN, NOTHING },
	{ "ROLLBACK", 8, IN, NOTHING },
	{ "COMMIT -- wrong", 2, IN, NOTHING },
	{ "COMMIT", 1, OUT, NOTHING },
	{ "SAVEPOINT %p", 4, IN, NOTHING },
	{ "ROLLBACK TO %p", 4, IN, NOTHING },
	{ "RELEASE %p", 2, IN, NOTHING },
	{ "SET DateStyle = 'German'", 1, ANY, NOTHING },
	{ "SET application_name TO '~'", 3, ANY, NOTHING },
	{ "SET TimeZone TO 'Asia/Tokyo'", 2, ANY, NOTHING },
	{ "SET a.%n = '~'", 5, ANY, NOTHING },
	{ "SET a.%n = '~\xc3\xbc'", 3, ANY, NOTHING },
	{ "SET client_encoding = 'LATIN1'", 1, ANY, NOTHING },
	{ "SET client_encoding TO UTF8", 1, ANY, NOTHING },
	{ "SET LOCAL a.%n = '~'", 2, ANY, NOTHING },
	{ "SET LOCAL application_name = '~'", 2, IN, NOTHING },
	{ "SELECT set_config('a.%n', '~', false)", 2, ANY, NOTHING },
	{ "RESET a.%n", 2, ANY, NOTHING },
	{ "RESET application_name", 1, ANY, NOTHING },
	{ "RESET ALL", 1, ANY, NOTHING },
	{ "SHOW a.%n", 6, ANY, NOTHING },
	{ "SHOW application_name", 3, ANY, NOTHING },
	{ "SHOW DateStyle", 1, ANY, NOTHING },
	{ "SHOW TimeZone", 1, ANY, NOTHING },
	{ "DISCARD ALL", 1, ANY, NOTHING },
	{ "SET ROLE '~'", 1, ANY, ROLES },
	{ "RESET ROLE", 1, ANY, ROLES },
	{ "PREPARE q%n AS SELECT '~'", 5, ANY, NOTHING },
	{ "EXECUTE q%n", 12, ANY, NOTHING },
	{ "DEALLOCATE q%n", 1, ANY, NOTHING },
	{ "DEALLOCATE ALL", 1, ANY, NOTHING },
	{ "CREATE TEMP TABLE tmp (a int)", 2, ANY, NOTHING },
	{ "SELECT '~' FROM tmp", 3, ANY, NOTHING },
	{ "DROP TABLE tmp", 3, ANY, NOTHING },
	{ "SELECT pg_advisory_lock(1), '~'", 1, ANY, NOTHING },
	{ "SELECT pg_advisory_unlock(1), '~'", 2, ANY, NOTHING },
	{ "DECLARE held CURSOR WITH HOLD FOR SELECT '~'", 1, ANY, NOTHING },
	{ "FETCH 1 FROM held", 2, ANY, NOTHING },
	{ "CLOSE held", 2, ANY, NOTHING },
	{ "COPY t FROM STDIN", 3, ANY, NOTHING },
	{ "COPY t TO STDOUT rows %d '~'", 2, ANY, NOTHING },
	{ "SELECT '~' sleep", 3, ANY, NOTHING },
	{ "LISTEN %c", 4, ANY, LISTEN },
	{ "UNLISTEN %c", 2, ANY, LISTEN },
	{ "UNLISTEN *", 1, ANY, LISTEN },
	{ "NOTIFY %c, '~'", 4, ANY, LISTEN },
	{ "SELECT nextval('s'), '~'", 2, ANY, SEQUENCE },
	{ "SELECT currval('s'), '~'", 2, ANY, SEQUENCE },
	{ "SELECT '~' FROM hidden_lock", 1, ANY, HIDDEN },
	{ "UPDATE t SET a = '~' -- hidden_setting hidden_unnamed", 1, ANY, HIDDEN },
	{ "INSERT INTO t VALUES ('~ hidden_temp')", 1, ANY, HIDDEN },
	{ "SELECT '~' FROM hidden_sql, hidden_plan", 1, ANY, HIDDEN },
	{ "SELECT '~' FROM hidden_seed", 1, ANY, HIDDEN },
	{ "DELETE FROM hidden_cursor WHERE a = '~'", 1, ANY, HIDDEN },
	{ "SELECT '~' FROM hidden_listen", 1, ANY, HIDDEN },
	{ RUN_CODE, 50, ANY, CODE },
	{ "CREATE FUNCTION %h()", 8, ANY, CODE },
	{ "DROP FUNCTION %h()", 5, ANY, CODE },
	{ "COPY t FROM STDIN", 10, ANY, BULK },
	{ "COPY t FROM STDIN; SELECT '~'", 10, ANY, BULK },
	{ "SELECT '~'; COPY t FROM STDIN", 5, ANY, BULK },
	{ "BEGIN; COPY t FROM STDIN; COMMIT", 5, OUT, BULK },
	{ "COPY t TO STDOUT rows %d failing '~'", 5, ANY, BULK },
	{ "SELECT '~' rows 3 wide 200000", 5, ANY, BULK },
	{ "SELECT '~' sleep; SELECT '~'", 5, ANY, BULK },
	{ "SELECT '~ %l'", 8, ANY, BULK },
	{ "INSERT INTO t VALUES ('~ %l')", 5, ANY, BULK },
	{ "SET a.%n = '~'; SELECT '%l'", 2, ANY, BULK },
	{ "SELECT '%l'; SET a.%n = '~'", 2, ANY, BULK },
};

#define COPY_NAME "s4" /* always a COPY, so that the client knows when there is one */

/* Of prepared statements: some are the same for all clients, who share them on servers. */
static const char *const prepared[] = {
	"SELECT 'of all', $1",
	"SELECT '~', $1",
	"INSERT INTO t VALUES ($1)",
	"SELECT 'of all' rows 4",
	"SELECT wrong",
	"SELECT $1 sleep",
	"SET a.x = '~'",
	"BEGIN",
	"COMMIT",
	"UPDATE t SET a=$1",
	"ROLLBACK",
	"SHOW a.x",
	"SELECT 'of all' FROM t",
	"SELECT '~ ' FROM t",
	"",
	"SELECT 'also of all', $1",
};

/* Instead, where clients make code. */
static const char *const prepared_code[] = {
	"CREATE FUNCTION %h()",
	"DROP FUNCTION %h()",
	"SELECT $1 FROM %h",
	"SELECT $1 FROM %h",
};

/* Instead, where clients are bulky. */
static const char *const prepared_bulk[] = {
	"SELECT '~ %l', $1",	    "SELECT $1 rows 3 wide 60000",     "COPY t TO STDOUT rows %d failing",
	"COPY t TO STDOUT rows 20", "INSERT INTO t VALUES ($1, '%l')",
};

/* What they make, and drop. */
static const char *const code_names[] = { "hidden_lock", "hidden_cursor", "hidden_listen", "hidden_seed" };

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Whether code with one of these names does what its name says. */
static bool
is_code(const struct sim_profile *p, const char *sql)
{
	char word[32];

	for (const char *at = strstr(sql, "hidden_"); at != NULL; at = strstr(at + 1, "hidden_")) {
		snprintf(word, sizeof(word), "%.*s", (int)strspn(at, "abcdefghijklmnopqrstuvwxyz_"), at);
		if (strstr(p->options, word) != NULL)
			return true;
		for (size_t i = 0; i < COUNT(code_names) && p->makes_code; i++)
			if (strcmp(word, code_names[i]) == 0)
				return true;
	}
	return false;
}

static bool
suits(const struct sim_client *c, const struct text *t, bool is_in)
{
	const struct sim_profile *p = &c->sim->profile;

	if ((t->when != ANY && (t->when == IN) != is_in) || (p->left_out[(t - texts) / 64] >> ((t - texts) % 64) & 1))
		return false;
	return t->needs == NOTHING || (t->needs == HIDDEN && is_code(p, t->sql)) ||
	       (t->needs == CODE && p->makes_code) || (t->needs == BULK && p->is_bulky) ||
	       (t->needs == LISTEN && p->has_listen) || (t->needs == ROLES && p->has_roles) ||
	       (t->needs == SEQUENCE && !p->has_hidden && !p->is_allowing);
}

static uint32_t
weight_of(const struct sim_client *c, const struct text *t, bool is_in)
{
	static const char *const often[] = { "INSERT", "UPDATE", "BEGIN", "COMMIT" };
	static const char *const contexts[] = { "SET DateStyle", "SET TimeZone", "RESET ALL" };
	const struct sim_profile *p = &c->sim->profile;

	if (!suits(c, t, is_in))
		return 0;
	if (p->has_transfers && strstr(t->sql, "hidden_plan") != NULL)
		return t->weight * 40u;
	for (size_t i = 0; i < COUNT(contexts) && p->has_transfers; i++)
		if (strncmp(t->sql, contexts[i], strlen(contexts[i])) == 0)
			return t->weight * 16u;
	if (t->needs == HIDDEN || t->needs == CODE)
		return t->weight * 4u;
	if (p->is_bulky && t->needs == LISTEN)
		return t->weight * 6u;
	if (p->is_sleepy && strstr(t->sql, " sleep") != NULL)
		return t->weight * 60u;
	if (p->is_wide && strstr(t->sql, " rows ") != NULL)
		return t->weight * 12u;
	if (p->is_sharing && strncmp(t->sql, "SELECT '~'", 10) == 0 && t->needs == NOTHING)
		return t->weight * 20u;
	for (size_t i = 0; i < COUNT(often) && p->is_stormy; i++)
		if (strncmp(t->sql, often[i], strlen(often[i])) == 0)
			return t->weight * 8u;
	return t->weight;
}

void
sim_leave_out(struct sim *s)
{
	_Static_assert(COUNT(texts) <= 128, "each text has a bit");
	for (size_t i = 0; i < COUNT(texts); i++)
		if (texts[i].when == ANY && texts[i].needs != BULK && sim_chance(s, 128))
			s->profile.left_out[i / 64] |= UINT64_C(1) << (i % 64);
	s->profile.left_out[0] &= ~UINT64_C(1); /* something is left */
}

void
sim_leave_out_sessions(struct sim *s)
{
	static const char *const words[] = {
		"SET",	  "RESET",   "SELECT set_config",  "DISCARD",	     "PREPARE",	       "CREATE TEMP",
		"LISTEN", "DECLARE", "SELECT pg_advisory", "SELECT nextval", "SELECT currval", "INSERT"
	};

	for (size_t i = 0; i < COUNT(texts); i++)
		for (size_t k = 0; k < COUNT(words); k++)
			if (strncmp(texts[i].sql, words[k], strlen(words[k])) == 0 && sim_chance(s, 220))
				s->profile.left_out[i / 64] |= UINT64_C(1) << (i % 64);
}

/* Returns true for SQL that leaves something in the session, or reads that. */
static bool
is_of_session(const char *sql)
{
	static const char *const words[] = { "SET",  "SHOW", "DISCARD", "PREPARE", "EXECUTE",	"DEALLOCATE",
					     "TEMP", " tmp", "lock",	"held",	   "set_config" };

	for (size_t i = 0; i < COUNT(words); i++)
		if (strstr(sql, words[i]) != NULL)
			return true;
	return false;
}

void
sim_allow_sessions(struct sim *s)
{
	for (size_t i = 0; i < COUNT(texts); i++)
		if (is_of_session(texts[i].sql))
			s->profile.left_out[i / 64] |= UINT64_C(1) << (i % 64);
	s->profile.is_allowing = true;
	s->profile.has_hidden = s->profile.has_roles = s->profile.has_listen = s->profile.makes_code = false;
}

static const char *
choose_text(struct sim_client *c)
{
	bool is_in = c->is_in;
	uint32_t sum = 0, at;

	if (c->sim->made != 0 && c->sim->step - c->sim->made_step < NEW_STEPS && sim_chance(c->sim, 160))
		return RUN_CODE;
	for (size_t i = 0; i < COUNT(texts); i++)
		sum += weight_of(c, &texts[i], is_in);
	at = sim_below(c->sim, sum);
	for (size_t i = 0;; i++) {
		uint32_t weight = weight_of(c, &texts[i], is_in);

		if (at < weight)
			return texts[i].sql;
		at -= weight;
	}
}

static void
put_channel(struct sim_client *c, struct buf *b)
{
	int of = sim_chance(c->sim, 128) ? c->f->letter - 'A' + 'a' : 'z'; /* as PostgreSQL reads capitals, too */

	buf_printf(b, "ch%c", of);
}

/* CREATE makes what is not there, if anything is missing; all else is about what was made last. */
static void
put_code_name(struct sim *s, struct buf *b, bool is_made)
{
	uint32_t first = sim_below(s, COUNT(code_names)), at = first;

	for (uint32_t i = 0; i < COUNT(code_names); i++) {
		unsigned part = state_words(code_names[(first + i) % COUNT(code_names)]);

		if (is_made ? (s->world.fake.code & part) == 0 : (s->made & part) != 0)
			at = (first + i) % COUNT(code_names);
	}
	buf_printf(b, "%s", code_names[at]);
}

/* About as many as fit into a buffer, or several. */
static void
put_bytes(struct sim_client *c, struct buf *b)
{
	static const uint32_t limits[] = { 200, 5000, 20000, 70000 };
	size_t len = 1 + sim_below(c->sim, limits[sim_below(c->sim, 4)]);
	uint8_t *room = buf_room(b, len);

	must(room != NULL);
	memset(room, 'y', len);
	b->len += len;
}

/* A text with its tokens and names, terminated. */
static void
put_sql(struct sim_client *c, struct buf *b, const char *sql)
{
	for (const char *at = sql; *at != '\0'; at++) {
		if (*at != '%') {
			text_unescape(b, at, 1, c->f->letter, &c->f->sequence);
			continue;
		}
		switch (*++at) {
		case 'n':
			buf_put_u8(b, (uint8_t)('x' + sim_below(c->sim, 3)));
			break;
		case 'p':
			buf_put_u8(b, (uint8_t)('s' + sim_below(c->sim, 2)));
			break;
		case 'h':
			put_code_name(c->sim, b, *sql == 'C');
			break;
		case 'l':
			put_bytes(c, b);
			break;
		case 'd':
			buf_printf(b, "%u", (unsigned)sim_below(c->sim, 6));
			break;
		default:
			put_channel(c, b);
		}
	}
	buf_put_u8(b, 0);
	must(buf_ok(b));
}

static void
note_channel(struct sim_client *c, const char *sql)
{
	const char *at = strstr(sql, "LISTEN ch");

	if (at != NULL)
		c->listened |= UINT64_C(1) << (at[9] - 'a');
}

/* What it may have begun with this. */
static void
note_text(struct sim_client *c, const char *sql)
{
	note_channel(c, sql);
	c->is_copying |= strstr(sql, "FROM STDIN") != NULL;
	if (strstr(sql, "BEGIN") != NULL)
		c->is_in = strstr(sql, "COMMIT") == NULL;
	else if (strncmp(sql, "COMMIT", 6) == 0 || strcmp(sql, "ROLLBACK") == 0)
		c->is_in = false;
}

void
sim_say(struct sim_client *c, uint8_t type, const void *body, size_t len)
{
	size_t from = c->f->out.len;

	if (!c->is_mid_request && !c->is_copying)
		c->asked_at = c->sim->notice_count;
	if (oracle_is_answered(c) && !c->alone->is_copying) {
		c->asked_us = sim_now();
		c->cancels -= c->may_be_hit_again && c->cancels > 0;
		c->may_be_hit_again = false;
		c->may_fail = c->alone->tx != 'I';
	}
	c->may_fail |= type == 'B' || (type == 'Q' && memmem(body, len, "BEGIN", 5) != NULL);
	message_put(&c->f->out, type, body, len);
	sim_trace_text('c', (unsigned)c->f->letter, "->", c->f->out.bytes + from, c->f->out.len - from);
	oracle_sent(c, c->f->out.bytes + from, c->f->out.len - from);
	c->is_mid_request = type != 'S' && (c->is_mid_request || strchr("PBDECH", type) != NULL);
}

static void
say_buf(struct sim_client *c, uint8_t type, struct buf *b)
{
	must(buf_ok(b));
	sim_say(c, type, b->bytes, b->len);
	buf_fini(b);
}

static void
say_text(struct sim_client *c, uint8_t type, const char *sql)
{
	struct buf b = { 0 };

	put_sql(c, &b, sql);
	note_text(c, (const char *)b.bytes);
	say_buf(c, type, &b);
}

/* Data of a COPY, and its end; what the server does not expect it ignores. */
static void
say_data(struct sim_client *c)
{
	static const char wrong[] = "wrong";
	char data[200];

	memset(data, 'd', sizeof(data));
	for (uint32_t i = sim_below(c->sim, 4); i > 0; i--) {
		struct buf b = { 0 };

		if (c->sim->profile.is_bulky && sim_chance(c->sim, 40))
			sim_say(c, 'd', wrong, sizeof(wrong));
		if (c->sim->profile.is_bulky && sim_chance(c->sim, 100)) {
			put_bytes(c, &b);
			say_buf(c, 'd', &b);
		} else
			sim_say(c, 'd', data, sim_below(c->sim, sizeof(data)));
	}
	if (sim_chance(c->sim, 40)) {
		say_text(c, 'f', "no");
		c->is_copying = false;
	} else if (sim_chance(c->sim, 220)) {
		sim_say(c, 'c', "", 0);
		c->is_copying = false;
	}
}

static void
put_name(struct sim_client *c, struct buf *b)
{
	uint32_t n = sim_below(c->sim, 5);

	if (n > 1)
		buf_printf(b, "s%u", (unsigned)n);
	buf_put_u8(b, 0);
}

/* Whether its last Parse of that name, which may have failed, had a parameter. */
static bool *
takes_value(struct sim_client *c, const char *name)
{
	return &c->takes_value[name[0] == '\0' ? 0 : (unsigned)name[1] % COUNT(c->takes_value)];
}

static void
say_parse(struct sim_client *c, const char *name)
{
	struct buf b = { 0 };
	const char *sql = prepared[sim_below(c->sim, COUNT(prepared))];

	if (strcmp(name, COPY_NAME) == 0)
		sql = "COPY t FROM STDIN";
	else if (c->sim->profile.is_sleepy && sim_chance(c->sim, 80))
		sql = "SELECT $1 sleep";
	else if (c->sim->profile.is_bulky && sim_chance(c->sim, 60))
		sql = prepared_bulk[sim_below(c->sim, COUNT(prepared_bulk))];
	else if (c->sim->profile.is_bulky && c->sim->profile.has_listen && sim_chance(c->sim, 20))
		sql = sim_chance(c->sim, 180) ? "LISTEN %c" : "UNLISTEN %c";
	else if (c->sim->profile.makes_code && sim_chance(c->sim, 40))
		sql = prepared_code[sim_below(c->sim, COUNT(prepared_code))];
	if (c->sim->profile.is_allowing && is_of_session(sql))
		sql = prepared[0];
	buf_put_str(&b, name);
	*takes_value(c, name) = strstr(sql, "$1") != NULL;
	put_sql(c, &b, sql);
	note_channel(c, (const char *)b.bytes + strlen(name) + 1);
	buf_put_u16(&b, 0);
	say_buf(c, 'P', &b);
}

static void
say_bind(struct sim_client *c, const char *portal, const char *name)
{
	struct buf b = { 0 }, value = { 0 };

	text_unescape(&value, "~", 1, c->f->letter, &c->f->sequence);
	if (c->sim->profile.is_bulky && sim_chance(c->sim, 60))
		put_bytes(c, &value);
	buf_put_str(&b, portal);
	buf_put_str(&b, name);
	buf_put_u16(&b, 0);
	buf_put_u16(&b, *takes_value(c, name));
	if (*takes_value(c, name)) {
		buf_put_u32(&b, (uint32_t)value.len);
		buf_put(&b, value.bytes, value.len);
	}
	buf_put_u16(&b, 0);
	buf_fini(&value);
	say_buf(c, 'B', &b);
}

static void
say_of(struct sim_client *c, uint8_t type, char kind, const char *name)
{
	struct buf b = { 0 };

	buf_put_u8(&b, (uint8_t)kind);
	buf_put_str(&b, name);
	say_buf(c, type, &b);
}

static void
say_execute(struct sim_client *c, const char *portal)
{
	struct buf b = { 0 };

	buf_put_str(&b, portal);
	buf_put_u32(&b, sim_chance(c->sim, 60) ? 1 + sim_below(c->sim, 2) : 0);
	say_buf(c, 'E', &b);
}

/*
 * While requests are under way pgweir doesn't know yet that their transaction has failed, and answers a Parse of what
 * the server has; PostgreSQL would refuse it (25P02), as it does each message behind it.
 */
static bool
may_parse(struct sim_client *c, const char *name)
{
	return name[0] == '\0' || !c->may_fail || oracle_is_answered(c);
}

/* An unnamed statement over max_statement_size, as many of a bulky client's are, is kept up to its first Bind. */
static bool
is_kept_once(const struct sim_client *c)
{
	return c->sim->profile.is_bulky && strstr(c->sim->profile.options, "short") != NULL;
}

/* Some of Parse, Bind, Describe, Execute, Close; no Sync. */
static void
say_unit(struct sim_client *c)
{
	struct sim *s = c->sim;
	struct buf name = { 0 };
	const char *statement, *portal = sim_chance(s, 40) ? "p" : "";
	bool is_copy;

	put_name(c, &name);
	statement = (const char *)name.bytes;
	is_copy = strcmp(statement, COPY_NAME) == 0;
	if (may_parse(c, statement) &&
	    (sim_chance(s, statement[0] == '\0' ? 200 : 90) || (statement[0] == '\0' && is_kept_once(c))))
		say_parse(c, statement);
	/* In a transaction that has failed PostgreSQL describes what has no rows; pgweir, if it was described before.
	 */
	if (!c->may_fail && sim_chance(s, 40))
		say_of(c, 'D', 'S', statement);
	if (sim_chance(s, 230)) {
		say_bind(c, portal, statement);
		if (sim_chance(s, 100))
			say_of(c, 'D', 'P', portal);
		for (uint32_t i = sim_chance(s, 40) && !is_copy ? 2 : 1; i > 0; i--)
			say_execute(c, portal);
		c->is_copying = is_copy;
		if (sim_chance(s, 20) || is_copy)
			say_data(c);
	} else if (s->profile.is_bulky) {
		say_execute(c, portal); /* of a portal that was bound before, if there is one */
	}
	if (!c->is_copying && sim_chance(s, 20))
		say_of(c, 'C', 'P', portal);
	if (!c->is_copying && sim_chance(s, 30))
		say_of(c, 'C', 'S', statement);
	buf_fini(&name);
}

static void
say_extended(struct sim_client *c)
{
	do {
		say_unit(c);
		if (sim_chance(c->sim, 20))
			sim_say(c, 'H', "", 0);
	} while (!c->is_copying && sim_chance(c->sim, 50));
	if (!c->is_copying && sim_chance(c->sim, c->sim->profile.is_sleepy ? 180 : 235))
		sim_say(c, 'S', "", 0);
}

/* What drivers send to run one statement, which all prepare under one name, or none does. */
static void
say_read(struct sim_client *c)
{
	static const char *const reads[] = { "SELECT '~', $1", "SELECT 'of all', $1", "SELECT $1 sleep", "SELECT wrong",
					     "SELECT 'analysed', $1" };
	struct sim *s = c->sim;
	bool is_named = sim_chance(s, 128);
	struct buf b = { 0 };

	if (!is_named || (may_parse(c, "read") && sim_chance(s, 50))) {
		buf_put_str(&b, is_named ? "read" : "");
		put_sql(c, &b, is_named ? reads[1] : reads[sim_below(s, COUNT(reads))]);
		buf_put_u16(&b, 0);
		say_buf(c, 'P', &b);
	}
	say_bind(c, "", is_named ? "read" : "");
	if (sim_chance(s, 200))
		say_of(c, 'D', 'P', "");
	sim_say(c, 'E', "\0\0\0\0", 5);
	sim_say(c, 'S', "", 0);
}

static void
say_simple(struct sim_client *c)
{
	struct sim *s = c->sim;

	if (sim_chance(s, s->profile.is_bulky ? 16 : 6)) {
		sim_say(c, 'F', s->profile.is_bulky && sim_chance(s, 80) ? "\0\0\0\1" : "\0\0\0\0", 4);
	} else {
		say_text(c, 'Q', choose_text(c));
		if (c->is_copying)
			say_data(c);
	}
}

void
sim_say_something(struct sim_client *c)
{
	if (c->is_copying) {
		say_data(c);
		if (!c->is_copying && c->is_mid_request)
			sim_say(c, 'S', "", 0);
	} else if (c->is_mid_request && sim_chance(c->sim, 128)) {
		sim_say(c, 'S', "", 0);
	} else if (c->is_mid_request && c->sim->profile.is_bulky &&
		   sim_chance(c->sim, 60)) { /* it does not wait for a Sync */
		say_simple(c);
	} else if (c->is_mid_request || sim_chance(c->sim, c->sim->profile.is_sharing ? 20 : 100)) {
		say_extended(c);
	} else if (c->sim->profile.is_sharing && !c->is_in && sim_chance(c->sim, 100))
		say_read(c);
	else
		say_simple(c);
	c->sim->requests++;
}

void
sim_say_end(struct sim_client *c)
{
	if (c->is_copying || c->alone->is_copying) {
		sim_say(c, 'c', "", 0);
		c->is_copying = false;
	} else if (c->is_mid_request)
		sim_say(c, 'S', "", 0);
	else if (c->alone->tx != 'I')
		say_text(c, 'Q', "ROLLBACK");
}
