#include "pool/database_code.h"

#include "base/clock.h"
#include "pool/database_code_sql.h"
#include "session/probe.h"
#include "sql/known.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_AGAIN_US (1 * US_PER_S) /* at most so often ... */
#define COST_SHARE 300u /* ... and at most this part of one server connection's time */
#define ASK_AGAIN_MAX_US (10 * US_PER_S)
#define MINDS_TYPES_US (1 * US_PER_S) /* DDL does not wait longer for an answer */
#define SETTLES_US (2 * US_PER_S) /* see settles_us() */
#define REFUSED_US (60 * US_PER_S)
#define UNTOLD_MAX 16u /* one may be lost before it can tell, but not so many */
#define MARK_US (10 * US_PER_S)
#define LOST_US (10 * US_PER_S) /* an answer that has not come by then never will */

static void
answer_free(struct code_answer *a)
{
	if (a == NULL)
		return;
	for (unsigned i = 0; i < a->name_count; i++)
		free(a->names[i]);
	risk_names_free(a->risks);
	free(a);
}

void
database_code_fini(struct database_code *code)
{
	database_code_leave(code);
	answer_free(code->answer);
	answer_free(code->coming);
	memset(code, 0, sizeof(*code));
}

static uint64_t
interval_us(uint64_t cost_us)
{
	uint64_t us = cost_us * COST_SHARE;

	return us < ASK_AGAIN_US ? ASK_AGAIN_US : clock_lesser_us(us, ASK_AGAIN_MAX_US);
}

/*
 * After DDL everything is washed, which is cheaper than to read all code again and again: so that takes a tenth of the
 * time while DDL goes on, but DDL that comes alone, behind an answer that was believed, does not wait for long.
 */
static uint64_t
settles_us(const struct database_code *code)
{
	uint64_t us = code->read_cost_us * (COST_SHARE / 10),
		 most_us = code->is_settled ? SETTLES_US : ASK_AGAIN_MAX_US;

	return clock_lesser_us(us, most_us);
}

bool
database_code_is_due(const struct database_code *code, uint64_t now_us)
{
	uint64_t age_us = now_us - code->compared_us;

	if (code->coming != NULL)
		return now_us - code->asked_us > LOST_US;
	if (code->used_us <= code->compared_us && code->suspected == CODE_SAME)
		return false; /* nobody has used the database since */
	if (code->failed_us != 0)
		return now_us - code->failed_us > REFUSED_US;
	if (code->changed_answered != code->changed)
		return age_us > settles_us(code);
	if (code->suspected != CODE_SAME)
		return true;
	if (code->is_outdated)
		return now_us - code->read_asked_us > interval_us(code->read_cost_us);
	return age_us > interval_us(code->cost_us);
}

bool
database_code_is_overdue(const struct database_code *code, uint64_t now_us)
{
	if (code->answer == NULL && code->failed_us == 0)
		return true; /* no server is given back before there is an answer */
	if (code->changed_answered < code->made && code->failed_us == 0)
		return true; /* nor while it may have run code since that leaves what nothing resets */
	return database_code_is_due(code, now_us) && now_us - code->compared_us > 2 * interval_us(code->cost_us);
}

unsigned
database_code_feared(const struct database_code *code, enum code_change unsure)
{
	unsigned known = code->answer == NULL ? 0 : risk_names_all(code->answer->risks);
	/* Only functions of the database's own connect elsewhere; PostgreSQL's may stand in any new default. */
	unsigned washable =
	    unsure == CODE_SAME_BUT_RELATIONS ? STATE_WASHABLE & ~(unsigned)STATE_REMOTE : STATE_WASHABLE;

	return washable | (known & (STATE_BACKEND | STATE_REMOTE)) | RISK_CODE | database_code_compiled(code);
}

bool
database_code_minds_types(const struct database_code *code)
{
	unsigned all = code->answer == NULL ? 0 : risk_names_all(code->answer->risks);

	return (all & (RISK_CONTEXT | RISK_TYPES)) == RISK_CONTEXT && code->read_cost_us < MINDS_TYPES_US;
}

