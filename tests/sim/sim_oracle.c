/*
 * tests/sim/sim_oracle.c - see sim.h. Each message that a client gets is compared with the next one that its session
 * alone would have sent. What has no fixed place (ParameterStatus, notices, notifications) is checked apart:
 *
 *   ParameterStatus  at each ReadyForQuery outside of a transaction both have told the same values
 *   notifications    only of channels that the client has listened on, in the order of commits, and each once; where no
 *                    connection is lost or closed, at each ReadyForQuery outside of a transaction all have come that
 *                    were committed before its request, if no other request was sent since
 *
 * Two things are not fixed by the client's messages: whether a cancel hits, which the client's own answer decides; and
 * what becomes of clients of a server that breaks, who may be lost, but with an error of one of a few kinds.
 */
#include "sim.h"

#include "base/clock.h"
#include "client/clients.h"
#include "wire/frame.h"
#include "wire/messages.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

void
oracle_begin(struct sim_client *c)
{
	oracle_end(c);
	fake_init(&c->mirror, -1, &c->sim->world.fake.verifier);
	c->mirror.code = c->sim->world.fake.code;
	c->mirror.is_leaky = true; /* it is alone */
	c->mirror.sent_max = SIZE_MAX;
	c->mirror.reports_at_once = c->sim->world.fake.reports_at_once;
	c->is_due = c->is_prepared = c->has_refused_end = c->is_unserved = false;
	c->is_mid_request = c->is_in = c->may_fail = c->is_copying = c->is_ending = c->is_excused = c->is_closed =
	    false;
	c->cancels = 0;
	c->has_cancelled = false;
	c->base = c->seen = c->f->sequence;
	c->listened = 0;
	c->noticed = c->sim->notice_count;
	memset(c->listening, 0, sizeof(c->listening));
	c->stopped_us = 0;
	c->asked_us = c->came_us = c->heard_us = sim_now();
	memset(c->told, 0, sizeof(c->told));
	memset(c->expected, 0, sizeof(c->expected));
}

void
oracle_end(struct sim_client *c)
{
	if (c->alone != NULL) {
		fake_conn_free(c->alone);
		buf_fini(&c->mirror.characters);
	}
	c->alone = NULL;
	c->expected_at = 0;
	c->unfed.len = c->unfed_at = 0;
}

void
oracle_sent(struct sim_client *c, const void *bytes, size_t len)
{
	buf_put(&c->unfed, bytes, len);
	must(buf_ok(&c->unfed));
}

/* The next message that its session has not got; false: it has all. */
static bool
next_unfed(const struct sim_client *c, struct frame *f)
{
	const uint8_t *at = c->unfed.bytes + c->unfed_at;

	if (c->unfed_at == c->unfed.len)
		return false;
	must(frame_parse(at, c->unfed.len - c->unfed_at, f) == FRAME_OK);
	return true;
}

/* Tokens have ascending numbers. */
static void
note_seen(struct sim_client *c, const uint8_t *bytes, size_t len)
{
	const uint8_t *at = bytes, *end = bytes + len;

	while ((at = memmem(at, (size_t)(end - at), "@@", 2)) != NULL && (at += 2) + 2 < end) {
		uint32_t n = (uint32_t)strtoul((const char *)at + 1, NULL, 10);

		if (n > c->seen && at[0] == (uint8_t)c->f->letter)
			c->seen = n;
	}
}

/*
 * begin = deferred: a BEGIN alone is answered without a server, and so is what nobody answers, or a Sync, behind it. If
 * the server is lost before it has run anything of the request behind it, another one is sent the BEGIN, too. A
 * DEALLOCATE ALL runs nothing there, either, because pgweir answers it.
 */
static void
note_begin(struct sim_client *c, uint8_t type, const char *body)
{
	bool prepares = strchr("PDC", type) != NULL || (type == 'Q' && strcmp(body, "DEALLOCATE ALL") == 0);

	if (type == 'Q' && c->alone->tx == 'I') {
		c->is_due = strcmp(body, "BEGIN") == 0 && strstr(c->sim->profile.options, "deferred") != NULL;
		c->is_prepared = false;
	} else if (strchr("Hdcf", type) == NULL && (type != 'S' || !c->is_due)) {
		c->is_prepared = prepares && (c->is_due || c->is_prepared);
		c->is_due = false;
	}
}

