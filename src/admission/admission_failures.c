/*
 * src/admission/admission_failures.c - a wrong password is answered late (login_failure_delay), and each further one
 * from the same address later still, so passwords can't be tried quickly. A right password makes up only for the same
 * user's wrong ones from that address; otherwise a user with an account could go on trying other users' passwords.
 * Users at an address in exempt_addresses, and users of the console, wait only because of their own wrong passwords.
 *
 * Only the connection with the wrong password waits, with a timer of its own. Meanwhile the connection's input is
 * dropped, its client may leave, and the connection counts as logging in. At HELD_MAX delayed answers in all, further
 * answers are sent at once. At ADMISSION_WAITING_MAX for one address (or for one user of the console or of
 * exempt_addresses), further logins are refused before they can try a password.
 */
#include "admission/admission_state.h"
#include "net/loop.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define HELD_MAX 1000u

struct admission_hold {
	TAILQ_ENTRY(admission_hold) next;
	struct admission *a;
	struct admission_place *place;
	struct admission_entry
	    *own; /* the client's entry in `wrong_proofs`; NULL for a Unix socket, or without memory */
	struct timer timer;
	struct fail why;
};

void
admission_drop_answer(void *arg)
{
	struct admission_hold *hold = arg;

	assert(hold->a->held_count > 0);
	TAILQ_REMOVE(&hold->a->holds, hold, next);
	hold->a->held_count--;
	if (hold->place->address != NULL) {
		assert(hold->place->address->waiting > 0);
		hold->place->address->waiting--;
	}
	if (hold->own != NULL) {
		assert(hold->own->waiting > 0);
		hold->own->waiting--;
		admission_entry_release(hold->a->wrong_proofs, hold->own, *hold->a->settings.now_us);
	}
	timer_stop(&hold->timer);
	free(hold);
}

void
admission_answer_now(struct admission_hold *hold)
{
	const struct admission_ops *ops = hold->a->settings.ops;
	struct admission_place *t = hold->place;
	struct fail why = hold->why;

	admission_drop_answer(hold);
	ops->answer(t, &why);
}

static void
on_time(void *arg)
{
	admission_answer_now(arg);
}

static struct admission_hold *
hold_answer(struct admission *a, struct admission_place *t, struct admission_entry *own, const struct fail *why,
	    uint64_t delay_us)
{
	struct admission_hold *hold = calloc(1, sizeof(*hold));

	if (hold == NULL)
		return NULL;
	hold->a = a;
	hold->place = t;
	hold->why = *why;
	timer_init(&hold->timer, a->settings.base, a->settings.now_us, on_time, hold);
	if (timer_try_start(&hold->timer, delay_us) < 0) {
		free(hold);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&a->holds, hold, next);
	a->held_count++;
	if (t->address != NULL)
		t->address->waiting++;
	hold->own = own;
	if (own != NULL) {
		own->waiting++;
		admission_entry_hold(a->wrong_proofs, own);
	}
	admission_leave_queue(a, t);
	return hold;
}

/* Writes the key of t->address, which must not be NULL, and this user. Returns the key's length. */
static size_t
put_guess_key(const struct admission_place *t, const char *user, uint8_t key[static ADMISSION_KEY_MAX])
{
	size_t len = t->address->key_len, user_len = strlen(user);

	memcpy(key, t->address->key, len);
	if (user_len > ADMISSION_KEY_MAX - len)
		user_len = ADMISSION_KEY_MAX - len; /* longer names with the same beginning count together */
	memcpy(key + len, user, user_len);
	return len + user_len;
}

struct admission_entry *
admission_find_or_add_guess(struct admission *a, const struct admission_place *t, const char *user)
{
	uint8_t key[ADMISSION_KEY_MAX];

	return admission_table_find_or_add(a->wrong_proofs, key, put_guess_key(t, user, key), *a->settings.now_us);
}

/* Counts a wrong password, except on a Unix socket. Returns for how long to delay the answer. */
static uint64_t
count_failure(struct admission *a, struct admission_place *t, struct admission_entry *own)
{
	const struct config *config = admission_config(a);
	uint64_t base = config->login_failure_delay_us, max = config->login_failure_delay_max_us;
	uint64_t now_us = *a->settings.now_us, of_own = 0, of_address;

	if (t->address == NULL)
		return clock_lesser_us(base, max);
	if (own != NULL)
		of_own = admission_entry_count_failure(own, base, max, now_us);
	of_address = admission_entry_count_failure(t->address, base, max, now_us);
	return t->standing != ADMISSION_SHARED_LIMITS && own != NULL ? of_own : of_address;
}

struct admission_hold *
admission_delay_answer(struct admission *a, struct admission_place *t, const char *user, const struct fail *why)
{
	struct admission_entry *own = t->address == NULL ? NULL : admission_find_or_add_guess(a, t, user);
	uint64_t delay_us = count_failure(a, t, own);

	return delay_us == 0 || a->held_count >= HELD_MAX ? NULL : hold_answer(a, t, own, why, delay_us);
}

void
admission_forgive_user(struct admission *a, const struct admission_place *t, const char *user)
{
	struct admission_entry *own;
	uint8_t key[ADMISSION_KEY_MAX];

	if (t->address == NULL)
		return;
	own = admission_table_find(a->wrong_proofs, key, put_guess_key(t, user, key));
	if (own == NULL)
		return;
	admission_entry_forgive(t->address, own->failures);
	admission_entry_forgive(own, own->failures);
}