unsigned
database_code_look_up(const struct database_code *code, uint64_t now_us, struct sql_risk *kept, const char *sql,
		      size_t len, const uint8_t *types, size_t types_len)
{
	const struct risk_names *risks;
	unsigned parts;

	if (!database_code_is_known(code, now_us))
		return database_code_feared(code, CODE_DIFFERS);
	risks = code->answer->risks;
	if (sql == NULL)
		return risk_names_all(risks);
	parts = risk_names_of_sql(risks, sql, len);
	if (types != NULL)
		parts |= risk_names_of_types(risks, types, types_len);
	if (kept != NULL)
		*kept = (struct sql_risk){ code->number, parts };
	return parts;
}

/* The answer may hold for long: what nobody changes need not be read again. */
static bool
may_be_unchanged(const struct database_code *code)
{
	return code->answer != NULL && code->answer->version[0] != '\0' && !code->is_outdated && code->failed_us == 0 &&
	       code->changed_answered == code->changed;
}

/* Not in place of the question that is due anyway. */
static bool
may_ask_since(const struct database_code *code, uint64_t now_us)
{
	return code->suspected == CODE_SAME_BUT_RELATIONS && may_be_unchanged(code) && code->answer->mark[0] != '\0' &&
	       now_us - code->compared_us <= interval_us(code->cost_us);
}

const char *
database_code_ask(struct database_code *code, uint64_t now_us)
{
	/* Otherwise several servers are asked; the first complete answer counts, as old as the first question. */
	if (code->coming == NULL || now_us - code->asked_us > LOST_US) {
		answer_free(code->coming);
		code->coming = calloc(1, sizeof(*code->coming));
		if (code->coming != NULL)
			code->coming->risks = risk_names_new();
		code->is_broken = code->coming == NULL || code->coming->risks == NULL;
		code->asked_us = now_us;
		database_code_hold(code);
		code->changed_asked = code->changed;
		code->suspected_since_asked = CODE_SAME;
		code->asked = may_ask_since(code, now_us) ? ASKED_SINCE
			      : may_be_unchanged(code)	  ? ASKED_VERSION
							  : ASKED_ALL;
		database_code_let_go(code);
		if (code->asked == ASKED_SINCE)
			snprintf(code->since, sizeof(code->since), DATABASE_CODE_SINCE, code->answer->mark);
		else
			code->compared_us = now_us;
		code->round++;
	}
	return code->asked == ASKED_SINCE     ? code->since
	       : code->asked == ASKED_VERSION ? DATABASE_CODE_VERSION
					      : DATABASE_CODE_SQL;
}

/* Reads two of them; *end: behind these. */
static struct risk
read_risk(const char *value, char **end)
{
	unsigned long always = strtoul(value, end, 10);

	return (struct risk){ (uint16_t)(always & RISK_ALL), (uint16_t)(strtoul(*end, end, 10) & RISK_ALL) };
}

/* "K RISK WRITE_RISK reason", K as in enum risk_kind: what the name is. Returns 0, or -1: no memory, or nonsense. */
static int
add_name(struct code_answer *a, const char *name, const char *value)
{
	static const char kinds[RISK_KINDS + 1] = "fron";
	const char *kind = value[0] == '\0' ? NULL : strchr(kinds, value[0]);
	struct risk risk;
	char *end;

	if (kind == NULL)
		return -1;
	risk = read_risk(value + 1, &end);
	return risk_names_add(a->risks, (enum risk_kind)(kind - kinds), name, risk, end + (*end == ' '));
}

static void
set_all(struct code_answer *a, const char *value)
{
	char *end;
	struct risk risk = read_risk(value, &end);

	risk_names_set_all(a->risks, risk.always, risk.in_writes, (unsigned)strtoul(end, NULL, 10) & RISK_ALL);
}

static void
set_mark(struct code_answer *a, const char *value)
{
	size_t len = strspn(value, "0123456789");

	if (len < sizeof(a->mark) && value[len] == ' ') {
		memcpy(a->mark, value, len);
		a->started_us = strtoull(value + len, NULL, 10);
	}
}

