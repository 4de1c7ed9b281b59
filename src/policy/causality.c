/*
 * src/policy/causality.c - see causality.h.
 *
 * Why causality_check_read() is correct: let r be a reply, and let a reading be begun after r.
 *
 * - A reading of the primary: its position is beyond the record of every commit that r has reported or shown. This
 *   holds for any host that r came from, because a standby shows only what the primary had written before (`ceiling`).
 * - A reading of the same standby, in the same life: its position is beyond every commit that r has shown, and its xmax
 *   is above the numbers of these transactions.
 * - A reading of any proved standby whose position is beyond every commit that r has shown: the standby's snapshot was
 *   taken after that position was reached, so its xmax is above the numbers of these transactions, too. A transaction
 *   that has not ended on that standby has no commit in the log up to that position, so r has not shown it.
 *
 * While the history stays the same, a token's positions only grow, and a due number is replaced only by a higher one or
 * by the position of its reading. A request runs on a standby only when the standby has everything that was due before
 * the request. So the state that the request is shown is no older than the states that the client was shown before.
 */
#include "policy/causality.h"

#include <stdio.h>
#include <stdlib.h>

/* Returns the primary's last reading; an empty reading, whose number is 0, if there is none. */
static const struct reading *
primary_reading(const struct cluster_view *v)
{
	static const struct reading none;

	return v->primary < 0 ? &none : &v->hosts[v->primary].last;
}

static bool
is_same_life(const struct read_token *t, const struct cluster_view *v)
{
	return t->life != 0 && v->hosts[t->host].life == t->life;
}

static void
raise_to(uint64_t *position, uint64_t to)
{
	*position = to > *position ? to : *position;
}

static void
lower_shown_xmax(struct read_token *t, uint64_t xmax)
{
	if (xmax != 0 && (t->shown_xmax == 0 || xmax < t->shown_xmax))
		t->shown_xmax = xmax;
}

/* The standby's own reading is preferred to the primary's: the primary is further on, so with that reading other hosts
 * could be used only later. When the standby's life is over, the primary's reading is used. Until then, the primary's
 * reading (`ceiling`) allows reads on other standbys if this one does not answer. */
static void
resolve_host(struct read_token *t, const struct cluster_view *v, const struct reading *primary)
{
	const struct reading *last = &v->hosts[t->host].last;

	if (t->ceiling == 0 && primary->number >= t->host_due) {
		t->ceiling = primary->position;
		lower_shown_xmax(t, primary->next_xid);
	}
	if (is_same_life(t, v) && last->number >= t->host_due)
		raise_to(&t->position, last->position);
	else if (!is_same_life(t, v) && t->ceiling != 0)
		raise_to(&t->position, t->ceiling);
	else
		return;
	t->host_due = 0;
}

/* Takes over the readings that were due. */
static void
resolve(struct read_token *t, const struct cluster_view *v)
{
	const struct reading *primary = primary_reading(v);

	if (t->primary_due != 0 && primary->number >= t->primary_due) {
		raise_to(&t->position, primary->position);
		t->primary_due = 0;
	}
	if (t->host_due != 0)
		resolve_host(t, v, primary);
}

void
causality_note_read(struct read_token *t, uint64_t begun, unsigned host, uint64_t life)
{
	t->host = (uint8_t)host;
	t->life = life;
	t->host_due = begun + 1;
	t->ceiling = t->shown_xmax = 0;
	t->is_unsettled = true;
}

/* Returns the position at which a host has all that the client was shown on standbys; UINT64_MAX if not known yet. */
static uint64_t
shown_up_to(const struct read_token *t)
{
	if (t->host_due != 0 && t->ceiling == 0)
		return UINT64_MAX;
	return t->host_due != 0 && t->ceiling > t->position ? t->ceiling : t->position;
}

enum causality
causality_check_read(struct read_token *t, const struct cluster_view *v, unsigned host, uint64_t max_lag_us)
{
	const struct host_view *h = &v->hosts[host];
	uint64_t needed;

	if (host >= v->count || v->primary < 0 || h->role != HOST_STANDBY || h->life == 0 || !h->is_proved ||
	    h->is_silent || h->lag_us > max_lag_us)
		return CAUSALITY_NEVER;
	if (t->history != v->history)
		return CAUSALITY_LATER;
	resolve(t, v);
	/* In the same life a standby has all that it has shown before, because replay does not go back. */
	needed = h->life == t->life ? t->position : shown_up_to(t);
	return t->primary_due == 0 && h->last.number != 0 && (h->last.position >= needed || h->replayed >= needed)
		   ? CAUSALITY_NOW
		   : CAUSALITY_LATER;
}

uint64_t
causality_needed_position(const struct read_token *t, const struct cluster_view *v, unsigned host)
{
	const struct host_view *h = &v->hosts[host];

	if (t->history != v->history || t->primary_due != 0 || h->last.number == 0)
		return UINT64_MAX;
	return h->life == t->life ? t->position : shown_up_to(t);
}

