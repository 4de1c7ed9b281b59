/* src/restart/parked.c - see moving.h. */
#include "restart/moving.h"
#include "base/alloc.h"
#include "listen/listen.h"
#include "restart/client_record.h"

#include <assert.h>
#include <pthread.h>

struct parked {
	struct wake *look_wake;
	pthread_mutex_t lock; /* guards all fields below */
	unsigned room, count;
	uint64_t listening_from_us;
	struct client *list[2 * PARKED_MAX];
};

struct parked *
parked_new(struct wake *look_wake)
{
	struct parked *p = xcalloc(1, sizeof(*p));

	p->look_wake = look_wake;
	pthread_mutex_init(&p->lock, NULL);
	return p;
}

void
parked_free(struct parked *p)
{
	pthread_mutex_destroy(&p->lock);
	free(p);
}

void
parked_add(struct parked *p, struct client *c)
{
	if (c->x.is_closing || c->x.stream.is_suspended) /* a suspended client is parked already */
		return;
	pthread_mutex_lock(&p->lock);
	if (p->count >= p->room || (c->x.listen != NULL && *c->env->x.now_us < p->listening_from_us)) {
		pthread_mutex_unlock(&p->lock);
		return;
	}
	p->list[p->count++] = c;
	stream_suspend(&c->x.stream, true);
	pthread_mutex_unlock(&p->lock);
	wake_post(p->look_wake);
}

void
parked_resume(struct client *c)
{
	client_record_begin_reading(c);
	exchange_ignore_result(listen_flush(&c->x));
}

struct client *
parked_take(struct parked *p, const struct client_env *env)
{
	struct client *found = NULL;

	pthread_mutex_lock(&p->lock);
	for (unsigned i = 0; i < p->count && found == NULL; i++) {
		struct client *c = p->list[i];

		if (env != NULL && c->env != env)
			continue;
		found = c->x.is_closing ? NULL : c;
		p->list[i--] = p->list[--p->count];
	}
	pthread_mutex_unlock(&p->lock);
	return found;
}

void
parked_tick(struct parked *p, const struct client_env *env)
{
	struct client *c;

	while ((c = parked_take(p, env)) != NULL)
		parked_resume(c);
}

void
parked_set_room(struct parked *p, unsigned room, uint64_t listening_from_us)
{
	pthread_mutex_lock(&p->lock);
	p->room = room;
	p->listening_from_us = listening_from_us;
	pthread_mutex_unlock(&p->lock);
}

void
parked_add_stranded(struct parked *p, struct client *c)
{
	pthread_mutex_lock(&p->lock);
	assert(p->count < sizeof(p->list) / sizeof(p->list[0]));
	p->list[p->count++] = c;
	pthread_mutex_unlock(&p->lock);
}

void
parked_forget(struct parked *p, const struct client *c)
{
	pthread_mutex_lock(&p->lock);
	for (unsigned i = 0; i < p->count; i++)
		if (p->list[i] == c)
			p->list[i--] = p->list[--p->count];
	pthread_mutex_unlock(&p->lock);
}