/* Ignores rows of another shape: PostgreSQL does not send them. */
void
database_code_row(struct database_code *code, const uint8_t *body, size_t len, bool is_whole)
{
	struct code_answer *a = code->coming;
	struct probe_row row;
	char *copy, *end;

	if (a == NULL || code->is_broken)
		return;
	copy = malloc(len + 3);
	code->is_broken = copy == NULL || !is_whole;
	if (code->is_broken || !probe_read_row(body, len, copy, &row)) {
		free(copy);
		return;
	}
	if (row.kind == 'r') {
		code->is_broken = add_name(a, row.name, row.value) < 0;
	} else if (row.kind == 't') {
		code->is_broken = risk_names_add_type(a->risks, (uint32_t)strtoul(row.name, NULL, 10),
						      read_risk(row.value, &end)) < 0;
	} else if (row.kind == 'h') {
		code->is_broken = risk_names_add_hiding(a->risks, row.name) < 0;
	} else if (row.kind == 'a') {
		set_all(a, row.value);
	} else if (row.kind == 's' && strlen(row.name) < sizeof(a->fdw_schema)) {
		memcpy(a->fdw_schema, row.name, strlen(row.name) + 1);
	} else if (row.kind == 'v' && strlen(row.name) < sizeof(a->version)) {
		memcpy(a->version, row.name, strlen(row.name) + 1);
		set_mark(a, row.value);
	} else if (row.kind == 'n' && a->name_count < CODE_NAMES_MAX) {
		a->names[a->name_count] = strdup(row.name);
		code->is_broken = a->names[a->name_count] == NULL;
		a->name_count += !code->is_broken;
	} else if (row.kind == 'q') {
		a->has_no_sequence = true;
	}
	free(copy);
}

/* --- doubts: see database_code_news.c, too --- */

/* Four numbers for each catalog: inserted and updated by all, and by its own backend. */
static struct code_tally
read_tally(const char *state, const char *numbers)
{
	struct code_tally t = { .is_known = strcmp(state, "on") == 0 };

	for (unsigned i = 0; *(numbers += strspn(numbers, "{,}\" ")) != '\0'; i++) {
		struct code_sums *s = i % 4 < 2 ? &t.all : &t.own;
		char *end;
		uint64_t n = strtoull(numbers, &end, 10);

		*(i / 4 < SEAL_TALLY_CODE ? &s->code : &s->relations) += n;
		if (end == numbers)
			break;
		numbers = end;
	}
	return t;
}

static struct code_of_host *
find_host(struct database_code *code, const void *host)
{
	struct code_of_host *h;

	for (unsigned i = 0; i < CODE_HOSTS_MAX; i++)
		if (code->hosts[i].host == host)
			return &code->hosts[i];
	h = &code->hosts[code->next_host++ % CODE_HOSTS_MAX];
	*h = (struct code_of_host){ .host = host };
	return h;
}

/*
 * Rows that this backend wrote are either its own still, or reported. So nothing was written by it if both numbers are
 * those that it told before; or if it has nothing of its own, and all is what another one has been told of.
 */
static bool
is_unwritten(uint64_t all, uint64_t own, uint64_t told_all, uint64_t told_own, uint64_t host_all)
{
	return (all == told_all && own == told_own) || (all == host_all && own == 0);
}

static enum code_change
compare_tally(const struct code_tally *t, const struct code_tally *told, const struct code_tally *host)
{
	told = told->is_known ? told : host;
	host = host->is_known ? host : told;
	if (!t->is_known || !told->is_known)
		return CODE_DIFFERS;
	if (!is_unwritten(t->all.code, t->own.code, told->all.code, told->own.code, host->all.code))
		return CODE_DIFFERS;
	return is_unwritten(t->all.relations, t->own.relations, told->all.relations, told->own.relations,
			    host->all.relations)
		   ? CODE_SAME
		   : CODE_SAME_BUT_RELATIONS;
}

