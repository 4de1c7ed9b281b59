#include "pool/cluster.h"
#include "base/clock.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define TRAIL_MAX 64u
#define UNASKED_US (250 * US_PER_MS) /* a standby that has not replayed in time is not asked again for this long */

/*
 * The readings of the primary that a standby has not passed, oldest first: the standby's lag is the age of the first. A
 * reading that comes soon after the previous one, compared with the age of the first, is merged with the previous one;
 * a full trail is merged in pairs. So TRAIL_MAX readings suffice. The lag seems longer by about a 16th at most.
 */
struct trail {
	uint32_t count;
	struct {
		uint64_t position, begun_us;
	} at[TRAIL_MAX];
};

#define RECENT_MAX 64u

struct cluster {
	struct policy_named named;
	struct policy_commons *commons;
	pthread_mutex_t lock; /* guards all fields below except the atomic ones */
	struct cluster_view view;
	struct cluster_mark marks[CLUSTER_HOSTS]; /* only for hosts that are not away */
	struct trail trails[CLUSTER_HOSTS];
	struct cluster_mark
	    primaries[CLUSTER_FORMER_MAX]; /* the primaries of the last histories, indexed like view.former */
	struct cluster_lives lives;
	struct {
		uint64_t number, position;
	} recent[RECENT_MAX]; /* the last readings of the primary in this history, by number % RECENT_MAX */
	uint64_t last_life;
	TAILQ_HEAD(, cluster_listener) listeners;
	void (*wake)(void *owner);
	void *owner;
	atomic_uint_fast64_t begun; /* view.begun; written under the lock */
	atomic_uint wanted; /* enum cluster_wants */
	atomic_uint silences; /* how often a standby has fallen silent */
	atomic_bool is_used; /* true if the view was used since the last cluster_take_use() */
	atomic_uint history; /* view.history; written under the lock */
};

/* --- All clusters. --- */

static void
init_cluster(struct policy_commons *all, void *made)
{
	struct cluster *c = made;

	pthread_mutex_init(&c->lock, NULL);
	c->commons = all;
	c->view.primary = -1;
	TAILQ_INIT(&c->listeners);
}

struct cluster *
cluster_get_or_create(struct policy_commons *all, const char *hosts, uint32_t count)
{
	struct cluster *c =
	    policy_named_get_or_create(all, 'k', hosts, strlen(hosts), sizeof(struct cluster), init_cluster);

	if (c == NULL)
		return NULL;
	pthread_mutex_lock(&c->lock);
	c->view.count = count < CLUSTER_HOSTS ? count : CLUSTER_HOSTS;
	pthread_mutex_unlock(&c->lock);
	return c;
}

struct cluster *
cluster_ref(struct cluster *c)
{
	policy_named_ref(c->commons, &c->named);
	return c;
}

