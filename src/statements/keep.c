/* src/statements/keep.c - see keep.h. */
#include "statements/keep.h"
#include "base/text.h"
#include "state/observe.h"
#include "statements/unnamed.h"
#include "wire/frame.h"

#include <string.h>

#define REPEATED_WITHIN_S 60u /* seconds: a use within this time after the previous use counts as a repetition */
#define USES_MIN 2u
/* on a full server, a statement replaces another one only at each 16th use, so SQL that is used once replaces none */
#define USES_PER_REPLACEMENT 16u
/* Some uses are sent as the unnamed statement, to measure how long they take without the name: each 8th of the first 64
 * uses, and each 512th of later uses. */
#define SAMPLED_OFTEN_BELOW 64u
#define SAMPLED_EVERY 8u
#define SAMPLED_EVERY_LATER 512u
/* PostgreSQL's generic plan for a name may be worse than a plan that is made for the values of each Bind. A window is
 * WINDOW_USES uses with the name; it is slow if their mean time exceeds that of uses without the name by 3/10 plus 0.2
 * ms. After two slow windows in a row comes a trial: a window during which half of all uses, chosen by a hash, are sent
 * without the name. A busy machine or a table that has grown slows uses with and without the name alike, so only a
 * trial shows whether the plan is at fault. If the trial is slow, too, the statement has no name for ten minutes; after
 * the next slow trial for twenty, and so on. */
#define WINDOW_USES 32u
#define SLOW_BEFORE_TRIAL 2u
#define MEAN_OF 16u /* a new use without the name counts for at least 1/16 of the mean of such uses */
#define UNNAMED_MIN 3u
#define SLOWER_US 200u
#define GIVEN_UP_S 600u
#define GIVEN_UP_DOUBLINGS_MAX 7u /* for 21 hours at most */
#define DOUBTED_S 10u
#define RERUN_LEN_MAX 8192u /* bytes of a request that may be run again: less than retry.c keeps */

static uint32_t
now_s(const struct exchange *x)
{
	return (uint32_t)(*x->env->now_us / 1000000);
}

/* Returns the number that a use of st would have now. */
static uint32_t
next_use(const struct exchange *x, const struct statement *st)
{
	return now_s(x) - st->plans.last_used_s <= REPEATED_WITHIN_S ? st->plans.uses + 1 : 1;
}

/* Returns true if this use is a sample: it is sent without the name, to measure how long it takes. */
static bool
is_sample(const struct statement_plans *p, uint32_t use)
{
	if (p->slow_windows == SLOW_BEFORE_TRIAL)
		return (use * 0x9e3779b1u >> 31) != 0;
	return use % (use < SAMPLED_OFTEN_BELOW ? SAMPLED_EVERY : SAMPLED_EVERY_LATER) == 0;
}

/* Returns true if the client's next message begins a request outside a transaction block, and no unanswered message may
 * change that, so the request could be run again if it failed. */
static bool
begins_alone(const struct exchange *x)
{
	const struct server *srv = x->srv;

	return srv != NULL && srv->tx == 'I' && x->block == EXCHANGE_ORDINARY && !exchange_is_begun_ahead(x, srv) &&
	       (srv->loan.kept.state == KEPT_NOTHING || srv->loan.kept.state == KEPT_WHOLE) &&
	       !ledger_may_change_block(&srv->ledger);
}

static bool
may_fail_in_plan(struct statement *st)
{
	return (statement_parse_traits(st)->hints & TRAITS_MAY_FAIL) != 0;
}

/*
 * Returns true if this use of st is to be sent with the name. A sample is sent without the name. No name is used where
 * pgweir does not follow settings, because it then can't know how PostgreSQL reads the statement; with session_state =
 * isolate, because then no server keeps a name; or for SQL whose Parse brings a notice, because each client must get
 * the notice. SQL that may fail only with a generic plan gets a name only if its request could be run again without the
 * name.
 */
static bool
wants_name(const struct exchange *x, struct statement *st, uint32_t use)
{
	return use >= USES_MIN && (statement_traits(st)->hints & TRAITS_NOTICED) == 0 && !is_sample(&st->plans, use) &&
	       (int32_t)(st->plans.unnamed_until_s - now_s(x)) <= 0 &&
	       traits_are_plannable(statement_traits(st)->first) && x->pool->settings.prepared_statements > 0 &&
	       exchange_is_followed(x) && x->settings->session_state != SESSION_ISOLATE &&
	       (!may_fail_in_plan(st) || begins_alone(x));
}

/* Returns true if a statement that srv lacks is to be prepared on srv at this use. */
static bool
is_due(const struct exchange *x, const struct server *srv, uint32_t use)
{
	return srv->statements.count < x->pool->settings.prepared_statements || use % USES_PER_REPLACEMENT == 1;
}

