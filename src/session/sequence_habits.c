#include "session/sequence_habits.h"

#include "sql/sql_class.h"

#include <xxhash.h>

#define HASHED_MAX 256u

uint32_t
sequence_habits_key(uint64_t seed, const char *sql, size_t len)
{
	size_t at = 0;
	uint32_t key;

	while (at < len && at < HASHED_MAX && sql[at] != '\'' &&
	       (!sql_is(sql[at], DIGIT) || (at > 0 && sql_is(sql[at - 1], WORD))))
		at++;
	key = (uint32_t)XXH3_64bits_withSeed(sql, at, seed);
	return key == 0 ? 1 : key;
}

static struct sequence_habit *
place_of(struct sequence_habits *h, uint32_t key)
{
	struct sequence_habit *p = &h->places[key % SEQUENCE_HABITS_PLACES];

	if (p->key != key)
		*p = (struct sequence_habit){ .key = key };
	return p;
}

enum sequence_habit_kind
sequence_habits_ran(struct sequence_habits *h, uint64_t client, uint32_t key, bool is_wanted)
{
	struct sequence_client *c = &h->last[client % SEQUENCE_HABITS_CLIENTS];
	struct sequence_habit *p = place_of(h, key);

	if (c->client != client)
		*c = (struct sequence_client){ .client = client };
	c->key = key;
	c->ran += c->ran <= SEQUENCE_HABITS_OWN_TRIALS;
	c->unasked++;
	if (p->is_followed)
		return is_wanted && c->unasked > SEQUENCE_HABITS_TRIALS ? SEQUENCE_UNLIKELY : SEQUENCE_FOLLOWED;
	if (p->tried <= SEQUENCE_HABITS_TRIALS)
		p->tried++;
	return p->tried <= SEQUENCE_HABITS_TRIALS || c->ran <= SEQUENCE_HABITS_OWN_TRIALS ? SEQUENCE_TRIED
											  : SEQUENCE_UNLIKELY;
}

void
sequence_habits_asked(struct sequence_habits *h, uint64_t client)
{
	struct sequence_client *c = &h->last[client % SEQUENCE_HABITS_CLIENTS];

	if (c->client != client)
		return;
	place_of(h, c->key)->is_followed = true;
	c->unasked = 0;
}
