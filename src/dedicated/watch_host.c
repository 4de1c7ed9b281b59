/* src/dedicated/watch_host.c - the hosts of one upstream; see watch.h. */
#include "dedicated/watch_state.h"
#include "net/loop.h"

#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define WANTED_US 250u /* the time between two readings while a reading is wanted; longer for a standby that lags */
#define USED_US (20 * US_PER_MS) /* between readings while clients read on standbys; less if reads_wait is short */
#define IDLE_US (1 * US_PER_S)
#define USED_FOR_US (1 * US_PER_S) /* clients count as reading on standbys for this time after the last use */
#define UNFLUSHED_US (5 * US_PER_MS)
#define NUDGE_US (20 * US_PER_MS)
#define OTHER_US (10 * US_PER_S) /* the time between two questions to a host that reports no position */
#define ANSWER_US (5 * US_PER_S)
#define REFUSALS_MAX 8 /* after more failures in a row, REFUSED_US is the wait; a promotion causes a few failures */
#define REFUSED_US (5 * US_PER_S) /* a host that refuses to report its identity is asked again after this time */
#define BACKOFF_MIN_US (50 * US_PER_MS)
#define BACKOFF_MAX_US (500 * US_PER_MS)
#define SILENCE_FACTOR 4 /* an answer may take this many times as long as the slowest recent reading */
#define WAIT_FOR_LSN_VERSION 19 /* the major version with WAIT FOR LSN */
#define SECOND_LOOK_US (1 * US_PER_MS)

static uint64_t
now_of(const struct watch_list *d)
{
	return *d->watch->env.now_us;
}

static bool
is_standby(const struct watch_host *h)
{
	return h->use != WATCH_AWAY && h->met.mark.is_standby;
}

/* Uses a timerfd, because libevent's timers are up to 5 ms late (a tick of its clock and a millisecond), which is too
 * late for WANTED_US. */
static void
set_timer(struct watch_list *d, uint64_t in_us)
{
	struct itimerspec t = { .it_value = { (time_t)(in_us / US_PER_S), (long)(in_us % US_PER_S) * 1000 } };

	t.it_value.tv_nsec += in_us == 0; /* a value of 0 would stop the timer */
	timerfd_settime(d->timer_fd, 0, &t, NULL);
}

/* --- The use of a host. --- */

/* Sets the use of a host. Logs when a standby begins or ceases to be used, or can't be used; `reason` says why. */
static void
set_use(struct watch_host *h, enum watch_host_status use, const char *reason)
{
	struct log *log = h->list->watch->env.log;
	bool is_used = use == WATCH_USED, was_used = h->use == WATCH_USED;
	struct log_about about = { .event = is_used ? "standby_used" : "standby_left",
				   .database = h->list->database,
				   .server = h->name,
				   .reason = is_used ? NULL : reason };

	if (h->use == use)
		return;
	h->use = use;
	if (is_used)
		log_event(log, LOG_LEVEL_INFO, &about, "reads: standby %s is used", h->name);
	else if (was_used || use == WATCH_FORK || use == WATCH_SETTINGS || use == WATCH_OTHER)
		log_event(log, LOG_LEVEL_WARNING, &about, "reads: standby %s is not used: %s", h->name, reason);
}

static struct watch_host *
find_primary(struct watch_list *d)
{
	int32_t primary = cluster_lock_without_use(d->cluster)->primary;

	cluster_unlock(d->cluster);
	return primary < 0 ? NULL : &d->hosts[primary];
}

static void
reject_other_settings(struct watch_host *h, const struct watch_host *primary)
{
	char reason[128];
	size_t i = 0;

	while (i < WATCHED_SETTINGS && h->met.settings[i] == primary->met.settings[i])
		i++;
	if (i == WATCHED_SETTINGS)
		return;
	snprintf(reason, sizeof(reason), "%s differs from the primary's", watch_settings[i]);
	set_use(h, WATCH_SETTINGS, reason);
}

/* Called when a host has answered WATCH_MEET, or was lost (end_life()). */
static void
note_roles(struct watch_list *d)
{
	const struct watch_host *primary = find_primary(d);
	uint32_t before = d->history;
	bool is_new;

	d->history = cluster_lock_without_use(d->cluster)->history; /* the history to which the primary's log belongs */
	cluster_unlock(d->cluster);
	is_new = d->history != before;
	if (is_new)
		d->trial.begun_us = d->trial.position = 0;
	for (uint32_t i = 0; i < d->count; i++) {
		struct watch_host *h = &d->hosts[i];

		if (h->use != WATCH_AWAY && !is_standby(h))
			set_use(h, h == primary ? WATCH_PRIMARY : WATCH_NO_PRIMARY, "it is not in recovery any more");
		if (is_standby(h) && is_new && h->use != WATCH_OTHER)
			set_use(h, WATCH_UNPROVED, "the primary is a new one, or was restarted");
		if (h->use == WATCH_UNPROVED && primary != NULL)
			reject_other_settings(h, primary);
	}
}