void
cluster_put(struct cluster *c)
{
	if (c == NULL || !policy_named_put(c->commons, &c->named))
		return;
	assert(TAILQ_EMPTY(&c->listeners));
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* --- For clients that read from standbys. --- */

const struct cluster_view *
cluster_lock_without_use(struct cluster *c)
{
	pthread_mutex_lock(&c->lock);
	return &c->view;
}

const struct cluster_view *
cluster_lock(struct cluster *c)
{
	const struct cluster_view *v = cluster_lock_without_use(c);

	c->is_used = true;
	return v;
}

uint32_t
cluster_history(struct cluster *c)
{
	if (!atomic_load_explicit(&c->is_used, memory_order_relaxed))
		atomic_store(&c->is_used, true);
	return atomic_load(&c->history);
}

void
cluster_unlock(struct cluster *c)
{
	pthread_mutex_unlock(&c->lock);
}

uint64_t
cluster_last_begun_reading(const struct cluster *c)
{
	return atomic_load(&c->begun);
}

unsigned
cluster_count_silences(const struct cluster *c)
{
	return atomic_load(&c->silences);
}

void
cluster_want(struct cluster *c, enum cluster_wants what)
{
	if ((atomic_fetch_or(&c->wanted, what) & what) == what)
		return;
	pthread_mutex_lock(&c->lock);
	if (c->wake != NULL)
		c->wake(c->owner);
	pthread_mutex_unlock(&c->lock);
}

bool
cluster_note_replayed(struct cluster *c, unsigned host, uint64_t life, uint32_t history, uint64_t position)
{
	struct host_view *h = &c->view.hosts[host];
	bool is_known;

	pthread_mutex_lock(&c->lock);
	is_known = history == c->view.history && c->view.primary >= 0 && life != 0 && h->life == life && h->is_proved;
	if (is_known && position > h->replayed)
		h->replayed = position;
	pthread_mutex_unlock(&c->lock);
	return is_known;
}

void
cluster_note_late(struct cluster *c, unsigned host, uint64_t wait_us, uint64_t now_us)
{
	struct host_view *h = &c->view.hosts[host];

	pthread_mutex_lock(&c->lock);
	if (h->askable_from_us != 0) {
		h->askable_from_us = now_us + UNASKED_US;
		h->late_us = wait_us;
	}
	pthread_mutex_unlock(&c->lock);
}

void
cluster_listen(struct cluster *c, struct cluster_listener *l)
{
	pthread_mutex_lock(&c->lock);
	TAILQ_INSERT_TAIL(&c->listeners, l, link);
	pthread_mutex_unlock(&c->lock);
}

void
cluster_set_waiting(struct cluster_listener *l, bool is_waiting)
{
	atomic_store(&l->is_waiting, is_waiting);
}

void
cluster_unlisten(struct cluster *c, struct cluster_listener *l)
{
	pthread_mutex_lock(&c->lock);
	TAILQ_REMOVE(&c->listeners, l, link);
	pthread_mutex_unlock(&c->lock);
}

static void
tell_and_unlock(struct cluster *c, bool notifies_all)
{
	struct cluster_listener *l;

	TAILQ_FOREACH(l, &c->listeners, link)
		if (notifies_all || atomic_load(&l->is_waiting))
			l->notify(l->owner);
	pthread_mutex_unlock(&c->lock);
}

/* --- Lag. --- */

static void
trail_add(struct trail *t, const struct reading *r)
{
	uint32_t last = t->count - 1;

	if (t->count > 0 && t->at[last].position >= r->position)
		return;
	if (t->count > 1 && r->begun_us - t->at[last].begun_us < (r->begun_us - t->at[0].begun_us) / (TRAIL_MAX / 2)) {
		t->at[last].position = r->position;
		return;
	}
	if (t->count == TRAIL_MAX) {
		t->count /= 2;
		for (uint32_t i = 0; i < t->count; i++) {
			t->at[i].begun_us = t->at[2 * i].begun_us;
			t->at[i].position = t->at[2 * i + 1].position;
		}
	}
	assert(t->count < TRAIL_MAX);
	t->at[t->count].position = r->position;
	t->at[t->count++].begun_us = r->begun_us;
}

static void
trail_pass(struct trail *t, uint64_t position)
{
	uint32_t passed = 0;

	while (passed < t->count && t->at[passed].position <= position)
		passed++;
	if (passed == 0)
		return;
	t->count -= passed;
	memmove(t->at, t->at + passed, t->count * sizeof(t->at[0]));
}

/* Adds r, a reading of the primary, to the trail of each other host that has not passed r, even if the host is away. */
static void
add_to_trails(struct cluster *c, const struct reading *r)
{
	for (uint32_t i = 0; i < c->view.count; i++)
		if (c->view.hosts[i].role != HOST_PRIMARY && c->view.hosts[i].last.position < r->position)
			trail_add(&c->trails[i], r);
}

static void
update_lags(struct cluster *c, uint64_t now_us)
{
	for (uint32_t i = 0; i < c->view.count; i++) {
		const struct trail *t = &c->trails[i];
		uint64_t begun_us = t->count == 0 ? now_us : t->at[0].begun_us;

		c->view.hosts[i].lag_us = now_us > begun_us ? now_us - begun_us : 0;
	}
}

/* --- The choice of the primary. --- */

/* Returns the index of the primary; -1 if there is none, or if it is not known. Of several primaries, returns the one
 * with the latest timeline, unless another one has the same timeline or another system_id. A primary with an earlier
 * timeline than the last known primary does not count, because it may not know that it was replaced. */
static int32_t
find_primary(const struct cluster *c)
{
	const struct cluster_mark *before = &c->primaries[c->view.history % CLUSTER_FORMER_MAX];
	int32_t found = -1;

	for (int32_t i = 0; i < (int32_t)c->view.count; i++)
		if (c->view.hosts[i].role == HOST_PRIMARY &&
		    (found < 0 || c->marks[i].timeline > c->marks[found].timeline))
			found = i;
	for (int32_t i = 0; found >= 0 && i < (int32_t)c->view.count; i++)
		if (c->view.hosts[i].role == HOST_PRIMARY && i != found &&
		    (c->marks[i].timeline == c->marks[found].timeline ||
		     c->marks[i].system_id != c->marks[found].system_id))
			return -1;
	if (found >= 0 && before->system_id == c->marks[found].system_id && c->marks[found].timeline < before->timeline)
		return -1;
	return found;
}

/* Returns the number of the primary's last reading whose position is not beyond this end; 0 if none is known. */
static uint64_t
last_before(const struct cluster *c, uint64_t end)
{
	uint64_t number = 0;

	for (uint32_t i = 0; i < RECENT_MAX; i++)
		if (c->recent[i].position <= end && c->recent[i].number > number)
			number = c->recent[i].number;
	return number;
}

static void
note_former(struct cluster *c, struct former_primary *former, const struct cluster_mark *was,
	    const struct cluster_mark *primary)
{
	uint64_t end = cluster_lives_common_end(was, primary, &c->lives);

	if (former->history + 1 == c->view.history)
		former->last_reading = last_before(c, end);
	else if (end < former->end)
		former->last_reading = 0;
	former->end = end;
}

/* Call when the primary is another host, or has begun another life: as far as pgweir knows, positions in its log are
 * unrelated to the last primary's. */
static void
begin_history(struct cluster *c, const struct cluster_mark *primary)
{
	struct cluster_view *v = &c->view;

	atomic_store(&c->history, ++v->history);
	v->former[v->history % CLUSTER_FORMER_MAX] = (struct former_primary){ .history = v->history };
	c->primaries[v->history % CLUSTER_FORMER_MAX] = *primary;
	for (uint32_t i = 0; i < CLUSTER_FORMER_MAX; i++)
		if (v->former[i].history != 0)
			note_former(c, &v->former[i], &c->primaries[i], primary);
	memset(c->recent, 0, sizeof(c->recent));
	for (uint32_t i = 0; i < v->count; i++) {
		v->hosts[i].is_proved = false;
		v->hosts[i].lag_us = v->hosts[i].replayed = 0;
		c->trails[i].count = 0;
	}
}

static void
choose_primary(struct cluster *c)
{
	struct cluster_view *v = &c->view;

	v->primary = find_primary(c);
	if (v->primary >= 0 &&
	    !cluster_mark_is_same(&c->marks[v->primary], &c->primaries[v->history % CLUSTER_FORMER_MAX]))
		begin_history(c, &c->marks[v->primary]);
}

/* --- For the watch only. --- */

void
cluster_set_watch(struct cluster *c, void (*wake)(void *owner), void *owner)
{
	pthread_mutex_lock(&c->lock);
	c->wake = wake;
	c->owner = owner;
	pthread_mutex_unlock(&c->lock);
}

unsigned
cluster_take_want(struct cluster *c)
{
	return atomic_exchange(&c->wanted, 0);
}

bool
cluster_take_use(struct cluster *c)
{
	return atomic_exchange(&c->is_used, false);
}

static void
forget(struct host_view *h)
{
	*h = (struct host_view){ .role = HOST_AWAY, .lag_us = h->lag_us };
}

void
cluster_begin_life(struct cluster *c, unsigned host, const struct cluster_mark *mark, const struct cluster_lives *lives)
{
	struct host_view *h = &c->view.hosts[host];

	assert(host < CLUSTER_HOSTS);
	pthread_mutex_lock(&c->lock);
	c->lives = *lives;
	c->marks[host] = *mark;
	forget(h);
	h->life = ++c->last_life;
	h->role = !mark->is_standby ? HOST_PRIMARY : mark->replayed != 0 ? HOST_STANDBY : HOST_OTHER;
	choose_primary(c);
	if (c->view.primary >= 0 && c->view.hosts[c->view.primary].last.number != 0)
		add_to_trails(c, &c->view.hosts[c->view.primary].last);
	tell_and_unlock(c, false);
}

void
cluster_set_can_wait(struct cluster *c, unsigned host)
{
	pthread_mutex_lock(&c->lock);
	c->view.hosts[host].askable_from_us = 1;
	pthread_mutex_unlock(&c->lock);
}

void
cluster_set_away(struct cluster *c, unsigned host)
{
	pthread_mutex_lock(&c->lock);
	forget(&c->view.hosts[host]);
	choose_primary(c);
	tell_and_unlock(c, false);
}

void
cluster_set_history_proved(struct cluster *c, unsigned host, bool is_proved)
{
	pthread_mutex_lock(&c->lock);
	c->view.hosts[host].is_proved = is_proved;
	tell_and_unlock(c, false);
}

void
cluster_set_silent(struct cluster *c, unsigned host, bool is_silent)
{
	pthread_mutex_lock(&c->lock);
	c->view.hosts[host].is_silent = is_silent;
	if (is_silent)
		atomic_fetch_add(&c->silences, 1);
	tell_and_unlock(c, is_silent);
}

uint64_t
cluster_begin_reading(struct cluster *c)
{
	uint64_t number;

	pthread_mutex_lock(&c->lock);
	number = ++c->view.begun;
	atomic_store(&c->begun, number);
	pthread_mutex_unlock(&c->lock);
	return number;
}

void
cluster_note_answer(struct cluster *c, unsigned host, const struct reading *r, uint64_t now_us)
{
	struct host_view *h = &c->view.hosts[host];

	assert(host < CLUSTER_HOSTS);
	pthread_mutex_lock(&c->lock);
	if (h->life != 0) {
		h->last = *r;
		if ((int32_t)host == c->view.primary) {
			add_to_trails(c, r);
			c->recent[r->number % RECENT_MAX].number = r->number;
			c->recent[r->number % RECENT_MAX].position = r->position;
		}
		trail_pass(&c->trails[host], r->position);
		update_lags(c, now_us);
		if (h->askable_from_us > now_us && h->lag_us < h->late_us)
			h->askable_from_us = now_us;
	}
	tell_and_unlock(c, false);
}