/* Returns true if the message of this ledger entry may run SQL that changes what names in other SQL stand for. Also
 * returns true if the SQL is not known. */
static bool
may_change_names(const struct owed *o)
{
	uintptr_t ref = (uintptr_t)o->ref;
	const void *p = (const void *)(ref & ~(uintptr_t)REF_MASK);
	struct statement *st = NULL;

	/* Such an entry is of replayed settings, which get_statement_for_settings() allows for, or runs nothing. */
	if (o->to != OWED_TO_CLIENT)
		return false;
	switch ((enum owed_kind)o->kind) {
	case OWED_PARSE:
	case OWED_LOCAL_PARSE:
		st = (ref & REF_MASK) == REF_UNNAMED		  ? (struct statement *)(uintptr_t)p
		     : (ref & REF_MASK) == REF_NAMED && p != NULL ? ((const struct client_statement *)p)->st
								  : NULL;
		break;
	case OWED_BIND:
		if (p == NULL)
			return false; /* a Bind of the unnamed statement; its Parse is checked instead */
		st = (ref & REF_MASK) == REF_NAMED ? ((const struct client_statement *)p)->st : NULL;
		break;
	default:
		return false;
	}
	return st == NULL || !traits_are_plannable(statement_traits(st)->first);
}

/* Returns true if nothing that x has in progress can leave the transaction failed, or change what names in SQL stand
 * for. (PostgreSQL reports the kind of a statement only when the statement ends.) */
static bool
may_rely_on_names(const struct exchange *x)
{
	const struct client_statements *s = x->statements;
	const struct ledger *l = &x->srv->ledger;

	if (l->count == 0)
		return true;
	if (s->is_clearing || s->deallocating_count > 0 || statements_may_meet_failure(x->srv) ||
	    (s->confirmed != NULL && !traits_are_plannable(statement_traits(s->confirmed)->first)))
		return false;
	for (uint32_t i = 0; i < l->count; i++)
		if (may_change_names(ledger_at(l, i)))
			return false;
	return true;
}

/*
 * Returns true if PostgreSQL reads x's SQL now as it reads it for other clients of the pool: neither x nor code that
 * pgweir does not follow can have made objects that only x sees; the request cannot fail because an earlier one has
 * failed; and x is on the primary. (A standby may prepare the statement before it has DDL that pgweir has seen.)
 */
static bool
is_read_as_by_others(const struct exchange *x)
{
	const struct server *srv = x->srv;

	return x->pins == 0 && srv->loan.ddl == DDL_NONE && srv->loan.code == CODE_AS_BEFORE && srv->loan.risk == 0 &&
	       srv->loan.standby == 0 && !srv->loan.has_local_parse_settings && srv->tx != 'E' && may_rely_on_names(x);
}

/* Returns true if a and b, which have the same SQL, declare the same parameter types. (A renewed statement declares
 * the types that PostgreSQL has chosen for it.) */
static bool
declares_alike(const struct statement *a, const struct statement *b)
{
	size_t text_len = a->query_len + 1; /* a and b have the same text */

	return a->len == b->len && memcmp(a->bytes + text_len, b->bytes + text_len, a->len - text_len) == 0;
}

/* Returns the shared statement that has the SQL of st and is for x's settings, borrowed. Returns NULL if no shared
 * statement may be used, or if there is no memory. */
static struct statement *
get_statement_for_settings(struct exchange *x, struct statement *st)
{
	struct statement *named = st->under_context;
	uint32_t context;
	size_t len;

	if (!state_statement_context(x, statement_parse_traits(st), &context))
		return NULL;
	if (context == 0)
		named = st;
	else if (named != NULL)
		statement_refresh(named); /* the statement may declare other types from now on */
	if (named == NULL || named->context != context || !declares_alike(named, st)) {
		named = statement_get_or_create(x->pool->home, st->bytes, st->len, st->query_len, context);
		if (named == NULL)
			return NULL;
		statement_take_traits(named, statement_traits(st));
		statement_unref(st->under_context);
		st->under_context = named;
	}
	/* If PostgreSQL has chosen types for the named statement, other clients rely on these; an unnamed Parse would
	 * have PostgreSQL choose them anew. */
	return statement_learnt_types(named, &len) == NULL ? named : NULL;
}