static void
feed(struct sim_client *c, const uint8_t *bytes, size_t len)
{
	size_t from = c->alone->out.len;

	note_seen(c, bytes, len);
	note_begin(c, bytes[0], (const char *)bytes + FRAME_HEAD_LEN);
	fake_feed(c->alone, bytes, len);
	c->is_unserved &= c->alone->tx == 'E';
	sim_trace_text('m', (unsigned)c->f->letter, "is sent", bytes, len);
	if (c->alone->out.len > from)
		sim_trace_text('m', (unsigned)c->f->letter, "answers", c->alone->out.bytes + from,
			       c->alone->out.len - from);
}

static void
drop_unfed(struct sim_client *c, const struct frame *f)
{
	c->unfed_at += FRAME_HEAD_LEN + (size_t)f->body_len;
	if (c->unfed_at == c->unfed.len)
		c->unfed_at = c->unfed.len = 0;
}

static void
note_report(char reports[REPORTS][SIM_REPORT_LEN], const uint8_t *body, size_t len)
{
	const char *name = (const char *)body, *value = name + strlen(name) + 1;

	must(len > 1 && body[len - 1] == 0 && value < name + len);
	for (size_t i = 0; i < REPORTS; i++)
		if (strcasecmp(name, sql_report_name(i)) == 0)
			snprintf(reports[i], SIM_REPORT_LEN, "%s", value);
}

/* The next message of the session alone; what has no fixed place is noted. False: there is none now. */
static bool
next_answer(struct sim_client *c, uint8_t *type, const uint8_t **body, size_t *len)
{
	struct buf *out = &c->alone->out;
	struct frame f;

	while (out->len - c->expected_at >= FRAME_HEAD_LEN) {
		const uint8_t *at = out->bytes + c->expected_at;

		must(frame_parse(at, out->len - c->expected_at, &f) == FRAME_OK);
		*type = f.type;
		*body = at + FRAME_HEAD_LEN;
		*len = f.body_len;
		if (f.type != 'S' && f.type != 'N' && f.type != 'A')
			return true;
		if (f.type == 'S')
			note_report(c->expected, *body, *len);
		c->expected_at += FRAME_HEAD_LEN + (size_t)f.body_len;
	}
	return false;
}

/* The same; what was sent is fed to the session until there is one. */
static bool
next_expected(struct sim_client *c, uint8_t *type, const uint8_t **body, size_t *len)
{
	struct frame f;

	while (!next_answer(c, type, body, len)) {
		const uint8_t *at = c->unfed.bytes + c->unfed_at;

		if (c->alone->is_asleep || !next_unfed(c, &f))
			return false;
		feed(c, at, FRAME_HEAD_LEN + (size_t)f.body_len);
		drop_unfed(c, &f);
	}
	return true;
}

static void
consume(struct sim_client *c, size_t len)
{
	c->expected_at += FRAME_HEAD_LEN + len;
	if (c->expected_at == c->alone->out.len)
		c->expected_at = c->alone->out.len = 0;
	else if (c->expected_at > 65536) {
		buf_drop_front(&c->alone->out, c->expected_at);
		c->expected_at = 0;
	}
}

/* Messages that nobody answers, but for data of a COPY, of which one may fail. */
static void
feed_silent(struct sim_client *c)
{
	struct frame f;

	while (!c->alone->is_asleep && next_unfed(c, &f) &&
	       (strchr("dH", f.type) != NULL || (strchr("cf", f.type) != NULL && !c->alone->is_copying) ||
		(f.type != 'S' && c->alone->is_skipping && !c->alone->is_copying))) {
		feed(c, c->unfed.bytes + c->unfed_at, FRAME_HEAD_LEN + (size_t)f.body_len);
		drop_unfed(c, &f);
	}
}

bool
oracle_is_answered(struct sim_client *c)
{
	const uint8_t *body;
	uint8_t type;
	size_t len;

	if (c->alone == NULL || c->f->out.len > 0 || next_answer(c, &type, &body, &len))
		return false;
	feed_silent(c);
	return c->unfed.len == 0 && !c->alone->is_asleep && !next_answer(c, &type, &body, &len);
}

