/* src/pool/database_code.c - see database_code.h. */
#include "pool/database_code.h"

#include "base/clock.h"
#include "pool/database_code_sql.h"
#include "session/probe.h"
#include "wire/messages.h"

#include <stdlib.h>
#include <string.h>

#define ASK_AGAIN_US (1 * US_PER_S) /* at most so often ... */
#define COST_SHARE 300u /* ... and at most this part of one server connection's time */
#define ASK_AGAIN_MAX_US (10 * US_PER_S)
#define MINDS_TYPES_US (1 * US_PER_S) /* DDL does not wait longer for an answer */
#define REFUSED_US (60 * US_PER_S)
#define LOST_US (10 * US_PER_S) /* an answer that has not come by then never will */

static void
answer_free(struct code_answer *a)
{
	if (a == NULL)
		return;
	for (unsigned i = 0; i < a->name_count; i++)
		free(a->names[i]);
	for (unsigned i = 0; i < a->culprit_count; i++)
		free(a->culprits[i].names);
	free(a);
}

void
database_code_fini(struct database_code *code)
{
	answer_free(code->answer);
	answer_free(code->coming);
	memset(code, 0, sizeof(*code));
}

static uint64_t
interval_us(uint64_t cost_us)
{
	uint64_t us = cost_us * COST_SHARE;

	return us < ASK_AGAIN_US ? ASK_AGAIN_US : us < ASK_AGAIN_MAX_US ? us : ASK_AGAIN_MAX_US;
}

bool
database_code_is_due(const struct database_code *code, uint64_t now_us)
{
	uint64_t age_us = now_us - code->asked_us;

	if (code->coming != NULL)
		return age_us > LOST_US;
	if (code->used_us <= code->asked_us)
		return false; /* nobody has used the database since */
	if (code->failed_us != 0)
		return now_us - code->failed_us > REFUSED_US;
	if (code->changed_answered !=
	    code->changed) /* soon: until then everything is washed, which is cheaper than asking */
		return age_us > code->read_cost_us * (COST_SHARE / 10);
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
	return database_code_is_due(code, now_us) && now_us - code->asked_us > 2 * interval_us(code->cost_us);
}

unsigned
database_code_feared(const struct database_code *code)
{
	return STATE_WASHABLE | (code->answer == NULL ? 0 : code->answer->parts & STATE_BACKEND);
}

bool
database_code_minds_types(const struct database_code *code)
{
	return (database_code_compiled(code) & (STATE_TYPES | STATE_SHADOWED)) == STATE_SHADOWED &&
	       code->read_cost_us < MINDS_TYPES_US;
}

void
database_code_changed(struct database_code *code, bool is_made)
{
	code->changed++;
	code->believed_until_us = 0;
	if (is_made)
		code->made = code->changed;
}

/* The answer may hold for long: what nobody changes need not be read again. */
static bool
may_be_unchanged(const struct database_code *code)
{
	return code->answer != NULL && code->answer->version[0] != '\0' && !code->is_outdated && code->failed_us == 0 &&
	       code->changed_answered == code->changed;
}

const char *
database_code_ask(struct database_code *code, uint64_t now_us)
{
	/* Otherwise several servers are asked; the first complete answer counts, as old as the first question. */
	if (code->coming == NULL || now_us - code->asked_us > LOST_US) {
		answer_free(code->coming);
		code->coming = calloc(1, sizeof(*code->coming));
		code->is_broken = code->coming == NULL;
		code->asked_us = now_us;
		code->changed_asked = code->changed;
		code->is_version_asked = may_be_unchanged(code);
		code->round++;
	}
	return code->is_version_asked ? DATABASE_CODE_VERSION : DATABASE_CODE_SQL;
}

static bool
add_culprits(struct code_answer *a, const char *parts, const char *names)
{
	struct code_culprits *c = &a->culprits[a->culprit_count];
	char *end;

	if (a->culprit_count == CODE_CULPRITS_MAX)
		return true; /* the names are for people to read; parts is complete without them */
	c->parts = (unsigned)strtoul(parts, NULL, 10);
	c->count = strtoull(names, &end, 10);
	c->names = strdup(*end == ' ' ? end + 1 : end);
	a->culprit_count += c->names != NULL;
	return c->names != NULL;
}

/* Ignores rows of another shape: PostgreSQL does not send them. */
void
database_code_row(struct database_code *code, const uint8_t *body, size_t len, bool is_whole)
{
	struct code_answer *a = code->coming;
	struct probe_row row;
	char *copy;

	if (a == NULL || code->is_broken)
		return;
	copy = malloc(len + 3);
	code->is_broken = copy == NULL || !is_whole;
	if (code->is_broken || !probe_read_row(body, len, copy, &row)) {
		free(copy);
		return;
	}
	if (row.kind == 'c') {
		a->parts |= (unsigned)strtoul(row.name, NULL, 10) & ((1u << STATE_PARTS) - 1);
		code->is_broken = !add_culprits(a, row.name, row.value);
	} else if (row.kind == 's' && strlen(row.name) < sizeof(a->fdw_schema)) {
		memcpy(a->fdw_schema, row.name, strlen(row.name) + 1);
	} else if (row.kind == 'v' && strlen(row.name) < sizeof(a->version)) {
		memcpy(a->version, row.name, strlen(row.name) + 1);
	} else if (row.kind == 'n' && a->name_count < CODE_NAMES_MAX) {
		a->names[a->name_count] = strdup(row.name);
		code->is_broken = a->names[a->name_count] == NULL;
		a->name_count += !code->is_broken;
	} else if (row.kind == 'q') {
		a->has_no_sequence = true;
	}
	free(copy);
}

static void
believe(struct database_code *code)
{
	code->answered_us = code->asked_us;
	code->failed_us = 0;
	code->believed_until_us = code->changed == code->changed_asked && !code->is_of_several
				      ? code->asked_us + 2 * interval_us(code->read_cost_us)
				      : 0;
}

/* Another version is read in its turn; the answer is believed no longer than any that was not confirmed. */
static void
compare_version(struct database_code *code)
{
	code->is_outdated = strcmp(code->coming->version, code->answer->version) != 0;
	if (!code->is_outdated)
		believe(code);
	answer_free(code->coming);
	code->coming = NULL;
}

bool
database_code_answered(struct database_code *code, bool ok, uint64_t now_us)
{
	struct code_answer *before = code->answer;
	bool is_new;

	if (code->coming == NULL)
		return false;
	if (!ok || code->is_broken) {
		answer_free(code->coming);
		code->coming = NULL;
		code->failed_us = now_us;
		return false;
	}
	code->cost_us = now_us - code->asked_us;
	if (code->is_version_asked) {
		compare_version(code);
		return false;
	}
	is_new = before == NULL || before->parts != code->coming->parts;
	code->answer = code->coming;
	code->coming = NULL;
	answer_free(before);
	code->read_asked_us = code->asked_us;
	code->read_cost_us = code->cost_us;
	code->changed_answered = code->changed_asked;
	code->is_outdated = false;
	believe(code);
	return is_new;
}