enum code_change
database_code_tallied(struct database_code *code, struct code_doubt *d, const void *host, const char *all,
		      const char *own, uint64_t now_us)
{
	struct code_tally t = read_tally(all, own);
	struct code_of_host *h = find_host(code, host);
	enum code_change changed = compare_tally(&t, &d->told, &h->told);

	d->told = t;
	h->told = t;
	h->told.own = (struct code_sums){ 0 };
	database_code_dispel(code, d, now_us);
	code->is_counted = code->is_counted || t.is_known;
	if (!t.is_known)
		code->untold = UNTOLD_MAX;
	return database_code_is_uncounted(code) ? CODE_SAME : changed;
}

void
database_code_untold(struct database_code *code)
{
	code->untold += code->untold < UNTOLD_MAX;
}

bool
database_code_is_uncounted(const struct database_code *code)
{
	return !code->is_counted && code->untold == UNTOLD_MAX;
}

/* The answer tells of all that was suspected when it was asked for. */
static void
answer_suspicions(struct database_code *code)
{
	code->suspected = code->suspected_since_asked;
	database_code_note_unsure(code);
}

/* Held: DDL that another loop sees meanwhile comes before or after. */
static void
believe(struct database_code *code)
{
	code->answered_us = code->asked_us;
	code->failed_us = 0;
	code->is_settled = code->changed == code->changed_asked;
	code->believed_until_us =
	    code->is_settled && !code->is_of_several ? code->asked_us + 2 * interval_us(code->read_cost_us) : 0;
	code->harmless_until_us = risk_names_are_none(code->answer->risks) ? code->believed_until_us : 0;
}

/* Not each time: what began before it can't be looked for by it. */
static void
take_mark(struct database_code *code, const char *mark, uint64_t now_us)
{
	memmove(code->answer->mark, mark, sizeof(code->answer->mark));
	code->has_young = false;
	database_code_hold(code); /* other loops that suspect the database read it */
	code->marked_us = now_us;
	database_code_let_go(code);
}

/* Another version is read in its turn; the answer is believed no longer than any that was not confirmed. */
static void
compare_version(struct database_code *code, uint64_t now_us)
{
	code->is_outdated = strcmp(code->coming->version, code->answer->version) != 0;
	if (code->is_outdated && code->suspected != CODE_SAME)
		database_code_changed(code, true);
	else if (!code->is_outdated && (code->has_young || now_us - code->marked_us > MARK_US))
		take_mark(code, code->coming->mark, now_us);
	database_code_hold(code);
	if (!code->is_outdated)
		believe(code);
	answer_suspicions(code);
	database_code_let_go(code);
}

/* There are young rows: the version tells whether anything depends on them. */
static void
compare_since(struct database_code *code)
{
	code->has_young = strcmp(code->coming->version, "0") != 0;
	database_code_hold(code);
	if (code->has_young)
		code->suspected = CODE_DIFFERS;
	else
		answer_suspicions(code);
	database_code_let_go(code);
}

/* The answer is about the one that is there. */
static void
compare(struct database_code *code, uint64_t now_us)
{
	if (code->asked == ASKED_SINCE)
		compare_since(code);
	else
		compare_version(code, now_us);
	answer_free(code->coming);
	code->coming = NULL;
}

bool
database_code_answered(struct database_code *code, bool ok, uint32_t number, uint64_t now_us)
{
	struct code_answer *before = code->answer;

	if (code->coming == NULL)
		return false;
	if (!ok || code->is_broken) {
		answer_free(code->coming);
		code->coming = NULL;
		code->failed_us = now_us;
		return false;
	}
	if (code->asked != ASKED_SINCE) {
		code->cost_us = now_us - code->asked_us;
		database_code_be_on(code, code->coming->started_us);
	}
	if (code->asked != ASKED_ALL) {
		compare(code, now_us);
		return false;
	}
	code->answer = code->coming;
	code->coming = NULL;
	answer_free(before);
	code->number = number;
	code->read_asked_us = code->asked_us;
	code->read_cost_us = code->cost_us;
	code->changed_answered = code->changed_asked;
	code->is_outdated = false;
	take_mark(code, code->answer->mark, now_us);
	database_code_hold(code);
	code->replaced_us = now_us;
	believe(code);
	answer_suspicions(code);
	database_code_let_go(code);
	return true;
}