static void
sqlstate_of(const uint8_t *body, size_t len, char out[static 6])
{
	static const struct {
		char text[60], state[6]; /* with compat = pgbouncer: its words for what has another state without */
	} theirs[] = {
		{ "no more connections allowed (max_client_conn)", "53300" },
		{ "query_timeout", "57014" },
		{ "query timeout", "57014" },
		{ "query_wait_timeout", "53300" },
		{ "transaction timeout", "25P04" },
		{ "idle transaction timeout", "25P03" },
		{ "client_idle_timeout", "57P05" },
		{ "transaction blocks not allowed in statement pooling mode", "0A000" },
	};
	const uint8_t *at = body, *end = body + len;

	memset(out, 0, 6);
	while (at < end && *at != 0) {
		size_t n = strnlen((const char *)at, (size_t)(end - at));

		if (*at == 'C' && n == 6)
			memcpy(out, at + 1, 5);
		for (size_t i = 0; *at == 'M' && strcmp(out, "08P01") == 0 && i < sizeof(theirs) / sizeof(theirs[0]);
		     i++)
			if (strcmp((const char *)at + 1, theirs[i].text) == 0)
				memcpy(out, theirs[i].state, 6);
		at += n + 1;
	}
}

static bool
is_fatal(const uint8_t *body, size_t len)
{
	return memmem(body, len, "VFATAL", 7) != NULL || memmem(body, len, "SFATAL", 7) != NULL;
}

/* --- errors of pgweir's own --- */

static bool
has_word(const struct sim_client *c, const char *word)
{
	return strstr(c->sim->profile.options, word) != NULL;
}

static bool is_late(const struct sim_client *c, const char *state);
static bool may_refuse(const struct sim_client *c, const char *state);

/* With compat = pgbouncer clients that wait are disconnected if PostgreSQL can't be had. */
static bool
is_compatible(const struct sim_client *c)
{
	return has_word(c, "bouncer") || has_word(c, "earlier");
}

/* Its server was lost, or pgweir gave it up as its request or transaction took too long. */
static bool
may_have_lost(const struct sim_client *c)
{
	return c->is_excused || c->sim->profile.is_asking || sim_has_just_lost(c->sim) || is_late(c, "25P04") ||
	       is_late(c, "57014");
}

/* Each with the reason that it must have. */
static bool
may_end(struct sim_client *c, const char *state)
{
	static const char *const losses[] = { "08006", "57P01", "57P05", "08001", "08003", "57P03" };

	for (size_t i = 0; i < sizeof(losses) / sizeof(losses[0]); i++)
		if (strcmp(state, losses[i]) == 0)
			return c->is_excused || c->sim->profile.is_asking || (is_compatible(c) && may_refuse(c, state));
	if (strcmp(state, "0A000") == 0) /* its session would keep a server, or its transaction would */
		return has_word(c, "error") || has_word(c, "statement");
	return may_have_lost(c) && has_word(c, "checked") &&
	       (strcmp(state, "08007") == 0 || strcmp(state, "40001") == 0);
}

/* Limits on time that pgweir enforces: each only when the time is over. */
static bool
is_late(const struct sim_client *c, const char *state)
{
	static const struct {
		const char *state, *word;
		uint64_t least_us;
		bool is_of_request; /* else it counts since something that is not followed here */
	} limits[] = {
		{ "53300", "", 30 * US_PER_S, true },	    { "53300", "impatient", 2 * US_PER_S, true },
		{ "57014", "query", 3 * US_PER_S, true },   { "25P04", "transaction", 3 * US_PER_S, false },
		{ "25P03", "idling", 3 * US_PER_S, false }, { "57P05", "silent", 3 * US_PER_S, false },
	};
	uint64_t now = sim_now();

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		if (strcmp(state, limits[i].state) == 0 && has_word(c, limits[i].word) &&
		    now - (limits[i].is_of_request ? c->asked_us : c->came_us) >= limits[i].least_us)
			return true;
	return false;
}

/* One that came of a limit on time was not asked for by the client, whose cancel may still hit. If the client had sent
 * more by then, the second signal may hit that. */
static void
count_cancel(struct sim_client *c, const char *state)
{
	if (strcmp(state, "57014") != 0 || c->cancels == 0 || is_late(c, state))
		return;
	if (c->sim->world.fake.signals_twice && c->unfed_at < c->unfed.len)
		c->may_be_hit_again = true;
	else
		c->cancels--;
}

/* No outage lasts as long as it may wait for the end of one. */
static bool
is_held(const struct sim_client *c)
{
	/* A pause is no outage, and a LISTEN that finds no listener is refused in any case. */
	if (c->sim->profile.pausing > 0 || c->sim->profile.has_listen || c->sim->profile.is_asking)
		return false;
	return (has_word(c, "hold") && sim_now() - c->asked_us < 10 * US_PER_S) ||
	       (has_word(c, "wait") && !has_word(c, "impatient") && sim_now() - c->asked_us < 30 * US_PER_S);
}

