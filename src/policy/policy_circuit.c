/* src/policy/policy_circuit.c - see policy_circuit.h. */
#include "policy/policy_circuit.h"

#include "base/backoff.h"
#include "policy/policy_budget.h"
#include "base/table.h"

#include <stdlib.h>
#include <string.h>

#define BACKOFF_FIRST_US (50 * 1000u)
#define BACKOFF_MOST_US (400 * 1000u)
#define TRIALS_MOST 16

struct policy_circuit {
	struct circuit_news news;
	uint64_t answered_us; /* when the host last answered */
	uint64_t tried_us; /* when the last trial began */
	uint32_t trials; /* under way */
	uint64_t random;
	TAILQ_HEAD(, circuit_member) members;
	uint32_t uses;
	UT_hash_handle hh;
	char name[];
};

void
circuit_join(struct policy_circuit *c, struct circuit_member *m, struct policy *p)
{
	*m = (struct circuit_member){ .circuit = c, .pool = p };
	if (c == NULL)
		return;
	m->round = c->news.failed_count > 0 ? 0 : c->news.round;
	TAILQ_INSERT_TAIL(&c->members, m, link);
}

void
circuit_leave(struct circuit_member *m)
{
	if (m->circuit != NULL)
		TAILQ_REMOVE(&m->circuit->members, m, link);
	m->circuit = NULL;
}

static bool
is_open(const struct policy_circuit *c)
{
	return c != NULL && c->news.failed_count > 0;
}

bool
circuit_allows(const struct circuit_member *m, bool is_patient, uint64_t now_us)
{
	const struct policy_circuit *c = m->circuit;

	if (!is_open(c))
		return true;
	if (c->trials > 0)
		return is_patient && c->trials < TRIALS_MOST && now_us >= c->tried_us + TRIAL_EVERY_US;
	return now_us >= c->news.backoff_until_us;
}

uint64_t
circuit_due(const struct circuit_member *m)
{
	const struct policy_circuit *c = m->circuit;

	if (!is_open(c))
		return UINT64_MAX;
	return c->trials > 0 ? c->tried_us + TRIAL_EVERY_US : c->news.backoff_until_us;
}

bool
circuit_began(const struct circuit_member *m, uint64_t now_us)
{
	if (!is_open(m->circuit))
		return false;
	m->circuit->trials++;
	m->circuit->tried_us = now_us;
	return true;
}

static void
wake_others(const struct circuit_member *m, uint64_t now_us)
{
	struct circuit_member *other;

	TAILQ_FOREACH(other, &m->circuit->members, link)
		if (other != m && policy_has_waiters(other->pool))
			policy_stir(other->pool, now_us);
}

void
circuit_ended(const struct circuit_member *m, uint64_t now_us)
{
	m->circuit->trials--;
	wake_others(m, now_us);
}

void
circuit_answered(const struct circuit_member *m, uint64_t now_us)
{
	struct policy_circuit *c = m->circuit;
	struct circuit_member *other;

	if (c == NULL)
		return;
	c->answered_us = now_us;
	if (!is_open(c))
		return;
	c->news.failed_count = 0;
	c->news.round++;
	TAILQ_FOREACH(other, &c->members, link)
		if (other != m)
			policy_stir(other->pool, now_us); /* it may be in an outage, too */
}

/* CF_OTHER may be anything, such as a password_command that has failed. */
static bool
is_of_host(enum connect_failure kind, const struct fail *why)
{
	return kind == CF_DNS || kind == CF_REFUSED || kind == CF_TIMEOUT ||
	       (kind == CF_OTHER && strcmp(why->sqlstate, "57P03") == 0);
}

void
circuit_failed(const struct circuit_member *m, enum connect_failure kind, bool is_fatal, const struct fail *why,
	       uint64_t started_us, uint64_t now_us)
{
	struct policy_circuit *c = m->circuit;
	struct circuit_news *n;

	if (c == NULL)
		return;
	if (is_fatal || kind == CF_AUTH || kind == CF_TOO_MANY) {
		circuit_answered(m, now_us);
		return;
	}
	n = &c->news;
	if (!is_of_host(kind, why) || started_us < c->answered_us)
		return;
	/* Attempts begun before the last failure have failed for the same reason. */
	if (n->failed_count > 0 && started_us <= n->failed_us)
		return;
	n->backoff_until_us = now_us + backoff_us(n->failed_count, BACKOFF_FIRST_US, BACKOFF_MOST_US, &c->random);
	n->failed_count++;
	n->round++;
	n->failed_us = now_us;
	n->kind = kind;
	n->why = *why;
	wake_others(m, now_us);
}

void
circuit_hurry(const struct circuit_member *m)
{
	if (m->circuit != NULL)
		m->circuit->news.backoff_until_us = 0;
}

const struct circuit_news *
circuit_news(const struct circuit_member *m)
{
	return m->circuit == NULL || m->circuit->news.round == m->round ? NULL : &m->circuit->news;
}

/* --- All circuits. --- */

struct policy_circuit *
policy_circuit_get(struct policy_circuits *all, const char *name)
{
	struct policy_circuit *c;
	size_t len = strlen(name);

	TABLE_FIND(all->seed, all->table, name, len, c);
	if (c == NULL) {
		c = calloc(1, sizeof(*c) + len + 1);
		if (c == NULL)
			return NULL;
		memcpy(c->name, name, len + 1);
		c->random = all->seed;
		TAILQ_INIT(&c->members);
		if (!TABLE_ADD(all->seed, all->table, c->name, len, c)) {
			free(c);
			return NULL;
		}
	}
	c->uses++;
	return c;
}

void
policy_circuit_put(struct policy_circuits *all, struct policy_circuit *c)
{
	if (c == NULL || --c->uses > 0)
		return;
	HASH_DELETE(hh, all->table, c);
	free(c);
}