/* --- Settled. --- */

/* Returns true if this host can tell which transactions the client can't have been shown. */
static bool
is_witness(const struct read_token *t, const struct host_view *h)
{
	return h->role == HOST_STANDBY && h->life != 0 && h->is_proved && h->last.number != 0 &&
	       h->last.position >= shown_up_to(t);
}

/* Returns true if the primary shows every transaction that the client may have been shown. witness may be NULL. */
static bool
all_are_visible(const struct read_token *t, const struct reading *primary, const struct reading *witness)
{
	uint32_t at = 0, count = witness == NULL || witness->open_count > CLUSTER_OPEN_MAX ? 0 : witness->open_count;

	if (t->shown_xmax == 0 || primary->xmax < t->shown_xmax || primary->open_count > CLUSTER_OPEN_MAX)
		return false;
	for (uint32_t i = 0; i < primary->open_count && primary->open[i] < t->shown_xmax; i++) {
		while (at < count && witness->open[at] < primary->open[i])
			at++;
		if (at == count || witness->open[at] != primary->open[i])
			return false;
	}
	return true;
}

/* The time at which the primary's reading was begun does not matter: a transaction that the primary has shown once
 * stays visible there. */
enum causality
causality_check_write(struct read_token *t, const struct cluster_view *v)
{
	const struct reading *primary;
	bool is_settled;

	if (!t->is_unsettled)
		return CAUSALITY_NOW;
	if (t->history != v->history)
		return CAUSALITY_LATER;
	resolve(t, v);
	primary = primary_reading(v);
	for (uint32_t i = 0; i < v->count; i++)
		if (is_witness(t, &v->hosts[i]))
			lower_shown_xmax(t, v->hosts[i].last.xmax);
	is_settled = all_are_visible(t, primary, NULL);
	for (uint32_t i = 0; !is_settled && i < v->count; i++)
		is_settled = is_witness(t, &v->hosts[i]) && all_are_visible(t, primary, &v->hosts[i].last);
	t->is_unsettled = !is_settled;
	return is_settled ? CAUSALITY_NOW : CAUSALITY_LATER;
}

/* --- Another primary. --- */

/* Returns the view's entry for the primary of that history; an empty entry if the view has forgotten that primary. */
static const struct former_primary *
former_of(const struct cluster_view *v, uint32_t history)
{
	static const struct former_primary forgotten;
	const struct former_primary *former = &v->former[history % CLUSTER_FORMER_MAX];

	return former->history == history ? former : &forgotten;
}

/* Returns true if the new primary's log has all that the client has written or been shown. A log that has what one
 * reading covers also has what earlier readings cover. */
static bool
is_kept(const struct read_token *t, const struct former_primary *former)
{
	return former->end == UINT64_MAX || (t->position <= former->end && t->primary_due <= former->last_reading &&
					     t->host_due <= former->last_reading);
}

/*
 * Due numbers that are not replaced here stay valid: a later reading of the new primary covers everything that the due
 * readings of the old primary would have covered, as far as the new primary has it. Readings of the old primary no
 * longer tell what the client was shown.
 */
bool
causality_take_loss(struct read_token *t, const struct cluster_view *v, uint64_t *position, uint64_t *end)
{
	const struct former_primary *former = former_of(v, t->history);
	bool is_known = t->history != 0, is_lost;

	if (t->history == v->history)
		return false;
	is_lost = is_known && !is_kept(t, former);
	*position = t->position > former->end ? t->position : 0;
	*end = former->end;
	if (is_lost) {
		t->position = 0;
		t->primary_due = v->begun + 1;
	}
	if (t->is_unsettled) {
		t->host_due = v->begun + 1;
		t->life = 0;
	}
	t->ceiling = t->shown_xmax = 0;
	t->history = v->history;
	return is_lost;
}

/* --- Positions that clients pass on: SET pgweir.min_lsn. --- */

enum causality
causality_require(struct read_token *t, const struct cluster_view *v, uint64_t position, uint64_t due)
{
	const struct reading *primary = primary_reading(v);

	if (t->history != v->history || primary->number == 0)
		return CAUSALITY_LATER;
	if (primary->position < position)
		return primary->number >= due ? CAUSALITY_NEVER : CAUSALITY_LATER;
	raise_to(&t->position, position);
	return CAUSALITY_NOW;
}

bool
causality_parse(const char *text, uint64_t *position)
{
	char high[9], low[9];
	int len = 0;

	if (sscanf(text, "%8[0-9A-Fa-f]/%8[0-9A-Fa-f]%n", high, low, &len) != 2 || text[len] != '\0')
		return false;
	*position = strtoull(high, NULL, 16) << 32 | strtoull(low, NULL, 16);
	return true;
}