static void
end_life(struct watch_host *h, const char *reason)
{
	set_use(h, WATCH_AWAY, reason);
	h->last.number = h->position_at_primary_read = 0;
	if (h->asked == WATCH_TRY && h->list->trial.position == 0) /* only this host could have answered */
		h->list->trial.begun_us = 0;
	cluster_set_away(h->list->cluster, h->index);
	note_roles(h->list);
}

/* Called if a standby may replay another log now. Demands a new proof that the standby replays the primary's log. */
static void
withdraw_proof(struct watch_host *h, const char *reason)
{
	if (!watch_is_proved(h))
		return;
	cluster_set_history_proved(h->list->cluster, h->index, false);
	set_use(h, WATCH_UNPROVED, reason);
	h->met_us = now_of(h->list);
}

static void
note_lag(struct watch_host *h)
{
	h->lag_us = cluster_lock_without_use(h->list->cluster)->hosts[h->index].lag_us;
	cluster_unlock(h->list->cluster);
	if (watch_is_proved(h))
		set_use(h, h->lag_us > h->list->max_lag_us ? WATCH_LAG : WATCH_USED,
			"it is further behind than reads_max_lag");
}

/* --- Asking. --- */

static void
put_question(struct watch_host *h, struct buf *sql)
{
	struct watch_list *d = h->list;
	const struct watch_host *primary = find_primary(d);

	switch (h->asked) {
	case WATCH_MEET:
		watch_put_meet(sql);
		break;
	case WATCH_READ:
		h->reading = (struct reading){ .number = cluster_begin_reading(d->cluster), .begun_us = now_of(d) };
		h->is_wanted = false;
		watch_put_read(sql, &h->met, primary == NULL || primary->last.number == 0 ? NULL : &primary->last);
		break;
	case WATCH_NUDGE:
		d->nudged_us = now_of(d);
		h->is_nudge_due = false;
		watch_put_nudge(sql);
		break;
	case WATCH_TRY:
		d->trial = (struct trial){ .begun_us = now_of(d),
					   .bits = (uint32_t)(random_next(&h->conn.random) >> (64 - TRIAL_COUNT)) };
		watch_put_try(sql, d->trial.bits);
		break;
	default:
		watch_put_check(sql, &d->trial);
		break;
	}
}

static void
ask(struct watch_host *h, enum watch_ask what)
{
	struct watch_list *d = h->list;
	struct buf sql = { 0 };

	h->asked = what;
	memset(&h->answer, 0, sizeof(h->answer));
	if (what == WATCH_READ && !is_standby(h))
		for (uint32_t i = 0; i < d->count; i++)
			d->hosts[i].position_at_primary_read = is_standby(&d->hosts[i]) ? d->hosts[i].last.position : 0;
	put_question(h, &sql);
	dedicated_ask(&h->conn, &sql);
}

static bool
is_to_be_proved(const struct watch_host *h)
{
	return h->use == WATCH_UNPROVED && !h->has_other_timeline;
}

/* Returns true if h is to be proved and there is a trial that can prove it, now or soon. */
static bool
has_trial(const struct watch_host *h)
{
	return is_to_be_proved(h) && h->list->trial.begun_us != 0 && h->list->trial.begun_us >= h->met_us;
}

/* Returns true if a client waits for a position, or did just now. */
static bool
is_waited_for(const struct watch_list *d)
{
	return d->wanted_us != 0 && now_of(d) < d->wanted_us + NUDGE_US;
}

static bool
is_trial_due(const struct watch_host *primary)
{
	const struct watch_list *d = primary->list;

	if (primary->use != WATCH_PRIMARY)
		return false;
	for (uint32_t i = 0; i < d->count; i++)
		if (is_to_be_proved(&d->hosts[i]) && !has_trial(&d->hosts[i]))
			return true;
	return false;
}