/* What it reads now was sent within 20 s of that. */
static bool
was_soon_after(const struct sim_client *c, uint64_t outage_us)
{
	return outage_us > 0 && c->heard_us < outage_us + 20 * US_PER_S;
}

/* An ERROR of pgweir's own: the request was not carried out, and the client goes on. */
static bool
may_refuse(const struct sim_client *c, const char *state)
{
	static const char *const refusals[] = { "08001", "08006", "57P03", "57P01" };
	const struct sim *s = c->sim;

	if (strcmp(state, "57014") == 0 && (c->cancels > 0 || is_late(c, state)))
		return true;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
		if (strcmp(state, refusals[i]) == 0)
			return !is_held(c) && (was_soon_after(c, s->lost_us) || was_soon_after(c, s->nameless_us));
	return strcmp(state, "53300") == 0 && is_late(c, state);
}

/* What the next message, f, is about; NULL: that is not known. */
static const char *
sql_of(const struct sim_client *c, const struct frame *f)
{
	const char *body = (const char *)c->unfed.bytes + c->unfed_at + FRAME_HEAD_LEN;
	const struct named *n = NULL;

	if (f->type == 'Q' || f->type == 'P')
		return f->type == 'Q' ? body : body + strlen(body) + 1;
	if (f->type == 'B')
		n = named_find(&c->alone->statements, body + strlen(body) + 1);
	else if (f->type == 'E')
		n = named_find(&c->alone->portals, body);
	return n != NULL ? n->text : NULL;
}

bool
oracle_waits_for_query(struct sim_client *c)
{
	static const char *const texts[] = { "SELECT '", "INSERT INTO t", "UPDATE t" };
	const uint8_t *body;
	uint8_t type;
	struct frame f;
	size_t len;

	if (c->alone == NULL || c->alone->tx != 'I' || c->f->out.len > 0 || next_answer(c, &type, &body, &len))
		return false;
	if (!next_unfed(c, &f))
		return true;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (f.type == 'Q' && FRAME_HEAD_LEN + f.body_len == c->unfed.len - c->unfed_at &&
		    strncmp(sql_of(c, &f), texts[i], strlen(texts[i])) == 0)
			return true;
	return false;
}

static bool
is_listen(const struct sim_client *c, const struct frame *f)
{
	const char *sql = sql_of(c, f);

	return sql != NULL && strstr(sql, "LISTEN ch") != NULL;
}

/* As if PostgreSQL had met the error in this message. */
static void
fail_instead(struct sim_client *c, const struct frame *f)
{
	bool is_simple = f->type == 'Q' || f->type == 'F';

	note_seen(c, c->unfed.bytes + c->unfed_at, FRAME_HEAD_LEN + (size_t)f->body_len);
	if (f->type == 'Q')
		named_drop(&c->alone->statements, "");
	if (f->type == 'P' && c->unfed.bytes[c->unfed_at + FRAME_HEAD_LEN] == 0)
		named_drop(&c->alone->statements, "");
	c->alone->tx = c->alone->tx == 'T' ? 'E' : c->alone->tx;
	if (c->alone->tx == 'I')
		tx_end(c->alone, false);
	c->alone->is_skipping = !is_simple;
	drop_unfed(c, f);
	if (is_simple) {
		sql_report_changes(c->alone, c->alone->out.len);
		message_ready(&c->alone->out, c->alone->tx);
	}
}

/* A ROLLBACK of a transaction that is lost waits for a server like any request, and may be cancelled there. */
static bool
is_cancelled_rollback(const struct sim_client *c, const struct frame *f, const char *state)
{
	const char *sql = (const char *)c->unfed.bytes + c->unfed_at + FRAME_HEAD_LEN;

	if (f->type == 'P') /* behind the name */
		sql += strlen(sql) + 1;
	return strcmp(state, "57014") == 0 && c->has_cancelled && (f->type == 'Q' || f->type == 'P') &&
	       strcmp(sql, "ROLLBACK") == 0;
}

/* The request, or what is left of it, begins with what is meant to end a transaction. */
static bool
is_meant_to_end(const struct sim_client *c, const struct frame *f)
{
	const char *sql = sql_of(c, f);

	return sql != NULL && sql_is_exit(sql) && strstr(sql, " TO ") == NULL;
}

/* A value for an end, which takes none: the other session has not looked. */
static bool
has_too_many(const struct frame *f, const char *state)
{
	return f->type == 'B' && strcmp(state, "08P01") == 0;
}

