/*
 * tests/sim/reads_watch.c - see reads_sim.h: what dedicated/watch.h and pool/cluster.h do. A reading is begun, looks at
 * the host twice, at different times, and is answered later still.
 */
#include "reads_sim.h"

#include <string.h>

static struct host_view *
seen(struct reads_sim *s, unsigned host)
{
	return &s->watch.view.hosts[host];
}

/* --- histories --- */

/* The position up to which the present primary has the log of an earlier life, as far as cluster_lives_common_end() can
 * tell: nothing behind a timeline that was not seen. */
static uint64_t
common_end(struct reads_sim *s, const struct history *then, uint32_t life, unsigned timeline)
{
	uint32_t head = s->heads[then->life], common = model_common(s, head, s->heads[life]);
	bool is_over = true;

	for (unsigned i = 0; i < HOSTS; i++)
		is_over &= s->hosts[i].life != then->life;
	if (then->life == life || (is_over && timeline == then->timeline && common == head && reads_chance(s, 2048)))
		return UINT64_MAX;
	if (timeline > then->timeline + 1 || (s->profile.has_unknown_ends && reads_chance(s, 1024)))
		return 0;
	if (s->profile.has_unknown_ends && reads_chance(s, 1024))
		return model_position(s, s->records[common].parent);
	return model_position(s, common);
}

static uint64_t
kept(struct reads_sim *s, const struct history *h, uint64_t end)
{
	uint64_t number = 0;

	for (uint32_t i = 0; i < h->count; i++)
		if (h->positions[i] <= end && h->numbers[i] > number && !reads_chance(s, 200))
			number = h->numbers[i];
	return number;
}

static void
begin_history(struct reads_sim *s, uint32_t life, unsigned timeline)
{
	struct cluster_view *v = &s->watch.view;

	if (++v->history >= HISTORIES)
		sim_fail("too many histories");
	s->watch.histories[v->history].life = life;
	s->watch.histories[v->history].timeline = timeline;
	v->former[v->history % CLUSTER_FORMER_MAX].history = v->history;
	for (unsigned i = 0; i < CLUSTER_FORMER_MAX; i++) {
		struct former_primary *p = &v->former[i];

		if (p->history == 0)
			continue;
		p->end = common_end(s, &s->watch.histories[p->history], life, timeline);
		p->last_reading = kept(s, &s->watch.histories[p->history], p->end);
	}
	for (unsigned i = 0; i < HOSTS; i++) {
		v->hosts[i].is_proved = false;
		v->hosts[i].replayed = 0;
	}
	trace_line("watch: history %u", v->history);
}

static void
choose_primary(struct reads_sim *s)
{
	struct cluster_view *v = &s->watch.view;
	const struct watch_list *w;

	v->primary = -1;
	for (unsigned i = 0; i < HOSTS; i++)
		if (s->watch.hosts[i].life != 0 && s->watch.hosts[i].is_primary &&
		    (v->primary < 0 || s->watch.hosts[i].timeline > s->watch.hosts[v->primary].timeline))
			v->primary = (int32_t)i;
	if (v->primary < 0)
		return;
	w = &s->watch.hosts[v->primary];
	if (w->timeline < s->watch.histories[v->history].timeline)
		v->primary = -1; /* it does not know of its end */
	else if (s->watch.histories[v->history].life != w->life)
		begin_history(s, w->life, w->timeline);
}

static void
away(struct reads_sim *s, unsigned host)
{
	*seen(s, host) = (struct host_view){ .role = HOST_AWAY };
	s->watch.hosts[host] = (struct watch_list){ 0 };
	choose_primary(s);
	trace_line("watch: host %u is away", host);
}

static void
meet(struct reads_sim *s, unsigned host)
{
	const struct host *h = &s->hosts[host];

	s->watch.hosts[host] =
	    (struct watch_list){ .life = h->life, .is_primary = h->is_primary, .timeline = h->timeline };
	*seen(s, host) =
	    (struct host_view){ .role = h->is_primary ? HOST_PRIMARY : HOST_STANDBY, .life = ++s->watch.lives };
	trace_line("watch: host %u is there, life %u", host, (unsigned)s->watch.lives);
	choose_primary(s);
}

/* --- readings --- */

static bool
is_there(const struct reads_sim *s, unsigned host)
{
	const struct host *h = &s->hosts[host];
	const struct watch_list *w = &s->watch.hosts[host];

	return h->is_up && w->life == h->life && w->is_primary == h->is_primary;
}

static void
ask(struct reads_sim *s, unsigned host)
{
	struct watch_list *w = &s->watch.hosts[host];
	const struct reading *primary =
	    s->watch.view.primary < 0 ? NULL : &seen(s, (unsigned)s->watch.view.primary)->last;

	w->asking = ASKING_BEGUN;
	w->reading = (struct reading){ .number = ++s->watch.view.begun };
	w->listed_count =
	    primary == NULL || primary->number == 0 || primary->open_count > CLUSTER_OPEN_MAX ? 0 : primary->open_count;
	if (w->listed_count > 0)
		memcpy(w->listed, primary->open, w->listed_count * sizeof(w->listed[0]));
}