static uint64_t
compute_reading_due(const struct watch_host *h)
{
	const struct watch_list *d = h->list;
	bool is_used = d->used_us != 0 && now_of(d) < d->used_us + USED_FOR_US;

	/* half of max_lag_us, so that the lag is known precisely enough */
	uint64_t every_us = clock_lesser_us(IDLE_US, d->max_lag_us / 2);

	if (h->last.number == 0)
		return 0;
	if (h->is_wanted) /* a standby with a long lag is asked less often */
		every_us = h->lag_us / 32 < WANTED_US ? WANTED_US : clock_lesser_us(h->lag_us / 32, USED_US);
	else if (h->unflushed != 0 && is_waited_for(d))
		every_us = UNFLUSHED_US;
	else if (is_used && is_standby(h))
		every_us = clock_lesser_us(d->half_wait_us, USED_US);
	else if (is_used || has_trial(h) || every_us < USED_US)
		every_us = USED_US;
	return h->reading.begun_us + every_us;
}

static void
set_silent(struct watch_host *h, bool is_silent)
{
	h->overdue_us = 0;
	if (h->is_silent == is_silent)
		return;
	h->is_silent = is_silent;
	cluster_set_silent(h->list->cluster, h->index, is_silent);
}

/* Marks a standby that is slow to answer as silent, so the reads that wait for it run on other hosts, too. This is long
 * before end_life(): if the standby is alive after all, the reads merely run twice. A standby in use is asked every
 * half_wait_us or USED_US, whichever is shorter. An answer may take half_wait_us, or longer if recent answers were
 * slow. pgweir itself may read an answer late, so a late answer is looked for twice. Returns when to look next. */
static uint64_t
check_silence(struct watch_host *h)
{
	uint64_t allowed_us = SILENCE_FACTOR * (h->cost_us[0] > h->cost_us[1] ? h->cost_us[0] : h->cost_us[1]);

	allowed_us = h->conn.asked_us + (allowed_us > h->list->half_wait_us ? allowed_us : h->list->half_wait_us);
	if (h->is_silent || !is_standby(h))
		return UINT64_MAX;
	if (now_of(h->list) < allowed_us)
		return allowed_us;
	if (h->overdue_us == 0)
		h->overdue_us = now_of(h->list);
	if (now_of(h->list) < h->overdue_us + SECOND_LOOK_US)
		return h->overdue_us + SECOND_LOOK_US;
	set_silent(h, true);
	return UINT64_MAX;
}

/* Marks the standby as silent if its answer is late. Returns when to check this again. */
static uint64_t
check_answer_due(struct watch_host *h)
{
	return clock_lesser_us(h->conn.asked_us + h->list->patience_us, check_silence(h));
}

/* Asks the question that is due, if any; returns when the next step is due. */
static uint64_t
ask_due(struct watch_host *h)
{
	uint64_t position = h->list->trial.position, due_us = 0;

	if (h->use == WATCH_AWAY)
		ask(h, WATCH_MEET);
	else if (h->use == WATCH_OTHER && now_of(h->list) < (due_us = h->met_us + OTHER_US))
		return due_us;
	else if (h->use == WATCH_OTHER)
		ask(h, WATCH_MEET);
	else if (h->is_nudge_due)
		ask(h, WATCH_NUDGE);
	else if (is_trial_due(h))
		ask(h, WATCH_TRY);
	else if (has_trial(h) && position != 0 && h->last.number != 0 && h->last.position >= position)
		ask(h, WATCH_CHECK);
	else if (now_of(h->list) < (due_us = compute_reading_due(h)))
		return due_us;
	else
		ask(h, WATCH_READ);
	return check_answer_due(h);
}

static uint64_t
run_host(struct watch_host *h)
{
	uint64_t due_us;

	if (dedicated_became_late(&h->conn, h->list->patience_us))
		end_life(h, "it does not answer");
	due_us = dedicated_run(&h->conn);
	return due_us == 0 ? ask_due(h) : h->conn.state == DEDICATED_ASKED ? check_answer_due(h) : due_us;
}

void
watch_list_run(struct watch_list *d)
{
	uint64_t due_us = now_of(d) + IDLE_US;
	unsigned wanted;

	if (cluster_take_use(d->cluster))
		d->used_us = now_of(d);
	if ((wanted = cluster_take_want(d->cluster)) != 0) {
		d->wanted_us = d->used_us = now_of(d);
		for (uint32_t i = 0; i < d->count; i++)
			d->hosts[i].is_wanted |=
			    (wanted & (is_standby(&d->hosts[i]) ? CLUSTER_STANDBYS : CLUSTER_PRIMARY)) != 0;
	}
	for (uint32_t i = 0; i < d->count; i++)
		due_us = clock_lesser_us(due_us, run_host(&d->hosts[i]));
	set_timer(d, due_us > now_of(d) ? due_us - now_of(d) : 0);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct watch_list *d = arg;
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0)
		return; /* the timer was set anew before this call */
	*d->watch->env.now_us = clock_now_us();
	watch_list_run(d);
}