/*
 * With commit_check. Its server was lost: if in an open transaction, with no request, the next ones are refused, up to
 * one that is meant to end it; if within a COMMIT, that is, once it is known that it was not committed. In doubt, all
 * that it has written may be there or not.
 */
static bool
is_rolled_back(struct sim_client *c, const uint8_t *body, size_t len)
{
	char state[6];
	struct frame f;

	sqlstate_of(body, len, state);
	feed_silent(c);
	if (!has_word(c, "checked") || is_fatal(body, len) || !may_have_lost(c) || !next_unfed(c, &f) ||
	    f.type == 'S' || c->alone->is_asleep)
		return false;
	if (has_too_many(&f, state) && c->alone->tx != 'I') {
		fail_instead(c, &f);
		return true;
	}
	if ((strcmp(state, "40001") != 0 && strcmp(state, "08007") != 0 && !is_cancelled_rollback(c, &f, state) &&
	     (!may_refuse(c, state) || strcmp(state, "57014") == 0)) ||
	    (c->alone->tx == 'I' && strcmp(state, "40001") != 0 && strcmp(state, "08007") != 0))
		return false;
	sim_trace_text('c', (unsigned)c->f->letter, "is rolled back", state, 5);
	c->alone->is_copying = false;
	if (c->alone->tx == 'I' || is_meant_to_end(c, &f) || strcmp(state, "08007") == 0) {
		c->alone->tx = 'I';
		tx_end(c->alone, false);
	}
	fail_instead(c, &f);
	if (strcmp(state, "08007") == 0)
		c->base = c->seen;
	return true;
}

/*
 * A transaction has failed as its first statement got no server. What follows is refused, whatever PostgreSQL would
 * have found wrong with it, and ends nothing then; a Query that goes on behind the end may get no server either.
 */
static bool
is_of_unserved(struct sim_client *c, const uint8_t *body, size_t len)
{
	char state[6];
	struct frame f;

	sqlstate_of(body, len, state);
	feed_silent(c);
	if (!c->is_unserved || is_fatal(body, len) || memmem(body, len, "@@", 2) != NULL || !next_unfed(c, &f) ||
	    f.type == 'S')
		return false;
	if (strcmp(state, "25P02") != 0 && !(is_meant_to_end(c, &f) && may_refuse(c, state)) &&
	    !has_too_many(&f, state))
		return false;
	sim_trace_text('c', (unsigned)c->f->letter, "is still refused", state, 5);
	count_cancel(c, state);
	fail_instead(c, &f);
	return true;
}

/* True: it was refused, and its session knows. In a transaction only a LISTEN can be, and its first statement. */
static bool
is_refused(struct sim_client *c, const uint8_t *body, size_t len)
{
	char state[6];
	struct frame f;
	bool is_of_listen, is_cancelled, is_first;

	sqlstate_of(body, len, state);
	is_cancelled = c->has_cancelled && strcmp(state, "57014") == 0;
	feed_silent(c);
	is_first = c->is_due || (c->is_prepared && may_have_lost(c));
	if (!next_unfed(c, &f))
		return false;
	/* A cancelled LISTEN takes others of the same channel with it, if they are under way already; and one waits for
	 * the listener's connection as long as for a server. Its Bind may have been skipped after an error, which
	 * pgweir does not know yet. */
	is_of_listen = (is_listen(c, &f) && (is_cancelled || (strcmp(state, "08001") == 0 && is_late(c, "53300")))) ||
		       (is_cancelled && f.type == 'E' && sql_of(c, &f) == NULL);
	if (memmem(body, len, "@@", 2) != NULL) /* PostgreSQL's own */
		return false;
	if (is_fatal(body, len) || c->alone->is_asleep || c->alone->is_copying ||
	    (!is_of_listen && !may_refuse(c, state)) || f.type == 'S' ||
	    (c->alone->tx != 'I' && !is_first && !is_of_listen && !is_listen(c, &f)))
		return false;
	sim_trace_text('c', (unsigned)c->f->letter, "is refused", state, 5);
	c->is_unserved |= is_first;
	c->has_refused_end = c->is_due && has_word(c, "checked") && may_have_lost(c) && is_meant_to_end(c, &f);
	c->is_due = c->is_prepared = false;
	if (!is_of_listen) /* one cancel may refuse several */
		count_cancel(c, state);
	fail_instead(c, &f);
	return true;
}

/* --- what is in the database --- */