static void
list(struct reading *r, uint64_t xid)
{
	if (r->open_count >= CLUSTER_OPEN_MAX) {
		r->open_count = UINT32_MAX;
		return;
	}
	r->open[r->open_count++] = xid;
}

static void
take_primary_snapshot(const struct reads_sim *s, unsigned host, struct reading *r)
{
	const struct host *h = &s->hosts[host];

	r->xmax = h->xmax;
	for (unsigned i = 0; i < s->change_count; i++) { /* in the order of their numbers */
		const struct change *c = &s->changes[i];

		if (c->host == host && c->life == h->life && c->xid < r->xmax &&
		    (c->state == CHANGE_RUNNING || c->state == CHANGE_WRITTEN))
			list(r, c->xid);
	}
}

static void
take_standby_snapshot(const struct reads_sim *s, const struct host *h, struct watch_list *w)
{
	w->reading.xmax = s->records[h->at].xmax;
	for (uint32_t i = 0; i < w->listed_count; i++)
		if (!model_has_ended(s, h->at, w->listed[i]))
			list(&w->reading, w->listed[i]);
}

static void
look(struct reads_sim *s, unsigned host, bool is_first)
{
	const struct host *h = &s->hosts[host];
	struct watch_list *w = &s->watch.hosts[host];

	if (h->is_primary && is_first) {
		take_primary_snapshot(s, host, &w->reading);
	} else if (h->is_primary) {
		w->reading.position = model_position(s, h->at);
		w->reading.next_xid = h->next;
	} else if (is_first) {
		w->reading.position = model_position(s, h->at);
	} else {
		take_standby_snapshot(s, h, w);
	}
	w->asking = is_first ? ASKING_HALF : ASKING_WHOLE;
}

static void
answer(struct reads_sim *s, unsigned host)
{
	struct watch_list *w = &s->watch.hosts[host];
	struct history *h = &s->watch.histories[s->watch.view.history];

	w->asking = ASKING_NOT;
	seen(s, host)->last = w->reading;
	if ((int32_t)host == s->watch.view.primary && h->count < READINGS) {
		h->numbers[h->count] = w->reading.number;
		h->positions[h->count++] = w->reading.position;
	}
	trace_line("watch: host %u, reading %u: position %u, xmax %u, next %u, %u open", host,
		   (unsigned)w->reading.number, (unsigned)w->reading.position, (unsigned)w->reading.xmax,
		   (unsigned)w->reading.next_xid, (unsigned)w->reading.open_count);
}

/* --- proofs --- */

static bool
replays_log_of_primary(const struct reads_sim *s, unsigned host)
{
	int32_t primary = s->watch.view.primary;
	const struct host *h = &s->hosts[host];

	return primary >= 0 && !h->is_primary && h->source == (unsigned)primary && is_there(s, host) &&
	       is_there(s, (unsigned)primary) && model_has(s, s->hosts[primary].at, h->at) &&
	       model_has(s, s->hosts[primary].at, h->flushed);
}

void
watch_left(struct reads_sim *s, unsigned host)
{
	seen(s, host)->is_proved = false;
}

/* --- */

static void
step_connected(struct reads_sim *s, unsigned host)
{
	struct watch_list *w = &s->watch.hosts[host];
	bool is_gone = !is_there(s, host);

	if (reads_chance(s, is_gone ? s->profile.noticing : s->profile.away)) {
		away(s, host);
		return;
	}
	if (!is_gone && !seen(s, host)->is_proved && replays_log_of_primary(s, host) &&
	    reads_chance(s, s->profile.proving))
		seen(s, host)->is_proved = true;
	if (w->asking == ASKING_NOT && reads_chance(s, s->profile.asking[host]))
		ask(s, host);
	if (is_gone)
		return;
	if (w->asking == ASKING_BEGUN && reads_chance(s, s->profile.slow))
		look(s, host, true);
	if (w->asking == ASKING_HALF && reads_chance(s, s->profile.slow))
		look(s, host, false);
	if (w->asking == ASKING_WHOLE && reads_chance(s, s->profile.slow))
		answer(s, host);
}

void
watch_step(struct reads_sim *s)
{
	for (unsigned i = 0; i < HOSTS; i++) {
		if (s->watch.hosts[i].life != 0)
			step_connected(s, i);
		else if (s->hosts[i].is_up && reads_chance(s, s->profile.meeting))
			meet(s, i);
		seen(s, i)->lag_us = reads_chance(s, 16) ? 2 : 0;
	}
}

void
watch_begin(struct reads_sim *s)
{
	s->watch.view.count = HOSTS;
	s->watch.view.primary = -1;
	for (unsigned i = 0; i < HOSTS; i++)
		meet(s, i);
}