/* Makes servers run `named` for the client's unnamed statement. Returns 0, or -1 if there is no memory. */
static int
set_kept(struct exchange *x, struct statement *named)
{
	struct client_statements *s = x->statements;
	struct client_statement *n = s->kept;

	if (n != NULL && n->refs == 1) { /* no reply about n is due */
		statement_ref(named);
		statement_unref(n->st);
		n->st = named;
		n->sent_or_told_id = n->described_id = 0;
		n->rows = ROWS_UNTOLD;
		n->describing = DESCRIBING_NOT;
		n->is_proven = false;
		n->types_hash = 0;
		return 0;
	}
	n = client_statement_new(x, "", named);
	if (n == NULL)
		return -1;
	statement_ref(named);
	client_statement_step(n, NAME_PARSED);
	client_statement_unref(s->kept);
	s->kept = n;
	return 0;
}

enum feature_step
statements_handle_kept_parse(struct exchange *x, struct statement *st, unsigned risk)
{
	const struct policy_conn *conn = x->srv->conn;
	uint32_t use = next_use(x, st);
	/* If the request was sent ahead of its turn, the name is used only if it was used there, without a Parse. */
	bool is_wanted = conn->ahead_count > 0 ? (conn->ahead[0].kinds & 15) != OWED_PARSE + 1 : wants_name(x, st, use);
	struct statement *named;
	enum statement_presence there;

	st->plans.uses = use;
	st->plans.last_used_s = now_s(x);
	if (!is_wanted || risk != 0 || !is_read_as_by_others(x) || (named = get_statement_for_settings(x, st)) == NULL)
		return STEP_FORWARD;
	there = statement_presence_of(x, named);
	if (there == STATEMENT_UNSURE || (there == STATEMENT_ABSENT && !is_due(x, x->srv, use)))
		return STEP_FORWARD;
	if (set_kept(x, named) < 0)
		return STEP_FAILED;
	/* An unnamed Parse drops the unnamed statement even if the Parse fails. The named Parse that is sent instead
	 * does not, so a Close of the unnamed statement is sent first. */
	if (there == STATEMENT_ABSENT) {
		unnamed_close(x, OWED_TO_STATEMENT);
		if (statement_prepare_there(x, named) == STEP_FAILED)
			return STEP_FAILED;
	} else
		x->pool->database->counters.statement_hits++;
	x->pool->database->counters.plans_kept++;
	x->srv->loan.plan = PLAN_KEPT;
	unnamed_note_answered_parse(x, st);
	x->statements->kept_token = x->statements->token;
	return STEP_REPLACED;
}

struct statement *
statements_find_kept_ahead(struct exchange *x, struct server *srv, struct statement *st, bool *will_be_prepared)
{
	uint32_t use = next_use(x, st);
	struct statement *named;

	*will_be_prepared = false;
	if (!wants_name(x, st, use) || (named = get_statement_for_settings(x, st)) == NULL)
		return NULL;
	switch (server_statements_use(&srv->statements, named->id, UINT32_MAX)) {
	case STATEMENT_THERE:
		return named;
	case STATEMENT_ABSENT:
		*will_be_prepared = is_due(x, srv, use);
		break;
	case STATEMENT_UNSURE:
		break;
	}
	return NULL;
}

bool
statements_may_run_again(const uint8_t *bytes, size_t len)
{
	const char *portal, *name;
	size_t at = 0, names_len;
	struct frame f;

	if (len > RERUN_LEN_MAX || !frame_parse_whole(bytes, len, &f) || f.type != 'B' ||
	    !fields_read_bind(bytes + FRAME_HEAD_LEN, f.body_len, &portal, &name, &names_len) || name[0] != '\0')
		return false;
	do
		at += FRAME_HEAD_LEN + f.body_len;
	while (frame_parse_whole(bytes + at, len - at, &f) && (f.type == 'D' || f.type == 'E'));
	return at < len && f.type == 'S' && at + FRAME_HEAD_LEN == len;
}

enum feature_step
statements_find_kept(struct exchange *x, const struct request *m, struct client_statement **n)
{
	struct client_statements *s = x->statements;

	*n = NULL;
	if ((s->unnamed_under_way > 0 && s->unnamed_sync_no != s->sync_no) || client_statement_is_unsettled(x, s->kept))
		return STEP_HOLD;
	if (m->message[0] == 'B' && may_fail_in_plan(s->unnamed) &&
	    !(begins_alone(x) && statements_may_run_again(m->message, m->have)))
		s->kept_token = 0; /* the name is not used until the next Parse */
	if (s->kept_token == 0 || statement_is_read_otherwise(x, s->kept))
		return STEP_FORWARD;
	if (client_statement_refresh(x, s->kept) < 0)
		return STEP_FAILED;
	*n = s->kept;
	return STEP_FORWARD;
}