void
oracle_check_writes(struct sim_client *c)
{
	uint8_t real[CLUSTER_TOKENS_MAX], wanted[CLUSTER_TOKENS_MAX];

	cluster_count(&c->sim->world.fake.cluster, c->f->letter, real);
	cluster_count(&c->mirror.cluster, c->f->letter, wanted);
	for (uint32_t i = c->base + 1; i <= c->seen && i < CLUSTER_TOKENS_MAX; i++)
		if (real[i] != wanted[i])
			sim_fail("client %c's row %u is there %u times, not %u", c->f->letter, i, real[i], wanted[i]);
}

void
oracle_check_twice(const struct sim *s)
{
	uint8_t real[CLUSTER_TOKENS_MAX];

	for (char letter = 'A'; letter < 'A' + TEXT_CLIENTS; letter++) {
		cluster_count(&s->world.fake.cluster, letter, real);
		for (uint32_t i = 0; i < CLUSTER_TOKENS_MAX; i++)
			if (real[i] > 1)
				sim_fail("client %c's row %u is there %u times", letter, i, real[i]);
	}
}

/* commit_check promises that a COMMIT that has happened is told, or is said to be in doubt. */
static void
check_unreported(struct sim_client *c, const char *state)
{
	uint8_t real[CLUSTER_TOKENS_MAX], wanted[CLUSTER_TOKENS_MAX];
	struct frame f;

	feed_silent(c);
	if (!has_word(c, "checked") || c->alone->tx != 'T' || !next_unfed(c, &f) || f.type != 'Q' ||
	    (strcmp(state, "08006") != 0 && strcmp(state, "57P01") != 0 && strcmp(state, "40001") != 0) ||
	    strcmp((const char *)c->unfed.bytes + c->unfed_at + FRAME_HEAD_LEN, "COMMIT") != 0)
		return;
	cluster_count(&c->sim->world.fake.cluster, c->f->letter, real);
	cluster_count(&c->mirror.cluster, c->f->letter, wanted);
	for (uint32_t i = c->base + 1; i <= c->seen && i < CLUSTER_TOKENS_MAX; i++)
		if (real[i] != wanted[i])
			sim_fail("client %c was told %s, but its COMMIT has happened", c->f->letter, state);
}

static void
unexpected(struct sim_client *c, uint8_t type, const uint8_t *body, size_t len, const char *instead)
{
	char state[6];

	if (type != 'E')
		sim_fail("client %c got %c (%zu bytes), not %s", c->f->letter, type, len, instead);
	sqlstate_of(body, len, state);
	if (!is_fatal(body, len) || (!may_end(c, state) && !is_late(c, state)))
		sim_fail("client %c got error %s (%.*s), not %s", c->f->letter, state, (int)len, (const char *)body,
			 instead);
	sim_trace_text('c', (unsigned)c->f->letter, "may end", state, 5);
	check_unreported(c, state);
	c->is_ending = true;
}

/* A limit on time was over; what it was told may not have reached it. */
static bool
is_late_at_all(const struct sim_client *c)
{
	return is_late(c, "53300") || is_late(c, "57014") || is_late(c, "25P04") || is_late(c, "25P03") ||
	       is_late(c, "57P05");
}

void
oracle_gone(struct sim_client *c)
{
	bool may = c->is_ending || c->is_excused || c->sim->profile.is_asking ||
		   may_end(c, "0A000") || /* told behind what it still sends, and so perhaps lost */
		   may_end(c, "08001") || (c->alone == NULL && (has_word(c, "few") || may_refuse(c, "08001"))) ||
		   is_late_at_all(c);

	if (!may)
		sim_fail("client %c was disconnected", c->f->letter);
	oracle_end(c);
}

/* --- what comes --- */

/* What it copies in may be cancelled at any message of data; its session has not been, and may have failed later. */
static bool
is_cancelled_copy(struct sim_client *c, const uint8_t *body, size_t len, const uint8_t *want, size_t want_len)
{
	char got[6], wanted[6];

	sqlstate_of(body, len, got);
	sqlstate_of(want, want_len, wanted);
	if (strcmp(got, "57014") != 0 || strcmp(wanted, "22P02") != 0 || (c->cancels == 0 && !is_late(c, got)))
		return false;
	count_cancel(c, got);
	return true;
}

/* The session alone copies in: that ends as it did for the client, if it was cancelled. */
static void
cancel_copy(struct sim_client *c, const uint8_t *body, size_t len)
{
	char state[6];

	sqlstate_of(body, len, state);
	if (strcmp(state, "57014") != 0 || memmem(body, len, "COPY from stdin failed", 22) != NULL)
		return;
	if (c->cancels == 0 && !is_late(c, state))
		sim_fail("client %c's COPY was cancelled, but nobody asked for it", c->f->letter);
	count_cancel(c, state);
	fake_fail_copy(c->alone, state, "canceling statement due to user request");
}