/* --- Answers. --- */

static bool
take_meet(struct watch_host *h)
{
	struct cluster_lives lives;

	if (h->answer.kind != TOLD_MARK)
		return false;
	h->met = h->answer;
	h->has_other_timeline = false;
	h->timeline = h->met.mark.timeline;
	h->met_us = now_of(h->list);
	h->last.number = h->lag_us = 0;
	pool_set_exchange_lives(h->list->watch->pools, &h->met.mark, &lives);
	cluster_begin_life(h->list->cluster, h->index, &h->met.mark, &lives);
	if (h->version >= WAIT_FOR_LSN_VERSION)
		cluster_set_can_wait(h->list->cluster, h->index);
	if (!h->met.mark.is_standby)
		set_use(h, WATCH_NO_PRIMARY, "it is not in recovery any more");
	else
		set_use(h, h->met.mark.replayed != 0 ? WATCH_UNPROVED : WATCH_OTHER, "it reports no replay position");
	note_roles(h->list);
	return true;
}

/* Asks for a nudge if clients wait for a position that is not flushed: without other commits, PostgreSQL's WAL writer
 * may take 200 ms to flush. */
static void
note_flushed(struct watch_host *h)
{
	struct watch_list *d = h->list;

	if (h->unflushed == 0 || h->answer.flushed >= h->unflushed) {
		h->unflushed = h->answer.flushed < h->reading.position ? h->reading.position : 0;
		h->unflushed_us = h->reading.begun_us;
	} else if (is_waited_for(d) && now_of(d) >= h->unflushed_us + UNFLUSHED_US &&
		   now_of(d) >= d->nudged_us + NUDGE_US) {
		h->is_nudge_due = true;
	}
}

static void
note_primary_reading(struct watch_host *h)
{
	struct watch_list *d = h->list;

	note_flushed(h);
	for (uint32_t i = 0; i < d->count; i++)
		if (h->use == WATCH_PRIMARY && d->hosts[i].position_at_primary_read > h->reading.position)
			withdraw_proof(&d->hosts[i], "it is ahead of the primary");
}

static void
note_standby_reading(struct watch_host *h)
{
	const struct watch_host *primary = find_primary(h->list);

	h->timeline = h->answer.timeline;
	h->has_other_timeline = primary != NULL && h->timeline != 0 && h->timeline != primary->met.mark.timeline;
	if (h->has_other_timeline)
		withdraw_proof(h, "it receives a timeline other than the primary's");
	note_lag(h);
}

static void
note_cost(struct watch_host *h)
{
	uint64_t now_us = now_of(h->list), took_us = now_us - h->conn.asked_us;

	if (now_us >= h->cost_since_us + US_PER_S) {
		h->cost_us[1] = h->cost_us[0];
		h->cost_us[0] = 0;
		h->cost_since_us = now_us;
	}
	h->cost_us[0] = took_us > h->cost_us[0] ? took_us : h->cost_us[0];
}

static bool
take_read(struct watch_host *h)
{
	struct reading r = h->answer.reading;

	if (h->answer.kind != TOLD_READING)
		return false;
	if (h->answer.is_standby != is_standby(h)) {
		end_life(h, "it was promoted");
		return true;
	}
	r.number = h->reading.number;
	r.begun_us = h->reading.begun_us;
	if (!is_standby(h))
		r.position = watch_exclude_header(&h->met, r.position);
	h->reading = h->last = r;
	note_cost(h);
	dedicated_forget_failures(&h->conn);
	h->readings++;
	cluster_note_answer(h->list->cluster, h->index, &r, now_of(h->list));
	if (is_standby(h))
		note_standby_reading(h);
	else
		note_primary_reading(h);
	return true;
}

static bool
take_try(struct watch_host *h)
{
	struct trial *t = &h->list->trial;

	if (h->answer.xid_count < TRIAL_COUNT || h->answer.trial.position == 0)
		return false;
	if (h->conn.asked_us != t->begun_us) /* the trial was replaced by another primary's */
		return true;
	memcpy(t->xids, h->answer.trial.xids, sizeof(t->xids));
	t->position = h->answer.trial.position;
	for (uint32_t i = 0; i < h->list->count; i++)
		h->list->hosts[i].is_wanted |= has_trial(&h->list->hosts[i]);
	return true;
}