static void
give_up(const struct exchange *x, struct statement_plans *p)
{
	p->unnamed_until_s = now_s(x) + (GIVEN_UP_S << p->give_up_count);
	p->give_up_count += p->give_up_count < GIVEN_UP_DOUBLINGS_MAX;
	x->pool->database->counters.plans_given_up++;
}

/* Ends a window of WINDOW_USES uses under the name. Gives the name up for a time if the window was a slow trial. */
static void
end_window(const struct exchange *x, struct statement_plans *p)
{
	uint64_t mean_us = p->kept_us / p->kept_count;

	p->kept_us = p->kept_count = 0;
	if (p->unnamed_count < UNNAMED_MIN || mean_us <= p->unnamed_us + (uint64_t)p->unnamed_us * 3 / 10 + SLOWER_US) {
		p->slow_windows = 0;
		return;
	}
	if (++p->slow_windows == SLOW_BEFORE_TRIAL)
		p->unnamed_us = p->unnamed_count = 0;
	else if (p->slow_windows > SLOW_BEFORE_TRIAL) {
		p->slow_windows = 0;
		give_up(x, p);
	}
}

void
statements_measure(struct exchange *x)
{
	struct client_statements *s = x->statements;
	const struct loan *loan = &x->srv->loan;
	uint64_t since_us = loan->lent_us > x->request_us ? loan->lent_us : x->request_us, us;
	struct statement_plans *p;

	if (s->unnamed == NULL || s->unnamed_under_way > 0 || x->srv->ledger.count > 0 || loan->sqlstate[0] != '\0' ||
	    since_us == 0 || since_us > *x->env->now_us)
		return;
	us = *x->env->now_us - since_us;
	us = us < UINT32_MAX ? us : UINT32_MAX;
	p = &s->unnamed->plans;
	if (!statements_has_kept(s)) {
		p->unnamed_count += p->unnamed_count < MEAN_OF;
		p->unnamed_us = (uint32_t)(((uint64_t)p->unnamed_us * (p->unnamed_count - 1) + us) / p->unnamed_count);
		return;
	}
	p->kept_us += us;
	if (++p->kept_count == WINDOW_USES)
		end_window(x, p);
}

void
statements_note_parse_notice(struct server *srv)
{
	const struct ledger *l = &srv->ledger;

	/* The entry of a Parse under pgweir's name precedes that of the client's Parse, which pgweir answers. */
	for (uint32_t i = 0; i < l->count && i < 2; i++) {
		const struct owed *o = ledger_at(l, i);
		uintptr_t ref = (uintptr_t)o->ref;
		struct statement *st = (struct statement *)(ref & ~(uintptr_t)REF_MASK);

		if ((o->kind == OWED_PARSE || o->kind == OWED_LOCAL_PARSE) && (ref & REF_MASK) == REF_UNNAMED) {
			statement_traits(st); /* reads the SQL now, so a later reading does not overwrite the hint */
			st->traits.hints |= TRAITS_NOTICED;
			return;
		}
	}
}

bool
statements_suspend_name(struct exchange *x, const struct client_statement *n, const char *sqlstate)
{
	struct client_statements *s = x->statements;

	/* Class 42 has errors about names and types. Class 22 has errors about values that don't fit the types which
	 * the parameters had when the name was prepared, and about constants that only a generic plan computes. */
	if (n != s->kept || !statements_has_kept(s) || s->unnamed == NULL || sqlstate == NULL ||
	    (strncmp(sqlstate, "42", 2) != 0 && strncmp(sqlstate, "22", 2) != 0))
		return false;
	s->unnamed->plans.unnamed_until_s = now_s(x) + DOUBTED_S;
	s->kept_token = 0;
	return true;
}

bool
statements_doubt_plan(struct exchange *x, const char *sqlstate)
{
	struct client_statements *s = x->statements;

	/* Class 22 has data errors; a negative LIMIT or OFFSET fails with any plan. Class 21: a subquery returned
	 * several rows. The values of an INSERT or UPDATE would fail with any plan, too, so other SQL than a SELECT
	 * must have TRAITS_MAY_FAIL. */
	if (!statements_has_kept(s) || s->unnamed == NULL || sqlstate == NULL ||
	    text_is_one_of(sqlstate, "2201W 2201X") ||
	    (strncmp(sqlstate, "22", 2) != 0 && strncmp(sqlstate, "21", 2) != 0) ||
	    (!may_fail_in_plan(s->unnamed) && statement_traits(s->unnamed)->first != WORD_SELECT))
		return false;
	s->unnamed->traits.hints |= TRAITS_MAY_FAIL; /* the SQL does not show it if the part that fails is in a view */
	give_up(x, &s->unnamed->plans);
	s->kept_token = 0;
	return true;
}