static bool
is_same_error(const uint8_t *body, size_t len, const uint8_t *want, size_t want_len)
{
	char got[6], wanted[6];

	sqlstate_of(body, len, got);
	sqlstate_of(want, want_len, wanted);
	/* In a failed transaction a Parse of pgweir's own finds out first that it is in another encoding; and where
	 * that was lost with its server, nobody knows which portals it had, but for those that would have ended it. */
	return strcmp(got, wanted) == 0 ||
	       (strcmp(wanted, "25P02") == 0 && (strcmp(got, "22021") == 0 || strcmp(got, "34000") == 0));
}

/* Nothing is done that ends the connection on which pgweir listens. */
static bool
has_one_listener(const struct sim *s)
{
	const struct sim_profile *p = &s->profile;

	return p->losing == 0 && p->reloading == 0 && p->pausing == 0 && p->reconnecting == 0 && p->unnaming == 0 &&
	       (p->stalling == 0 || p->jumping == 0);
}

/* Its session listens to it, as of the last answer. */
static bool
listens(const struct sim_client *c, char channel)
{
	for (size_t i = 0; i < CHANNELS_MAX; i++)
		if (strncmp(c->alone->channels[i], "ch", 2) == 0 && c->alone->channels[i][2] == channel)
			return true;
	return false;
}

/* All up to the notification with this number have come that the client should have got. */
static void
check_notices(struct sim_client *c, unsigned up_to)
{
	const struct sim *s = c->sim;

	for (; c->noticed < up_to; c->noticed++) {
		const struct sim_notice *n = &s->notices[c->noticed + 1];
		unsigned from = c->listening[n->channel - 'a'];

		if (from > 0 && c->noticed + 1 >= from && listens(c, n->channel) && has_one_listener(s))
			sim_fail("client %c did not get %s of ch%c", c->f->letter, n->payload, n->channel);
	}
}

/* Its session is outside of a transaction, and nothing is under way. */
static void
follow_listening(struct sim_client *c)
{
	check_notices(c, c->asked_at);
	for (unsigned i = 0; i < SIM_CHANNELS; i++)
		if (!listens(c, (char)('a' + i)))
			c->listening[i] = 0;
		else if (c->listening[i] == 0)
			c->listening[i] = c->sim->notice_count + 1;
}

static void
compare(struct sim_client *c, uint8_t type, const uint8_t *body, size_t len, const uint8_t *want, size_t want_len)
{
	if (type == 'E')
		return;
	if (type == 'Z' && body[0] == 'E' && want[0] == 'T' && has_word(c, "checked") && c->is_excused) {
		c->alone->tx = 'E'; /* it is lost with its server: a Sync alone can tell no more */
		return;
	}
	if (type == 'Z' && body[0] == 'I' && want[0] == 'E' && c->has_refused_end) {
		c->alone->tx = 'I';
		tx_end(c->alone, false);
		c->is_unserved = false;
	} else if (len != want_len || memcmp(body, want, len) != 0)
		sim_fail("client %c got %c \"%.*s\", not \"%.*s\"", c->f->letter, type, (int)len, (const char *)body,
			 (int)want_len, (const char *)want);
	if (type == 'Z' && body[0] == 'I')
		oracle_check_writes(c);
	if (type == 'Z')
		c->has_refused_end = false;
	if (type == 'Z' && body[0] == 'I' && c->unfed_at == c->unfed.len && !c->is_mid_request)
		follow_listening(c);
	if (type == 'Z' && body[0] == 'I' && !c->is_closed) /* else a FATAL follows */
		for (size_t i = 0; i < REPORTS; i++)
			if (strcmp(c->told[i], c->expected[i]) != 0)
				sim_fail("client %c was told %s=%s, not %s", c->f->letter, sql_report_name(i),
					 c->told[i], c->expected[i]);
}

/* The session alone sleeps: it ends as it did for the client. */
static void
wake(struct sim_client *c, uint8_t type, const uint8_t *body, size_t len)
{
	char state[6] = "";
	bool is_cancelled;

	if (type == 'E')
		sqlstate_of(body, len, state);
	is_cancelled = strcmp(state, "57014") == 0;
	if (type == 'E' && !is_cancelled)
		return;
	if (is_cancelled && c->cancels == 0 && !is_late(c, state))
		sim_fail("client %c's request was cancelled, but nobody asked for it", c->f->letter);
	count_cancel(c, state);
	fake_wake(c->alone, is_cancelled);
}

