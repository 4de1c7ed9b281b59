/* src/restart/parked.c - see moving.h. */
#include "restart/moving.h"

#include "base/alloc.h"
#include "listen/listen.h"
#include "restart/passport.h"

#include <pthread.h>
#include <stdlib.h>

struct parked {
	struct inbox *door;
	void (*look)(void *arg);
	void *arg;
	pthread_mutex_t lock; /* guards all below */
	struct note note;
	bool is_called; /* the note is on its way */
	unsigned room, count;
	uint64_t listeners_from_us;
	struct client *list[2 * PARKED_MAX];
};

/* On worker 0. */
static void
read_call(struct note *n, void *owner, bool is_over)
{
	struct parked *p = (struct parked *)((char *)n - offsetof(struct parked, note));

	(void)owner;
	pthread_mutex_lock(&p->lock);
	p->is_called = false;
	pthread_mutex_unlock(&p->lock);
	if (!is_over)
		p->look(p->arg);
}

struct parked *
parked_new(struct inbox *door, void (*look)(void *arg), void *arg)
{
	struct parked *p = xcalloc(1, sizeof(*p));

	p->door = door;
	p->look = look;
	p->arg = arg;
	p->note.read = read_call;
	pthread_mutex_init(&p->lock, NULL);
	return p;
}

void
parked_free(struct parked *p)
{
	pthread_mutex_destroy(&p->lock);
	free(p);
}

/* Called with the lock held, which is given back. */
static void
call(struct parked *p)
{
	bool is_first = !p->is_called;

	p->is_called = true;
	pthread_mutex_unlock(&p->lock);
	if (is_first)
		inbox_post(p->door, &p->note);
}

void
parked_call(struct parked *p)
{
	pthread_mutex_lock(&p->lock);
	call(p);
}

void
parked_add(struct parked *p, struct client *c)
{
	if (c->x.is_closing || c->x.stream.is_suspended) /* suspended: it is parked already */
		return;
	pthread_mutex_lock(&p->lock);
	if (p->count >= p->room || (c->x.listen != NULL && *c->env->x.now_us < p->listeners_from_us)) {
		pthread_mutex_unlock(&p->lock);
		return;
	}
	p->list[p->count++] = c;
	stream_suspend(&c->x.stream, true);
	call(p);
}

void
parked_let_go_on(struct client *c)
{
	passport_begin_reading(c);
	listen_flush(&c->x);
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
		parked_let_go_on(c);
}

void
parked_set_room(struct parked *p, unsigned room, uint64_t listeners_from_us)
{
	pthread_mutex_lock(&p->lock);
	p->room = room;
	p->listeners_from_us = listeners_from_us;
	pthread_mutex_unlock(&p->lock);
}

void
parked_put_back(struct parked *p, struct client *c)
{
	pthread_mutex_lock(&p->lock);
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
