/*
 * src/session/sequence_habits.h - which statements are followed by a question for the value of a sequence.
 *
 * A client that asks for currval() or lastval() in its next transaction must have kept its connection. Nearly no
 * statement is followed by that question, and applications repeat themselves: so each statement is tried a number of
 * times, and is worth keeping a connection for from then on only if it was followed once. A statement is known by the
 * hash of its SQL up to the first value in it. The table has a fixed size; a statement that takes another one's place
 * is tried anew. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEQUENCE_HABITS_PLACES 1024u
#define SEQUENCE_HABITS_CLIENTS 512u
#define SEQUENCE_HABITS_TRIALS 20u
#define SEQUENCE_HABITS_OWN_TRIALS 2u /* of each client, whatever others have shown */

/* Zeroed: nothing has been learnt. */
struct sequence_habits {
	struct sequence_habit {
		uint32_t key; /* 0: free */
		uint8_t tried;
		bool is_followed; /* it was, once */
	} places[SEQUENCE_HABITS_PLACES];
	/* The clients' last statements. Ids that share a place take it from each other. */
	struct sequence_client {
		uint64_t client; /* 0: free */
		uint32_t key;
		uint32_t ran, unasked; /* how many it has run; since it asked last */
	} last[SEQUENCE_HABITS_CLIENTS];
};

/* Returns the key of this SQL, never 0. seed: random, since clients choose the SQL. */
uint32_t sequence_habits_key(uint64_t seed, const char *sql, size_t len);
/* How likely the question is to come. */
enum sequence_habit_kind { SEQUENCE_UNLIKELY, SEQUENCE_TRIED, SEQUENCE_FOLLOWED };
/*
 * This client (its id) runs the statement. is_wanted: others wait for its connection, or it is to go, so a client that
 * runs such statements all the time and never asks is not believed to.
 */
enum sequence_habit_kind sequence_habits_ran(struct sequence_habits *h, uint64_t client, uint32_t key, bool is_wanted);
/* This client is about to ask the question: the statement that it ran last was followed. */
void sequence_habits_asked(struct sequence_habits *h, uint64_t client);