static void
welcome(struct sim_client *c)
{
	c->alone = fake_new_alone(&c->mirror, c->f->user);
	c->alone->was_stale = true; /* pgweir hides that */
	for (size_t i = 0; i < REPORTS; i++)
		snprintf(c->expected[i], SIM_REPORT_LEN, "%s", sql_report(&c->alone->v, i));
	c->expected_at = 0;
}

static void
login_message(struct sim_client *c, uint8_t type, const uint8_t *body, size_t len)
{
	char state[6];

	if (type == 'Z') {
		welcome(c);
		return;
	}
	if (type != 'E')
		return;
	sqlstate_of(body, len, state);
	if ((strcmp(state, "53300") == 0 && has_word(c, "few")) || c->sim->profile.is_asking)
		c->is_ending = true;
	else if (may_end(c, state) || may_refuse(c, state) ||
		 (strcmp(state, "57P03") == 0 &&
		  was_soon_after(c, c->sim->hangs_until_us))) /* its worker does not answer */
		c->is_ending = true;
	else
		sim_fail("client %c was refused: %s", c->f->letter, state);
}

static void
notification(struct sim_client *c, const uint8_t *body, size_t len)
{
	const char *channel = (const char *)body + 4, *payload = channel + strlen(channel) + 1;
	const struct sim *s = c->sim;
	unsigned at = c->noticed + 1;

	must(len > 6);
	if (strncmp(channel, "ch", 2) != 0 || (c->listened & 1u << (channel[2] - 'a')) == 0)
		sim_fail("client %c got a notification of %s, on which it does not listen", c->f->letter, channel);
	while (at <= s->notice_count &&
	       (s->notices[at].channel != channel[2] || strcmp(s->notices[at].payload, payload) != 0))
		at++;
	if (at > s->notice_count)
		sim_fail("client %c got %s of %s twice, or too late", c->f->letter, payload, channel);
	check_notices(c, at - 1);
	c->noticed = at;
}

static void
trace(const struct sim_client *c, uint8_t type, const uint8_t *body, size_t len)
{
	char text[80];
	size_t n = 1;

	text[0] = (char)type;
	if (type == 'E') {
		sqlstate_of(body, len, text + 1);
		n = 6;
	} else {
		n += len < sizeof(text) - 1 ? len : sizeof(text) - 1;
		memcpy(text + 1, body, n - 1);
	}
	sim_trace_text('c', (unsigned)c->f->letter, "<-", text, n);
}

void
oracle_message(void *arg, uint8_t type, const uint8_t *body, size_t len)
{
	struct sim_client *c = arg;
	const uint8_t *want;
	uint8_t want_type;
	size_t want_len;
	char text[8];

	trace(c, type, body, len);
	if (type == 'S')
		note_report(c->told, body, len);
	else if (type == 'A')
		notification(c, body, len);
	if (type == 'S' || type == 'N' || type == 'A')
		return;
	if (c->alone == NULL) {
		login_message(c, type, body, len);
		return;
	}
	if (c->is_ending)
		sim_fail("client %c got %c behind a FATAL error", c->f->letter, type);
	if (type == 'E' && c->alone->is_copying && !next_answer(c, &want_type, &want, &want_len))
		cancel_copy(c, body, len);
	if (type == 'E' && !next_answer(c, &want_type, &want, &want_len) &&
	    (is_of_unserved(c, body, len) || is_refused(c, body, len) || is_rolled_back(c, body, len)))
		return;
	if (!next_expected(c, &want_type, &want, &want_len) && c->alone->is_asleep)
		wake(c, type, body, len);
	if (!next_expected(c, &want_type, &want, &want_len)) {
		unexpected(c, type, body, len, "nothing");
		return;
	}
	if (type != want_type || (type == 'E' && !is_same_error(body, len, want, want_len) &&
				  !is_cancelled_copy(c, body, len, want, want_len))) {
		snprintf(text, sizeof(text), "%c", want_type);
		unexpected(c, type, body, len, text);
		return;
	}
	compare(c, type, body, len, want, want_len);
	consume(c, want_len);
	c->sim->answers += type == 'Z';
	if (type == 'Z' && c->unfed_at == c->unfed.len)
		c->is_in = body[0] != 'I';
}