/* An answer proves nothing if the trial was replaced after the question was sent, or at the same moment. */
static bool
take_check(struct watch_host *h)
{
	if (h->answer.kind != TOLD_BITS)
		return false;
	if (!has_trial(h) || h->conn.asked_us <= h->list->trial.begun_us)
		return true;
	if (h->answer.bits != h->list->trial.bits) {
		set_use(h, WATCH_FORK, "what it replays is not the primary's log");
		return true;
	}
	cluster_set_history_proved(h->list->cluster, h->index, true);
	set_use(h, WATCH_USED, NULL);
	note_lag(h);
	return true;
}

/* --- Events of the connection. --- */

static void
on_up(struct dedicated *d)
{
	struct watch_host *h = (struct watch_host *)d;

	h->version = gucs_major_version(server_login_parameters(d->srv));
	set_timer(h->list, 0);
}

static void
on_row(struct dedicated *d, const uint8_t *body, size_t len, bool is_whole)
{
	if (is_whole)
		watch_read_row(&((struct watch_host *)d)->answer, body, len);
}

/* Returns false if the host's answer was of no use. */
static bool
take_answer(struct watch_host *h)
{
	if (h->conn.state == DEDICATED_REFUSED)
		return false;
	if (h->asked == WATCH_MEET)
		return take_meet(h);
	if (h->use == WATCH_AWAY)
		return true; /* the host's life has ended meanwhile, so WATCH_MEET is due again */
	return h->asked == WATCH_READ	 ? take_read(h)
	       : h->asked == WATCH_TRY	 ? take_try(h)
	       : h->asked == WATCH_CHECK ? take_check(h)
					 : true;
}

static void
on_done(struct dedicated *d)
{
	struct watch_host *h = (struct watch_host *)d;

	d->srv->stream.is_broken |= !take_answer(h);
	set_silent(h, false);
}

static void
on_batch_end(struct dedicated *d)
{
	watch_list_run(((struct watch_host *)d)->list);
}

static void
on_closed(struct dedicated *d)
{
	struct watch_host *h = (struct watch_host *)d;

	if (d->state == DEDICATED_REFUSED && h->asked == WATCH_MEET && d->failures > REFUSALS_MAX)
		d->retry_us = now_of(h->list) + REFUSED_US;
	h->is_nudge_due = false;
	h->unflushed = 0;
	if (h->use != WATCH_AWAY)
		end_life(h, "its connection is gone");
	set_silent(h, false);
	set_timer(h->list, 0);
}

static const struct dedicated_ops conn_ops = {
	.backoff_min_us = BACKOFF_MIN_US,
	.backoff_max_us = BACKOFF_MAX_US,
	.answer_us = ANSWER_US,
	.topic = "reads",
	.up = on_up,
	.row = on_row,
	.done = on_done,
	.batch_end = on_batch_end,
	.closed = on_closed,
};

/* --- Creation and end. --- */

struct watch_list *
watch_list_new(struct watch *w, struct cluster *cluster, uint32_t count)
{
	struct watch_list *d = calloc(1, sizeof(*d));

	if (d == NULL || (d->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) < 0) {
		free(d);
		cluster_put(cluster);
		return NULL;
	}
	d->watch = w;
	d->cluster = cluster;
	d->count = count < CLUSTER_HOSTS ? count : CLUSTER_HOSTS;
	for (uint32_t i = 0; i < d->count; i++) {
		dedicated_init(&d->hosts[i].conn, &conn_ops, w->pools, &w->env);
		d->hosts[i].conn.name = d->hosts[i].name;
		d->hosts[i].conn.trouble_hint = " how far it is";
		d->hosts[i].list = d;
		d->hosts[i].index = i;
	}
	TAILQ_INSERT_TAIL(&w->watched, d, link);
	event_assign(&d->timer, w->env.base, d->timer_fd, EV_READ | EV_PERSIST, on_timer, d);
	if (event_add(&d->timer, NULL) < 0) {
		watch_list_free(d);
		return NULL;
	}
	cluster_set_watch(d->cluster, w->wake, w->owner);
	return d;
}

void
watch_list_free(struct watch_list *d)
{
	TAILQ_REMOVE(&d->watch->watched, d, link);
	cluster_set_watch(d->cluster, NULL, NULL);
	for (uint32_t i = 0; i < d->count; i++)
		dedicated_fini(&d->hosts[i].conn);
	event_del(&d->timer);
	close(d->timer_fd);
	cluster_put(d->cluster);
	free(d);
}
