/*
 * src/admission/admission_failures.c - a wrong password is answered late (login_failure_delay), and later with each
 * further one from the same address, so that passwords can't be tried quickly. A right password makes up for the wrong
 * ones of the same user from there, not for those of others: who has an account could try theirs.
 *
 * The connection waits with a timer of its own, nothing else does. What it sends meanwhile is dropped, and it may
 * leave. It counts as logging in. Held answers are bounded: in all by HELD_MAX, above which they go at once; for one
 * address by DOOR_WAITING_MAX, above which its further logins are refused before they can try a password.
 */
#include "admission/admission_state.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

#define HELD_MAX 1000u

struct door_hold {
	struct client *c;
	struct event *timer;
	struct fail why;
};

bool
door_is_answer_held(const struct client_login *l)
{
	return l->hold != NULL;
}

static void
let_go(struct door_hold *hold)
{
	struct client *c = hold->c;

	c->env->door->held_count--;
	if (c->address != NULL)
		c->address->waiting--;
	c->login->hold = NULL;
	event_free(hold->timer);
	free(hold);
}

/* The client left, or all end. */
static void
on_abandon(void *arg)
{
	let_go(arg);
}

void
door_answer_now(struct client *c)
{
	struct door_hold *hold = c->login->hold;
	struct fail why = hold->why;

	c->login->abandon = NULL;
	let_go(hold);
	client_close(c, &why);
}

static void
on_time(evutil_socket_t fd, short what, void *arg)
{
	struct door_hold *hold = arg;

	(void)fd;
	(void)what;
	*hold->c->env->x.now_us = clock_now_us();
	door_answer_now(hold->c);
}

static struct door_hold *
hold_new(struct client *c, const struct fail *why, uint64_t delay_us)
{
	struct timeval tv = { (time_t)(delay_us / US_PER_S), (suseconds_t)(delay_us % US_PER_S) };
	struct door_hold *hold = calloc(1, sizeof(*hold));

	if (hold == NULL)
		return NULL;
	hold->c = c;
	hold->why = *why;
	hold->timer = event_new(c->env->x.base, -1, 0, on_time, hold);
	if (hold->timer == NULL || event_add(hold->timer, &tv) < 0) {
		if (hold->timer != NULL)
			event_free(hold->timer);
		free(hold);
		return NULL;
	}
	return hold;
}

struct guess_key {
	uint8_t bytes[DOOR_KEY_MAX];
};

static size_t
put_guess_key(const struct client *c, struct guess_key *key)
{
	size_t len = door_address_key(c, key->bytes), user_len = strlen(c->login->user);

	if (user_len > sizeof(key->bytes) - len)
		user_len = sizeof(key->bytes) - len; /* those that begin alike count together */
	memcpy(key->bytes + len, c->login->user, user_len);
	return len + user_len;
}

static uint64_t
delay_of(struct client *c)
{
	const struct config *config = c->env->x.config;
	uint64_t base = config->login_failure_delay_us, max = config->login_failure_delay_max_us;
	struct door_entry *own;
	struct guess_key key;

	if (c->address == NULL)
		return base < max ? base : max;
	own = door_table_get(c->env->door->guesses, key.bytes, put_guess_key(c, &key), *c->env->x.now_us);
	if (own != NULL)
		door_entry_failed(own, base, max, *c->env->x.now_us);
	return door_entry_failed(c->address, base, max, *c->env->x.now_us);
}

void
door_failed(struct client *c, const struct fail *why)
{
	struct client_login *l = c->login;
	struct door *door = c->env->door;
	uint64_t delay_us = delay_of(c);

	if (l->out.len > 0)
		login_flush(c);
	if (c->x.is_closing)
		return;
	if (delay_us == 0 || door->held_count >= HELD_MAX || (l->hold = hold_new(c, why, delay_us)) == NULL) {
		client_close(c, why);
		return;
	}
	door->held_count++;
	if (c->address != NULL)
		c->address->waiting++;
	door_line_join(c, DOOR_FAILED);
	client_step(&c->x, CE_WRONG_PROOF);
	login_wait(c, on_abandon, l->hold);
	stream_set_reading(&c->x.stream, true); /* to see it leave; login_bytes drops the rest */
}

void
door_succeeded(struct client *c)
{
	struct door_entry *own;
	struct guess_key key;

	if (c->address == NULL)
		return;
	own = door_table_find(c->env->door->guesses, key.bytes, put_guess_key(c, &key));
	if (own == NULL)
		return;
	door_entry_forgive(c->address, own->failures);
	door_entry_forgive(own, own->failures);
}
